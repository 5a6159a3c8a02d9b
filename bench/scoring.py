"""How good a transcript is, in the measures of the field; tests and `bench.accuracy` count alike.

WER, and its concatenated minimum-permutation form cpWER (Watanabe et al., "CHiME-6 challenge", CHiME 2020); DER as
pyannote.metrics counts it, overlap included; and the word diarization error rate, WDER (El Shafey et al., "Joint Speech
Recognition and Speaker Diarization via Sequence Transduction", Interspeech 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jiwer
import meeteval
import numpy as np
from meeteval.io import SegLST
from meeteval.wer.wer.time_constrained import align
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from scipy.optimize import linear_sum_assignment

from bench.references import Utterance, normal

COLLAR = 5.0
"""Seconds by which a heard word may be off and still be matched: what meeteval's authors use for tcpWER. It keeps a
"yeah" from being matched to another one half a minute away, and asks nothing more of the times."""


@dataclass(frozen=True)
class Rate:
    """Errors of how many; rates of several recordings add up to the pooled one."""

    errors: float = 0.0
    total: float = 0.0

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.errors + other.errors, self.total + other.total)

    def __float__(self) -> float:
        return float(self.errors / self.total) if self.total else 0.0


@dataclass(frozen=True)
class Heard:
    """A word of a transcript, with its speaker (None where it was given none) and its times in seconds."""

    word: str
    start: float
    end: float
    speaker: str | None


Pair = tuple[Utterance, Heard]
"""A spoken word and the one that was heard for it; both are normal, and one word each."""


def word_error(said: Iterable[Utterance], text: str) -> Rate:
    """Return the word error rate over all speakers together, utterances in order of their start."""
    counts: Any = jiwer.process_words(" ".join(normal(utterance.text) for utterance in said), normal(text))
    return Rate(
        counts.substitutions + counts.deletions + counts.insertions,
        counts.substitutions + counts.deletions + counts.hits,
    )


def speaker_word_error(said: Iterable[Utterance], heard: Iterable[Heard]) -> Rate:
    """Return cpWER: a word given to the wrong speaker is one too few for the one and one too many for the other."""
    rate: Any = meeteval.wer.cp_word_error_rate(_spoken(said), _written(heard))
    return Rate(rate.errors, rate.length)


def pairs(said: Iterable[Utterance], heard: Iterable[Heard]) -> list[Pair]:
    """Match spoken words with heard ones, whoever said them: the alignment of the fewest errors within `COLLAR`."""
    aligned: Any = align(
        _spoken(said), _written(heard), collar=COLLAR, style="seglst", reference_sort="word", hypothesis_sort="word"
    )
    return [
        (
            Utterance(spoken["speaker"], spoken["start_time"], spoken["end_time"], spoken["words"]),
            Heard(written["words"], written["start"], written["end"], written["speaker"] or None),
        )
        for spoken, written in aligned
        if spoken is not None and written is not None
    ]


def word_diarization_error(matched: Sequence[Pair]) -> Rate:
    """Return WDER: of the words that were heard, rightly or not, those given to the wrong speaker.

    Each heard speaker stands for at most one who spoke, in the way that makes the fewest errors.
    """
    spoke = sorted({spoken.speaker for spoken, _ in matched})
    heard = sorted({written.speaker for _, written in matched if written.speaker is not None})
    together = np.zeros((len(spoke), len(heard)))
    for spoken, written in matched:
        if written.speaker is not None:
            together[spoke.index(spoken.speaker), heard.index(written.speaker)] += 1
    return Rate(len(matched) - together[linear_sum_assignment(-together)].sum(), len(matched))


def start_offsets(matched: Sequence[Pair]) -> list[float]:
    """Return by how many seconds each word that was heard rightly starts too late (too early below zero)."""
    return [written.start - spoken.start for spoken, written in matched if spoken.text == written.word]


def diarization_error(reference: Annotation, heard: Annotation, duration: float, collar: float) -> Rate:
    """Return the diarization error rate; `collar` is the seconds left out on each side of a turn's edge."""
    metric: Any = DiarizationErrorRate(collar=2 * collar)  # pyannote counts both sides together
    parts = metric(reference, heard, uem=Timeline([Segment(0, duration)]), detailed=True)
    errors = parts["missed detection"] + parts["false alarm"] + parts["confusion"]
    return Rate(errors, parts["total"])


def annotation(turns: Iterable[tuple[float, float, str]]) -> Annotation:
    """Return (start, end, speaker) as pyannote's metrics want them."""
    marked = Annotation()
    for index, (start, end, speaker) in enumerate(turns):
        marked[Segment(start, end), index] = speaker
    return marked


def words_of(transcript: dict[str, Any]) -> list[Heard]:
    """Return the words of a transcript as the API gives it."""
    return [
        Heard(word["word"], word["start"], word["end"], word["speaker"])
        for segment in transcript["segments"]
        for word in segment["words"]
    ]


def _spoken(said: Iterable[Utterance]) -> SegLST:
    lines: Any = [
        {"speaker": one.speaker, "start_time": one.start, "end_time": one.end, "words": normal(one.text)}
        for one in said
    ]
    return SegLST(lines)


def _written(heard: Iterable[Heard]) -> SegLST:
    lines: Any = [
        {
            "speaker": one.speaker or "", "start_time": one.start, "end_time": one.end, "words": normal(one.word),
            "start": one.start, "end": one.end,
        }
        for one in heard
    ]  # fmt: skip
    return SegLST(lines)
