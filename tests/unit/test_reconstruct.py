"""Counting and placing speakers in blocks gives, value for value, what pyannote gives at once."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.audio.pipelines.utils.diarization import SpeakerDiarizationMixin
from pyannote.core import SlidingWindow, SlidingWindowFeature

from bench.meeting import make_meeting
from whisperx_api.pipeline import reconstruct as module
from whisperx_api.pipeline.reconstruct import NOBODY, reconstruct, speaker_count, to_annotation

FRAMES = SlidingWindow(start=0.0, duration=0.0619375, step=0.016875)


def pyannote_reconstruct(
    windows: SlidingWindowFeature, clusters: np.ndarray, count: SlidingWindowFeature
) -> SlidingWindowFeature:
    pipeline: Any = SpeakerDiarizationMixin()  # all that it needs of itself
    return SpeakerDiarization.reconstruct(pipeline, windows, clusters, count)


def make_windows(random: np.random.Generator, kind: str) -> tuple[SlidingWindowFeature, SlidingWindow]:
    """Make windows of chance sizes whose frames overlap by chance, and their frames; `kind` says what is in them."""
    n_windows, n_frames, n_speakers = random.integers(1, 25), random.integers(20, 90), random.integers(1, 5)
    data = (random.random((n_windows, n_frames, n_speakers)) < random.choice([0.1, 0.5, 0.9])).astype(np.float32)
    if kind == "bytes":
        data = data.astype(np.uint8)
    elif kind == "unknown":
        data[random.random(data.shape) < 0.1] = np.nan
        data[: n_windows // 4] = np.nan
    elif kind == "scores":
        data *= random.random(data.shape)
    duration = random.uniform(5, 12)
    frame = duration / n_frames * random.uniform(0.985, 0.995)
    slide = SlidingWindow(start=random.choice([0.0, 3.7]), duration=duration, step=duration * random.uniform(0.05, 1))
    return SlidingWindowFeature(data, slide), SlidingWindow(duration=frame * random.uniform(1, 4), step=frame)


def assert_same(found: SlidingWindowFeature, expected: SlidingWindowFeature) -> None:
    np.testing.assert_array_equal(found.data, expected.data)
    for name in ("start", "duration", "step"):
        assert getattr(found.sliding_window, name) == getattr(expected.sliding_window, name)


@pytest.mark.parametrize("kind", ["zero and one", "bytes", "unknown", "scores"])
def test_count_and_speakers_are_those_of_pyannote(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random, compared = np.random.default_rng(len(kind)), 0
    for _ in range(60):
        monkeypatch.setattr(module, "BLOCK_FRAMES", int(random.integers(1, 400)))
        windows, frames = make_windows(random, kind)
        try:
            count = SpeakerDiarizationMixin.speaker_count(windows, frames, warm_up=(0.0, 0.0))
        except ValueError:  # where pyannote's own rounding puts the last window beyond the last frame
            continue
        assert_same(speaker_count(windows, frames, warm_up=(0.0, 0.0)), count)
        clusters = random.integers(0, random.integers(1, 25), windows.data.shape[::2])
        clusters[random.random(clusters.shape) < 0.3] = NOBODY
        clusters[0, 0] = 0
        assert_same(reconstruct(windows, clusters, count), pyannote_reconstruct(windows, clusters, count))
        compared += 1
    assert compared > 40


def test_warm_up_is_left_out_of_the_count() -> None:
    windows = make_meeting(0.02, (0.5, 0.5)).segmentations
    for warm_up in [(0.1, 0.1), (0.0, 0.3)]:
        assert_same(
            speaker_count(windows, FRAMES, warm_up), SpeakerDiarizationMixin.speaker_count(windows, FRAMES, warm_up)
        )


@pytest.mark.parametrize("extra", [-40, 40])
def test_count_of_another_length_is_cut_to_what_both_cover(extra: int) -> None:
    meeting = make_meeting(0.02, (0.5, 0.3, 0.2))
    count = speaker_count(meeting.segmentations, FRAMES, warm_up=(0.0, 0.0))
    n_frames = len(count) + extra
    count.data = np.resize(count.data, (n_frames, 1))
    clusters = np.where(meeting.speakers < 0, NOBODY, meeting.speakers)
    assert_same(
        reconstruct(meeting.segmentations, clusters, count),
        pyannote_reconstruct(meeting.segmentations, clusters, count),
    )


def test_more_talk_at_once_than_there_are_speakers() -> None:
    windows = make_meeting(0.01, (0.5, 0.3, 0.2)).segmentations
    count = speaker_count(windows, FRAMES, warm_up=(0.0, 0.0))
    count.data[100:200] = 3
    clusters = np.zeros((len(windows), 3), np.int8)
    found = reconstruct(windows, clusters, count)
    assert found.data.shape[1] == 3 and found.data[150].all()
    assert_same(found, pyannote_reconstruct(windows, clusters, count))


def test_memory_is_a_byte_a_frame_and_speaker() -> None:
    meeting = make_meeting(0.5, (0.4, 0.3, 0.2, 0.1))
    clusters = np.where(meeting.speakers < 0, NOBODY, meeting.speakers)
    tracemalloc.start()
    count = speaker_count(meeting.segmentations, FRAMES, warm_up=(0.0, 0.0))
    talks = reconstruct(meeting.segmentations, clusters, count)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert talks.data.nbytes + count.data.nbytes == 5 * len(count)
    assert peak - held < 100 * module.BLOCK_FRAMES + 2 * len(count)


@pytest.mark.parametrize("shortest", [{}, {"min_duration_off": 0.3}, {"min_duration_on": 0.2, "min_duration_off": 0.1}])
def test_turns_are_those_of_pyannote(shortest: dict[str, float]) -> None:
    random = np.random.default_rng(len(shortest))
    for _ in range(40):
        n_frames, n_speakers = random.integers(2, 300), random.integers(0, 5)
        changes = random.random((n_frames, n_speakers)) < random.choice([0.02, 0.3, 0.9])
        talks = SlidingWindowFeature((np.cumsum(changes, axis=0) % 2).astype(np.uint8), FRAMES)
        assert to_annotation(talks, **shortest) == SpeakerDiarizationMixin.to_annotation(talks, **shortest)
