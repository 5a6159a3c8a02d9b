"""Which language is spoken: a vote over windows of speech from all over the recording (`spread`).

whisperx takes the first 30 s of the recording, which may be silence, music, or a greeting in another language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ctranslate2
import numpy as np
from whisperx.asr import WhisperModel

from whisperx_api.languages import LANGUAGES
from whisperx_api.pipeline.crew import Crew
from whisperx_api.pipeline.whisper import encode
from whisperx_api.transcript import SAMPLE_RATE

CLEAR = 0.8
"""Probability from which on a window clearly is in its language. Whisper base gave a window of far-field English 0.5
for Welsh, and 0.97 to 1.0 for the language spoken where that was French, German or close English."""
SHORTEST_CLEAR = 10 * SAMPLE_RATE
"""Samples of speech that a window must hold to speak for a language of its own."""


@dataclass(frozen=True)
class Vote:
    """The language of a recording, and others that windows clearly are in, by Whisper's codes."""

    language: str
    others: tuple[str, ...] = ()


def vote(model: WhisperModel, windows: Sequence[np.ndarray], crew: Crew, allowed: Sequence[str] = ()) -> Vote:
    """Return the language of a recording with speech: the likeliest on average of its windows, by their length.

    `windows` are speech, at most 30 s each, float32 at 16 kHz. Where `allowed` names languages, it is one of these.
    A worker of the crew listens to a window.
    """

    def listen(window: np.ndarray) -> dict[str, float]:
        return probabilities(model, encode(model, [window]))[0]

    found = list(crew.in_order(listen, windows))
    total: dict[str, float] = {}
    for window, languages in zip(windows, found, strict=True):
        for language, probability in languages.items():
            total[language] = total.get(language, 0.0) + probability * len(window)
    language = likeliest(total, allowed)
    long = [some for window, some in zip(windows, found, strict=True) if len(window) >= SHORTEST_CLEAR]
    clear = [best for some in long if some[best := likeliest(some, allowed)] >= CLEAR]
    return Vote(language, tuple(dict.fromkeys(other for other in clear if other != language)))


def probabilities(model: WhisperModel, encoder_output: ctranslate2.StorageView) -> list[dict[str, float]]:
    """Return how likely each language is in each encoded stretch of sound, by Whisper's codes."""
    return [
        {token[2:-2]: probability for token, probability in found}
        for found in model.model.detect_language(encoder_output)
    ]


def likeliest(found: Mapping[str, float], allowed: Sequence[str] = ()) -> str:
    """Return the likeliest language; of those that are `allowed`, where any are named."""
    return max(allowed or found, key=lambda language: found.get(language, 0.0))


def disagreement(found: Vote) -> str:
    """Return the warning for a recording in several languages that is decoded in one."""
    names = [LANGUAGES[code].capitalize() for code in (found.language, *found.others)]
    return (
        f"The recording seems to be in several languages ({', '.join(names)}): all of it was decoded as {names[0]}, "
        "so the rest may be wrong."
    )
