"""Embeddings of every half second: which frames they are of, and that they travel as plain values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from whisperx_api.pipeline.subsegments import joined, packed, spans, unpacked
from whisperx_api.transcript import Diarization, Subsegments, from_json, to_json


def times(weights: torch.Tensor, rate: float) -> list[tuple[float, float]]:
    """Return from when to when each half second's frames are; all between must be among them."""
    found: list[tuple[float, float]] = []
    for row in weights[0]:
        there = torch.nonzero(row).flatten()
        assert len(there) == there[-1] - there[0] + 1
        found.append((float(there[0]) / rate, float(there[-1] + 1) / rate))
    return found


def test_each_half_second_is_in_the_middle_of_a_second_of_frames() -> None:
    weights = spans(100, 50.0)
    assert weights.shape == (1, 4, 100) and set(weights.unique().tolist()) == {0.0, 1.0}
    expected = [0.0, 0.76, 0.26, 1.24, 0.76, 1.74, 1.26, 2.0]  # to a frame
    assert np.ravel(times(weights, 50.0)).tolist() == pytest.approx(expected, abs=0.021)


@pytest.mark.parametrize("n_frames", [*range(12, 80), 499, 500])
def test_every_half_second_has_frames_enough_for_a_deviation(n_frames: int) -> None:
    counts = spans(n_frames, 50.0).sum(-1)
    assert counts.shape == (1, -(-n_frames // 25)) and float(counts.min()) >= 12


def test_blocks_are_joined_at_their_times() -> None:
    blocks = {1: np.full((20, 3), 1.0), 4: np.full((7, 3), 4.0)}
    found = joined(blocks, 20)
    assert found.shape == (87, 3)
    assert found[:, 0].tolist() == [0.0] * 20 + [1.0] * 20 + [0.0] * 40 + [4.0] * 7
    assert joined({}, 20).shape == (0, 0)


@pytest.mark.parametrize("shape", [(7, 192), (0, 192), (0, 0)])
def test_they_travel_as_plain_values(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    sent = to_json(Diarization((), (), subsegments=packed(vectors)))
    received = from_json(Diarization, sent).subsegments
    assert isinstance(received, Subsegments) and (received.step, received.dimension) == (0.5, shape[1])
    np.testing.assert_allclose(unpacked(received), vectors, rtol=1e-3, atol=1e-6)
    assert len(sent) < 400 + len(vectors) * shape[1] * 2 * 4 / 3
