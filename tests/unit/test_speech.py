"""Speech found in scores that come in pieces, beside whisperx's own over all of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pyannote.core import SlidingWindow, SlidingWindowFeature
from whisperx.vads import Pyannote

from whisperx_api.pipeline.attention import Chunk
from whisperx_api.pipeline.speech import Hysteresis, Merging, Span, Thresholds

FRAMES = SlidingWindow(start=0.0, duration=0.061875, step=0.016875)


def random_scores(rng: np.random.Generator, count: int) -> np.ndarray:
    """Scores that wander between speech and silence, at some pace; some stay high for long, some are all the same."""
    pace = rng.choice([0.02, 0.1, 0.5, 3.0])
    walk = np.cumsum(rng.normal(0.0, pace, count)) + rng.normal(0.0, 2.0)
    scores = 1 / (1 + np.exp(-np.clip(walk - np.linspace(0, 1, count) * walk[-1] * rng.random(), -9, 9)))
    return np.round(scores, rng.integers(1, 8)).astype(np.float32)  # coarse ones have ties


def found(
    scores: np.ndarray, thresholds: Thresholds, size: float, pieces: int, rng: np.random.Generator
) -> list[Chunk]:
    speech, merging = Hysteresis(FRAMES, thresholds, size), Merging(size)
    chunks: list[Chunk] = []
    for piece in np.split(scores, np.sort(rng.integers(0, len(scores) + 1, pieces))):
        chunks += [chunk for span in speech.add(piece) for chunk in merging.add(span)]
        chunks += merging.none_ends_before(speech.next_end)
    chunks += [chunk for span in speech.end() for chunk in merging.add(span)]
    return [*chunks, *merging.end()]


def spans(scores: Sequence[float], thresholds: Thresholds, longest: float = 30.0) -> list[Span]:
    """Return the stretches in scores that come once a second."""
    speech = Hysteresis(SlidingWindow(start=-0.5, duration=1.0, step=1.0), thresholds, longest)
    return [*speech.add(np.array(scores, dtype=np.float32)), *speech.end()]


@pytest.mark.parametrize("seed", range(200))
def test_chunks_are_whisperx_own_however_the_scores_come(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = random_scores(rng, int(rng.choice([1, 2, 30, 1000, 6000])))
    onset = float(rng.uniform(0.01, 0.99))
    offset, size = float(rng.uniform(0.001, onset)), float(rng.choice([0.7, 3.0, 12.5, 30.0]))
    expected: list[Any] = Pyannote.merge_chunks(
        SlidingWindowFeature(scores[:, None], FRAMES), size, onset=onset, offset=offset
    )
    chunks = found(scores, Thresholds(onset, offset), size, int(rng.choice([0, 1, 7, 300])), rng)
    assert chunks == [Chunk(one["start"], one["end"], tuple(one["segments"])) for one in expected]


@pytest.mark.parametrize("seed", range(60))
def test_any_thresholds_find_chunks_in_order_that_are_no_longer_than_asked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    onset, offset = rng.choice([0.0, 0.3, 0.5, 1.0, rng.random()], 2).tolist()
    thresholds = Thresholds(onset, offset, float(rng.choice([0.0, 0.3, 90.0])), float(rng.choice([0.0, 0.2, 5.0])))
    scores = random_scores(rng, 6000)
    whole = found(scores, thresholds, 12.5, 0, rng)
    assert found(scores, thresholds, 12.5, 50, rng) == whole
    edges = [edge for chunk in whole for span in chunk.speech for edge in span]
    assert edges == sorted(edges) and all(edge >= 0.0 for edge in edges)
    assert all(chunk.end - chunk.start <= 12.5 for chunk in whole)
    loud = [FRAMES[place].middle for place in np.flatnonzero(scores > np.float32(onset))[:-1]]
    stretches = np.array(edges).reshape(-1, 2)
    assert all(((stretches[:, 0] <= time) & (time <= stretches[:, 1])).any() for time in loud)


def test_higher_offset_counts_as_the_onset() -> None:
    scores = [0.0, 0.6, 0.7, 0.6, 0.4, 0.0]
    assert spans(scores, Thresholds(0.5, 0.9)) == spans(scores, Thresholds(0.5, 0.5)) == [(1.0, 4.0)]


def test_offset_of_nothing_ends_no_speech() -> None:
    assert spans([0.0, 0.6, 0.0, 0.0], Thresholds(0.5, 0.0)) == [(1.0, 3.0)]


def test_short_pauses_do_not_end_speech_and_longer_ones_end_it_where_they_begin() -> None:
    scores = [0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0]
    assert spans(scores, Thresholds(0.5, 0.4, min_silence=3.0)) == [(1.0, 7.0), (10.0, 11.0)]
    assert spans(scores, Thresholds(0.5, 0.4, min_silence=2.0)) == [(1.0, 3.0), (5.0, 7.0), (10.0, 11.0)]
    assert spans(scores, Thresholds(0.5, 0.4, min_silence=9.0)) == [(1.0, 11.0)]


def test_speech_that_is_too_long_ends_in_a_pause_that_it_is_in() -> None:
    scores = [0.0, *[0.9] * 8, *[0.1] * 4, *[0.9] * 3]
    assert spans(scores, Thresholds(0.5, 0.4, min_silence=9.0), longest=10.0) == [(1.0, 9.0), (13.0, 15.0)]


def test_padding_goes_before_speech_and_not_into_what_comes_before() -> None:
    scores = [0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0]
    assert spans(scores, Thresholds(0.5, 0.4, pad=1.5)) == [(2.5, 5.0), (5.5, 9.0)]
    assert spans(scores, Thresholds(0.5, 0.4, pad=6.0)) == [(0.0, 5.0), (5.0, 9.0)]


def test_chunk_comes_once_nothing_fits_in_it_any_more() -> None:
    frames, thresholds = SlidingWindow(start=-0.005, duration=0.01, step=0.01), Thresholds(0.5, 0.4)
    speech, merging = Hysteresis(frames, thresholds, 30.0), Merging(30.0)
    came: list[float] = []
    talk = itertools.chain([1.0] * 2000, [0.0] * 3000, [1.0] * 6000)  # 20 s of speech, a pause, and a minute of it
    for count, score in enumerate(talk):
        for span in speech.add(np.array([score], dtype=np.float32)):
            came += [count * 0.01 for _ in merging.add(span)]
        came += [count * 0.01 for _ in merging.none_ends_before(speech.next_end)]
    assert came[0] == pytest.approx(30.0, abs=0.02)
    assert came[1] == pytest.approx(95.0, abs=0.05)  # where the second half minute is cut
