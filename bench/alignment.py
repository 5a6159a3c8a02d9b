"""How fast forced alignment is beside `whisperx.align`: `python -m bench.alignment [--minutes N]`.

First without the network: both get the same made-up letter probabilities in no time, so that what is measured is all
that comes after. Then with wav2vec2's base network on random weights, whose work does not depend on them.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nltk
import numpy as np
import torch
import torchaudio
import whisperx

from bench.figures import Figure, publish, threads, timed
from bench.punkt_tab import write_punkt_tab
from whisperx_api.engine.device import cores
from whisperx_api.pipeline.align import Aligner
from whisperx_api.transcript import SAMPLE_RATE, Segment, Transcription, Word

LETTERS = "-|etaonihsrdlumwcfgypbvk'xjqz"
VOCABULARY = (
    *("hello", "there", "this", "meeting", "is", "about", "the", "budget,", "and", "we", "talk.", "Who", "knows?"),
)
SEGMENT_SECONDS, WORDS_IN_SEGMENT = 28.0, 70
CLOSE_SECONDS = 0.02


class GivenEmissions(torch.nn.Module):
    """Stands for a network that takes no time."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.scores: torch.Tensor
        scores = 3 * torch.randn(round(SEGMENT_SECONDS * 50), len(LETTERS), generator=generator)
        self.register_buffer("scores", scores)

    def forward(self, wave: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, None]:
        """(1, n_samples) -> (1, n_samples // 320, n_letters)"""
        return self.scores[None, : wave.shape[1] // 320], None


def meeting(minutes: float) -> tuple[np.ndarray, list[Segment]]:
    """Make noise, and text that is said to be in it."""
    random = np.random.default_rng(0)
    count = max(1, round(60 * minutes / SEGMENT_SECONDS))
    audio = 0.1 * random.standard_normal(round(count * SEGMENT_SECONDS * SAMPLE_RATE)).astype(np.float32)
    return audio, [
        Segment(
            index * SEGMENT_SECONDS, (index + 1) * SEGMENT_SECONDS - 0.5,
            " ".join(random.choice(VOCABULARY, WORDS_IN_SEGMENT).tolist()),
        )
        for index in range(count)
    ]  # fmt: skip


def compare(what: str, model: Any, minutes: float, reach: str, device: str = "cpu") -> Figure:
    """Align the same text with both, on a device."""
    audio, segments = meeting(minutes)
    classes = {letter: index for index, letter in enumerate(LETTERS)}
    aligner = Aligner("bench", "en", model, classes, device, workers=cores())
    transcription = Transcription("en", tuple(segments), "bench")

    def ours() -> list[Word]:
        found = aligner(audio, transcription, report=lambda fraction: None)
        return [word for segment in found.segments for word in segment.words]

    def theirs() -> list[dict[str, Any]]:
        given: Any = [{"start": one.start, "end": one.end, "text": one.text} for one in segments]
        metadata = {"language": "en", "dictionary": classes, "type": "torchaudio"}
        found: Any = whisperx.align(given, model, metadata, audio, device)
        return [word for segment in found["segments"] for word in segment["words"]]

    with threads(1):  # for it computes in several threads of its own
        ours()  # the first run of anything is slower
        quick, words = timed(ours, 3)
    slow, expected = timed(theirs)
    close = [abs(a.start - b["start"]) <= CLOSE_SECONDS for a, b in zip(words, expected, strict=True)]
    note = f"{100 * np.mean(close):.2f} % of {len(words)} words start within {1000 * CLOSE_SECONDS:.0f} ms"
    return Figure(f"{what}, {minutes:g} min", "s", quick, slow, "whisperx.align", reach, note)


@contextlib.contextmanager
def sentences_at_hand() -> Any:
    """Give NLTK its model of sentences, which whisperx would fetch from the network."""
    with tempfile.TemporaryDirectory() as folder:
        write_punkt_tab(Path(folder))
        nltk.data.path.insert(0, folder)
        yield
        nltk.data.path.remove(folder)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=18.0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    base: Callable[..., torch.nn.Module] = torchaudio.models.wav2vec2_base
    with sentences_at_hand():
        figures = [
            compare("alignment without the network", GivenEmissions(), arguments.minutes, "20 times"),
            compare("alignment, wav2vec2 base", base(aux_num_out=len(LETTERS)).eval(), min(arguments.minutes, 2.0), ""),
        ]
    publish("alignment", figures)


if __name__ == "__main__":
    main()
