"""From scores to stretches of speech, and from those to chunks, each as soon as nothing that follows can change it.

The hysteresis thresholds of Gelly and Gauvain, "Minimum Word Error Training of RNN-based Voice Activity Detection",
Interspeech 2015, with whisperx's cut at the quietest point where speech goes on for too long, and its merging of
stretches (Bain et al., arXiv 2303.00747). What comes out is what whisperx's `Binarize` and `merge_chunks` find.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pyannote.core import SlidingWindow

from whisperx_api.pipeline.attention import Chunk

SHORTEST = 1e-6
"""Seconds; stretches that are no longer are none, for pyannote."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Thresholds:
    """Where speech begins and ends.

    It begins where its probability rises above `onset`, and ends where that falls below `offset`, or below `onset`
    where that is lower. It begins `pad` seconds earlier, and pauses shorter than `min_silence` seconds do not end it.
    """

    onset: float
    offset: float
    pad: float = 0.0
    min_silence: float = 0.0


class Hysteresis:
    """Finds stretches of speech in scores that come in pieces."""

    def __init__(self, frames: SlidingWindow, thresholds: Thresholds, longest: float) -> None:
        """Stretches have at most `longest` seconds; `frames` says when a score is."""
        self._frames = frames
        # as numpy compares float32 with Python's numbers
        self._onset = float(np.float32(thresholds.onset))
        self._offset = min(float(np.float32(thresholds.offset)), self._onset)
        self._pad = min(thresholds.pad, longest / 2)
        self._min_silence = thresholds.min_silence
        self._longest = longest - self._pad
        self._seen = 0
        self._time = 0.0
        self._speaking = False
        self._start = 0.0
        self._pause: float | None = None  # since when it has been silent, where that may be too short to end speech
        self._scores: list[float] = []  # since the last cut or end of speech, to find the quietest moment
        self._times: list[float] = []
        self._last_end = 0.0

    def add(self, scores: np.ndarray) -> Iterator[Span]:
        """Take the next scores, shape (n_frames,), float32, and yield the stretches that end in them."""
        for score in scores.tolist():
            self._time = self._frames[self._seen].middle
            self._seen += 1
            if self._seen == 1:
                self._start = self._time
                self._speaking = score > self._onset
                self._remember(score)
            elif self._speaking:
                yield from self._go_on(score)
            elif score > self._onset:
                self._start, self._speaking = self._time, True

    def end(self) -> Iterator[Span]:
        """Yield the stretch that the recording ends in."""
        if self._speaking:
            yield from self._stretch(self._time if self._pause is None else self._pause)

    @property
    def next_end(self) -> float:
        """The earliest time at which the next stretch can end, in seconds."""
        if not self._speaking:
            return self._time
        earliest_cut = self._start + self._longest / 2 - 2 * self._frames.step
        return min(self._time if self._pause is None else self._pause, earliest_cut)

    def _go_on(self, score: float) -> Iterator[Span]:
        if self._pause is not None and score > self._onset and self._time - self._pause < self._min_silence:
            self._pause = None
        silent_since = self._pause if self._pause is not None else self._time if score < self._offset else None
        if self._time - self._start > self._longest:
            if self._pause is not None:
                yield from self._stop(self._pause)
            else:
                yield from self._cut()
        elif silent_since is not None and self._time - silent_since >= self._min_silence:
            yield from self._stop(silent_since)
        else:
            self._pause = silent_since
        self._remember(score)
        if not self._speaking and score > self._onset:
            self._start, self._speaking = self._time, True

    def _cut(self) -> Iterator[Span]:
        """Cut speech that is too long at the quietest moment of its second half."""
        half = len(self._scores) // 2
        place = half + int(np.argmin(self._scores[half:]))
        quietest = self._times[place]
        yield from self._stretch(quietest)
        self._start = quietest
        self._scores, self._times = self._scores[place + 1 :], self._times[place + 1 :]

    def _stop(self, end: float) -> Iterator[Span]:
        yield from self._stretch(end)
        self._start, self._pause, self._speaking = self._time, None, False
        self._scores, self._times = [], []

    def _stretch(self, end: float) -> Iterator[Span]:
        start = max(self._start - self._pad, self._last_end) if self._pad else self._start
        if end - start > SHORTEST:
            self._last_end = end
            yield start, end

    def _remember(self, score: float) -> None:
        self._scores.append(score)
        self._times.append(self._time)


class Merging:
    """Merges stretches of speech into chunks of at most `size` seconds, from the start of one to the end of another."""

    def __init__(self, size: float) -> None:
        self._size = size
        self._spans: list[Span] = []

    def add(self, span: Span) -> Iterator[Chunk]:
        """Take the next stretch, and yield the chunk that it does not fit in any more."""
        yield from self.none_ends_before(span[1])
        self._spans.append(span)

    def none_ends_before(self, time: float) -> Iterator[Chunk]:
        """Yield the chunk that no more stretches fit in, where all that follow end at `time` or later."""
        if self._spans and time - self._spans[0][0] > self._size:
            yield from self.end()

    def end(self) -> Iterator[Chunk]:
        """Yield the last chunk."""
        if self._spans:
            yield _chunk(self._spans)
        self._spans = []


def _chunk(spans: Sequence[Span]) -> Chunk:
    return Chunk(spans[0][0], spans[-1][1], tuple(spans))
