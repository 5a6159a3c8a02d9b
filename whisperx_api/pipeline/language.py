"""Which language is spoken: a vote over windows of speech from all over the recording (`spread`).

whisperx takes the first 30 s of the recording, which may be silence, music, or a greeting in another language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from whisperx.audio import N_SAMPLES

from whisperx_api.languages import LANGUAGES
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


@dataclass(frozen=True)
class Ballot:
    """How likely each language is in a window of so many samples of speech."""

    samples: int
    found: Mapping[str, float]

    def clear(self, allowed: Sequence[str] = ()) -> str | None:
        """Return the language that the window clearly is in, if there is one."""
        best = likeliest(self.found, allowed) if self.samples >= SHORTEST_CLEAR else None
        return best if best is not None and self.found.get(best, 0.0) >= CLEAR else None


class Poll:
    """Finds the language of a recording: the likeliest on average of its windows, by their length."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        """Where `allowed` names languages, it is one of these."""
        self._allowed = allowed
        self._ballots: list[Ballot] = []
        self._total: dict[str, float] = {}

    def add(self, ballot: Ballot) -> None:
        """Count what was heard in a window."""
        self._ballots.append(ballot)
        for language, probability in ballot.found.items():
            self._total[language] = self._total.get(language, 0.0) + probability * ballot.samples

    def is_decided(self, more: int) -> bool:
        """Return whether `more` windows can't change the language."""
        best = likeliest(self._total, self._allowed)
        others = (self._total.get(code, 0.0) for code in self._allowed or self._total if code != best)
        return self._total.get(best, 0.0) - max(others, default=0.0) > more * N_SAMPLES or not more

    @property
    def vote(self) -> Vote:
        """What the windows so far say."""
        language = likeliest(self._total, self._allowed)
        clear = [ballot.clear(self._allowed) for ballot in self._ballots]
        return Vote(language, tuple(dict.fromkeys(other for other in clear if other not in (None, language))))


def listen(model: WhisperModel, window: np.ndarray) -> Ballot:
    """Hear which language is spoken in a window of speech, at most 30 s, float32 at 16 kHz."""
    return Ballot(len(window), probabilities(model, encode(model, [window]))[0] if len(window) else {})


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
