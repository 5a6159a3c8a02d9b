"""From the local speakers of many windows to who talks in each frame, a few minutes at a time.

pyannote.audio 4 spreads all windows over all speakers in float64 before it adds them up, and ranks the speakers of
every frame at once: gigabytes for a long meeting. Here the sums are made in blocks of frames, and what stays is a byte
a frame and speaker. The results are those of `SpeakerDiarization.speaker_count` and `reconstruct`, value for value and
at every length: each sum has the same terms in the same order, and the same sort ranks the speakers, so ties fall the
same way. Turns are read off by the frames where somebody starts or ends, not frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from pyannote.audio import Inference
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.core import Annotation, Segment, SlidingWindow, SlidingWindowFeature
from pyannote.core.utils.generators import string_generator

BLOCK_FRAMES = 16_384
"""Frames that are added up at once: 4.6 minutes of pyannote's 16.9 ms, 64 KiB a speaker in float32."""

NOBODY = -2
"""pyannote's cluster of a local speaker who never talks, or whom clustering gave to none."""


def reconstruct_in_blocks(pipeline: SpeakerDiarization) -> None:
    """Have `pipeline` count and place speakers in blocks, and keep its segmentation as bytes where it is 0 or 1.

    Takes effect from the next call on; the pipeline can still be moved to another device.
    """
    segmentation: Any = pipeline._segmentation
    if segmentation.model.specifications.powerset and not segmentation.skip_conversion:
        segmentation.conversion = torch.nn.Sequential(segmentation.conversion, _Bytes())
    pipeline.speaker_count = speaker_count
    pipeline.reconstruct = reconstruct
    pipeline.to_annotation = to_annotation


def speaker_count(
    binarized_segmentations: SlidingWindowFeature, frames: SlidingWindow, warm_up: tuple[float, float] = (0.1, 0.1)
) -> SlidingWindowFeature:
    """Return how many talk in each frame, (n_frames, 1) uint8: the mean of the windows that see it, rounded.

    binarized_segmentations: (n_windows, n_window_frames, n_speakers) of 0 and 1, NaN where unknown.
    frames: duration and step of a frame, in seconds.
    warm_up: fraction of each window that is left out at its start and at its end.
    """
    windows = Inference.trim(binarized_segmentations, warm_up=warm_up)
    overlap = _Overlap(windows, frames)

    def talking_and_known(i: int) -> np.ndarray:
        talking = windows.data[i].sum(axis=-1)
        return np.stack([np.nan_to_num(talking, nan=0.0), ~np.isnan(talking)], axis=-1)

    count = np.empty((overlap.n_frames, 1), np.uint8)
    for first, sums in overlap.add(talking_and_known, 2, range(overlap.n_frames)):
        count[first : first + len(sums), 0] = np.rint(sums[:, 0] / np.maximum(sums[:, 1], 1e-12))
    return SlidingWindowFeature(count, overlap.grid)


def reconstruct(
    segmentations: SlidingWindowFeature, hard_clusters: np.ndarray, count: SlidingWindowFeature
) -> SlidingWindowFeature:
    """Return who talks in each frame, (n_frames, n_speakers) uint8 of 0 and 1.

    segmentations: (n_windows, n_window_frames, n_local_speakers), NaN where unknown.
    hard_clusters: (n_windows, n_local_speakers) int, the speaker that each local speaker is, or `NOBODY`.
    count: (n_frames, 1) int, how many talk. As many speakers are chosen for a frame, those most windows hear in it;
        where there are fewer speakers than that, further ones are made up.
    """
    overlap = _Overlap(segmentations, count.sliding_window)
    n_speakers = max(int(np.max(hard_clusters)) + 1, int(np.max(count.data)))

    def speakers(i: int) -> np.ndarray:
        local, clusters = segmentations.data[i], hard_clusters[i]
        heard = np.zeros((len(local), n_speakers), local.dtype)
        for cluster in np.unique(clusters):
            if cluster != NOBODY:
                heard[:, cluster] = np.nan_to_num(local[:, clusters == cluster].max(axis=1), nan=0.0)
        return heard

    shared = overlap.grid.range_to_segment(0, overlap.n_frames) & count.extent
    kept = _frames_in(shared, overlap.grid, overlap.n_frames)
    counted = _frames_in(shared, count.sliding_window, len(count))[: len(kept)]
    n_talking = np.zeros(len(kept), count.data.dtype)
    n_talking[: len(counted)] = count.data[counted.start : counted.stop, 0]
    talks = np.zeros((len(kept), n_speakers), np.uint8)
    for first, sums in overlap.add(speakers, n_speakers, kept):
        rows = slice(first - kept.start, first - kept.start + len(sums))
        chosen = np.arange(n_speakers) < n_talking[rows, None]
        np.put_along_axis(talks[rows], np.argsort(-sums, axis=-1), chosen, axis=-1)
    grid = overlap.grid
    return SlidingWindowFeature(
        talks, SlidingWindow(start=grid[kept.start].start, duration=grid.duration, step=grid.step)
    )


