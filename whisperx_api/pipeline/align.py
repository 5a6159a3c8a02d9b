"""Forced alignment: every word gets its times from a CTC model of the language's letters.

The trellis is the one of whisperx (Bain et al., arXiv 2303.00747), with a wildcard for characters that the model does
not know. Word times are those of `whisperx.align`, which is not called itself: it fetches sentence data from the
network while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch

from whisperx_api.pipeline.emissions import Emissions
from whisperx_api.pipeline.sentences import IDEOGRAPHIC, split_sentences
from whisperx_api.pipeline.trellis import letter_spans
from whisperx_api.transcript import SAMPLE_RATE, Alignment, Segment, Transcription, Word

ATTENTION = "attention"
"""Named as the alignment model where cross-attention gave the times."""

TRELLISES = 64
"""Segments whose trellises are filled together; the emissions of so many are kept meanwhile, about 12 MB."""

Span = tuple[float, float, float]
"""Start and end in seconds, and the score."""


@dataclass(frozen=True)
class Letters:
    """A text as a CTC model spells it: its symbols, and for each the index of its word (None between words)."""

    words: tuple[str, ...]
    symbols: tuple[str, ...]
    owners: tuple[int | None, ...]


class Aligner:
    """A loaded CTC model of one language. It keeps nothing of a request."""

    def __init__(
        self,
        name: str,
        language: str,
        model: torch.nn.Module,
        classes: Mapping[str, int],
        device: str,
        workers: int = 1,
    ) -> None:
        """`classes` are the model's characters, in small letters, with the index of each in the emission.

        On a CPU `workers` threads compute side by side.
        """
        self.name = name
        self.language = language
        self._emissions = Emissions(model.to(device).eval(), torch.device(device), workers)
        self._classes = classes
        self._blank = next((classes[pad] for pad in ("<pad>", "[pad]") if pad in classes), 0)

    def __call__(
        self, audio: np.ndarray, transcription: Transcription, *, report: Callable[[float], None]
    ) -> Alignment:
        """Return the transcription as sentences, every word with a start and an end in the recording (seconds).

        `audio` has shape (n_samples,), float32 at 16 kHz, and may be a read-only memory map. Words that could not be
        aligned share the time between their neighbours and have no score. Segments that have words already, those in
        another language, keep them. `report` is told the fraction done, 0..1
        and never falling; what it raises stops the work and reaches the caller.
        """
        segments = transcription.segments
        letters = [self._letters("" if segment.words else segment.text) for segment in segments]
        end = len(audio) / SAMPLE_RATE
        sentences: list[Segment] = []
        for segment, spelt, spans in zip(segments, letters, self._spans(audio, segments, letters, report), strict=True):
            parts: list[list[Span]] = [[] for _ in spelt.words]
            for owner, span in zip(spelt.owners, spans, strict=False):
                if owner is not None:
                    parts[owner].append(span)
            words = segment.words or interpolated(
                spelt.words, [_joined(part) for part in parts], segment.start, min(segment.end, end)
            )
            sentences.extend(split_sentences(replace(segment, words=words), segment.language or self.language))
        report(1.0)
        return Alignment(tuple(sentences), self.name)

    def _spans(
        self,
        audio: np.ndarray,
        segments: Sequence[Segment],
        letters: Sequence[Letters],
        report: Callable[[float], None],
    ) -> list[list[Span]]:
        """Return the span of each letter of each segment; none where a segment can't be aligned."""
        spans: list[list[Span]] = [[] for _ in segments]
        sounds = [audio[int(segment.start * SAMPLE_RATE) : int(segment.end * SAMPLE_RATE)] for segment in segments]
        due = [index for index, sound in enumerate(sounds) if len(sound) and letters[index].symbols]
        total, done = sum(len(sounds[index]) for index in due), 0
        ready: dict[int, tuple[np.ndarray, list[int]]] = {}
        with closing(self._emissions([sounds[index] for index in due])) as batches:
            for batch in batches:
                for place, emission in batch:
                    ready[due[place]] = self._with_wildcard(emission, letters[due[place]].symbols)
                    done += len(sounds[due[place]])
                if len(ready) >= TRELLISES or done == total:
                    emissions, tokens = zip(*ready.values(), strict=True)
                    found = letter_spans(emissions, tokens, self._blank)
                    for (index, (emission, _)), frames in zip(ready.items(), found, strict=True):
                        if frames is not None:  # else the text has more letters than the sound has frames
                            spans[index] = _in_seconds(frames, segments[index], len(emission))
                    ready = {}
                report(min(1.0, done / total))
        return spans

    def _letters(self, text: str) -> Letters:
        """Spell the text in the model's symbols; each character of an ideographic language is a word of its own."""
        ideographic = self.language in IDEOGRAPHIC
        words = [word for word in (text if ideographic else text.split(" ")) if word.strip()]
        symbols: list[str] = []
        owners: list[int | None] = []
        for index, word in enumerate(words):
            if index and not ideographic and "|" in self._classes:
                symbols.append("|")
                owners.append(None)
            symbols.extend(character.lower() for character in word)
            owners.extend([index] * len(word))
        return Letters(tuple(words), tuple(symbols), tuple(owners))

    def _with_wildcard(self, emission: np.ndarray, symbols: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        """Add a class for any character that the model lacks: in each frame the best of the others but the blank."""
        wildcard = emission.shape[1]
        tokens = [self._classes.get(symbol, wildcard) for symbol in symbols]
        if wildcard not in tokens:
            return emission, tokens
        others = np.arange(wildcard) != self._blank
        return np.concatenate([emission, emission[:, others].max(axis=1, keepdims=True)], axis=1), tokens


def _in_seconds(frames: np.ndarray, segment: Segment, n_frames: int) -> list[Span]:
    """Return letters' frames, shape = (n_letters, 3), as spans in the recording."""
    step = (segment.end - segment.start) / n_frames
    scores = np.round(frames[:, 2], 3).tolist()
    times = (segment.start + frames[:, :2] * step).tolist()
    return [(start, end, score) for (start, end), score in zip(times, scores, strict=True)]


def _joined(parts: Sequence[Span]) -> Span | None:
    """Return a word's span from those of its letters; None where it has none."""
    if not parts:
        return None
    starts, ends, scores = zip(*parts, strict=True)
    return min(starts), max(ends), round(float(np.mean(scores)), 3)


def interpolated(words: Sequence[str], spans: Sequence[Span | None], start: float, end: float) -> tuple[Word, ...]:
    """Return words with times (seconds): those that have no span share the gap between their neighbours by length.

    All words lie in `start`..`end`, in order and without overlap, rounded to milliseconds.
    """
    timed: list[Word] = []
    previous = start
    for index, (word, span) in enumerate(zip(words, spans, strict=True)):
        if span is None:
            later = next((k for k in range(index, len(words)) if spans[k] is not None), len(words))
            following = spans[later] if later < len(words) else None
            gap = max(0.0, (following[0] if following else end) - previous)
            span_start, score = previous, None
            span_end = previous + gap * len(word) / sum(map(len, words[index:later]))
        else:
            span_start, span_end, score = span
        span_start = min(max(span_start, previous), end)
        previous = min(max(span_start, span_end), end)
        timed.append(Word(word, round(span_start, 3), round(previous, 3), score))
    return tuple(timed)


def from_attention(transcription: Transcription) -> Alignment:
    """Cut into sentences a transcription whose words have their times from cross-attention already.

    Chunks without words, those of a translation, stay as they are.
    """
    sentences = [
        part
        for chunk in transcription.segments
        for part in split_sentences(chunk, chunk.language or transcription.language)
    ]
    return Alignment(tuple(sentences), ATTENTION if any(sentence.words for sentence in sentences) else "")
