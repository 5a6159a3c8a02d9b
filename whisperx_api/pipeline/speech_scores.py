"""How likely speech is at each moment, batch by batch: pyannote's `Inference`, without waiting for all of a recording.

A network slides over the recording in windows that overlap, and the score of a frame is the mean over its windows,
weighted by a Hamming window. A frame is final when the next window begins after it. Scores are those of `Inference`
to the bit: the same batches of windows, added in the same order and precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pyannote.audio import Inference
from pyannote.audio.utils.reproducibility import fix_reproducibility
from pyannote.core import Segment, SlidingWindow

from whisperx_api.pipeline.crew import Crew
from whisperx_api.transcript import SAMPLE_RATE

EPSILON = 1e-12
"""Weight of what a window is not to tell of, as in `Inference.aggregate`."""


@dataclass(frozen=True)
class Scores:
    """What is final after a batch of windows: `values`, shape (n_frames,), float32, go on after those before them.

    `done` is the fraction of the recording that the network has seen, 0..1.
    """

    values: np.ndarray
    done: float


def speech_scores(inference: Inference, waveform: torch.Tensor, crew: Crew) -> Iterator[Scores]:
    """Yield the scores of a recording in its order, after each batch of windows; a worker takes a batch.

    `inference` makes one score of what its network finds in a frame, as pyannote's voice activity detection has it.
    `waveform` has shape (1, n_samples), float32 at 16 kHz.
    """
    fix_reproducibility(inference.device)
    size, step = inference.model.audio.get_num_samples(inference.duration), round(inference.step * SAMPLE_RATE)
    n_samples = waveform.shape[1]
    whole, padded = _count(n_samples, size, step)
    overlap, done = _Overlap(inference), 0
    for found in crew.in_order(partial(pooled, inference), _batches(waveform, size, step, inference.batch_size)):
        scores = overlap.add(found)
        done += len(found)
        if done == whole + padded:
            scores = np.concatenate([scores, overlap.rest()])
            if padded:  # frames of the padding are no part of the recording
                kept = frames_of(inference).crop(Segment(0.0, n_samples / SAMPLE_RATE), return_ranges=True)[0][1]
                scores = scores[: max(0, kept - overlap.first + len(scores))]
        yield Scores(scores, done / (whole + padded))


def pooled(inference: Inference, windows: torch.Tensor) -> np.ndarray:
    """Return what a network finds in windows (n_windows, 1, n_samples), one score a frame: (n_windows, n_frames, 1)."""
    found: Any = inference.infer(windows)  # a tuple where a network has several tasks
    return found if inference.pre_aggregation_hook is None else inference.pre_aggregation_hook(found)


def frames_of(inference: Inference) -> SlidingWindow:
    """Return when the frames are: the first is at the start of the recording."""
    field = inference.model.receptive_field
    return SlidingWindow(start=0.0, duration=field.duration, step=field.step)


def _count(n_samples: int, size: int, step: int) -> tuple[int, bool]:
    """Return how many windows a recording fills, and whether another one holds its end, padded."""
    return max(0, (n_samples - size) // step + 1), n_samples < size or (n_samples - size) % step > 0


def _batches(waveform: torch.Tensor, size: int, step: int, batch_size: int) -> Iterator[torch.Tensor]:
    """Yield the windows in batches (n_windows, 1, size); the last one, padded with zeros, is alone."""
    whole, padded = _count(waveform.shape[1], size, step)
    if whole:
        yield from waveform.unfold(1, size, step).transpose(0, 1).split(batch_size)
    if padded:
        last = waveform[:, whole * step :]
        yield F.pad(last, (0, size - last.shape[1]))[None]


class _Overlap:
    """The sums over windows of one score a frame, as `Inference.aggregate` has them with a Hamming window."""

    def __init__(self, inference: Inference) -> None:
        self._frames = frames_of(inference)
        self._windows = SlidingWindow(start=0.0, duration=inference.duration, step=inference.step)
        self._warm_up = inference.warm_up or (0.0, 0.0)
        self._added = 0  # windows
        self.first = 0
        """The frame that the sums begin with: those before it are final."""
        self._sums = np.zeros((0, 3, 1), dtype=np.float32)

    def add(self, windows: np.ndarray) -> np.ndarray:
        """Add the scores of the next windows, shape (n_windows, n_frames, 1); return what is final by them."""
        hamming, warm = self._weights(windows.shape[1])
        for score in windows:
            heard = 1 - np.isnan(score)
            score = np.nan_to_num(score, nan=0.0)
            start = self._start(self._added) - self.first
            self._grow(start + len(score))
            sums, weights, known = self._sums[start : start + len(score)].swapaxes(0, 1)
            sums += score * heard * hamming * warm
            weights += heard * hamming * warm
            np.maximum(known, heard, out=known, casting="same_kind")
            self._added += 1
        return self._take(self._start(self._added) - self.first)

    def rest(self) -> np.ndarray:
        """Return what is final when no window follows: frames after the last one have no speech."""
        end = self._windows.duration + (self._added - 1) * self._windows.step + 0.5 * self._frames.duration
        return self._take(self._frames.closest_frame(end) + 1 - self.first)

    def _weights(self, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Return how much a window's frames count, by their place in it and by whether it is warm there."""
        left, right = (round(seconds / self._windows.duration * n_frames) for seconds in self._warm_up)
        warm = np.ones((n_frames, 1))
        warm[:left] = EPSILON
        warm[n_frames - right :] = EPSILON
        return np.hamming(n_frames).reshape(-1, 1), warm

    def _start(self, window: int) -> int:
        return self._frames.closest_frame(self._windows[window].start + 0.5 * self._frames.duration)

    def _grow(self, length: int) -> None:
        more = max(0, length - len(self._sums))
        self._sums = np.concatenate([self._sums, np.zeros((more, 3, 1), dtype=np.float32)])

    def _take(self, count: int) -> np.ndarray:
        """Return the scores of the first frames, and leave them behind."""
        self._grow(count)
        sums, weights, known = self._sums[:count, :, 0].T
        self._sums, self.first = self._sums[count:], self.first + count
        scores = sums / np.maximum(weights, EPSILON)
        scores[known == 0.0] = 0.0
        return scores