def to_annotation(
    discrete_diarization: SlidingWindowFeature, min_duration_on: float = 0.0, min_duration_off: float = 0.0
) -> Annotation:
    """Return the turns of each speaker, labelled with the speaker's column.

    discrete_diarization: (n_frames, n_speakers) of 0 and 1, two frames or more.
    min_duration_on, min_duration_off: the shortest turn that is kept, and pause between two turns, in seconds.
    """
    turns, tracks = Annotation(), string_generator()
    frames, last = discrete_diarization.sliding_window, len(discrete_diarization.data) - 1
    for speaker, talking in enumerate(discrete_diarization.data.T):
        track = next(tracks)
        edges = np.flatnonzero(np.diff(talking.astype(np.int8), prepend=0, append=0)).tolist()
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            start, stop = frames[first].middle, frames[min(end, last)].middle
            turns[Segment(start, stop), track] = speaker
    if min_duration_off > 0:
        turns = turns.support(collar=min_duration_off)
    if min_duration_on > 0:
        for segment, track, *_ in list(turns.itertracks()):
            if segment.duration < min_duration_on:
                del turns[segment, track]
    return turns


class _Bytes(torch.nn.Module):
    """What comes after a powerset network's conversion: its 0 and 1 as uint8 instead of float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.uint8)


class _Overlap:
    """Windows of frames, laid over the frames of the whole recording."""

    def __init__(self, windows: SlidingWindowFeature, frames: SlidingWindow) -> None:
        """windows: (n_windows, n_window_frames, …), each `frames` long but all on one grid of them."""
        slide = windows.sliding_window
        half = 0.5 * frames.duration
        self.grid = SlidingWindow(start=slide.start, duration=frames.duration, step=frames.step)
        n_windows, self._length = windows.data.shape[:2]
        self._first = np.array([self.grid.closest_frame(slide[i].start + half) for i in range(n_windows)])
        end = slide.start + slide.duration + (n_windows - 1) * slide.step
        self.n_frames = self.grid.closest_frame(end + half) + 1

    def add(
        self, scores: Callable[[int], np.ndarray], n_columns: int, frames: range
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Add up the windows' scores, and yield the sums block by block: (first frame, (n_frames, n_columns) float32).

        scores: the window's number -> its scores, (n_window_frames, n_columns).
        frames: which frames of the recording are wanted.
        """
        for first in frames[::BLOCK_FRAMES]:
            end = min(first + BLOCK_FRAMES, frames.stop)
            sums = np.zeros((end - first, n_columns), np.float32)
            for i in range(*np.searchsorted(self._first, [first - self._length + 1, end])):
                start = int(self._first[i])
                a, b = max(start, first), min(start + self._length, end)
                sums[a - first : b - first] += scores(i)[a - start : b - start]
            yield first, sums


def _frames_in(segment: Segment, grid: SlidingWindow, n_frames: int) -> range:
    """Return the frames that touch `segment`, of `n_frames` on `grid`."""
    ((first, end),) = grid.crop(segment, mode="loose", return_ranges=True)
    return range(n_frames)[max(first, 0) : max(end, 0)]
