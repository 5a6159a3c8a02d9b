"""Scores of speech batch by batch, beside pyannote's own over the whole recording."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pyannote.audio import Inference
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.core import SlidingWindow

from whisperx_api.pipeline.crew import Crew
from whisperx_api.pipeline.speech_scores import speech_scores
from whisperx_api.transcript import SAMPLE_RATE

CLASSES = 3


class RandomNetwork(Inference):
    """pyannote's `Inference` on a network whose scores are drawn at random, the same for the same sound."""

    def __init__(self, rng: np.random.Generator, step: float, batch_size: int, warm_up: float, unknown: float) -> None:
        self.duration, self.step, self.batch_size, self.warm_up = 5.0, step, batch_size, (warm_up, warm_up)
        self.skip_aggregation, self.device = False, torch.device("cpu")
        self.pre_aggregation_hook = lambda scores: np.max(scores, axis=-1, keepdims=True)
        specifications = Specifications(
            Problem.MULTI_LABEL_CLASSIFICATION, Resolution.FRAME, self.duration, classes=list("abc"),
            permutation_invariant=True,
        )  # fmt: skip
        field = SlidingWindow(start=0.0, duration=float(rng.uniform(0.02, 0.09)), step=float(rng.uniform(0.016, 0.05)))
        self.model: Any = SimpleNamespace(
            specifications=specifications, receptive_field=field,
            audio=SimpleNamespace(get_num_samples=lambda seconds: int(seconds * SAMPLE_RATE)),
        )  # fmt: skip
        self._n_frames = int((self.duration - field.duration) / field.step)
        self._unknown = unknown
        self.batches: list[int] = []

    def infer(self, chunks: torch.Tensor) -> np.ndarray:
        self.batches.append(len(chunks))
        found = np.empty((len(chunks), self._n_frames, CLASSES), dtype=np.float32)
        for place, chunk in enumerate(chunks):
            rng = np.random.default_rng(abs(hash(float(chunk.double().sum()))))
            found[place] = rng.random(found.shape[1:])
            found[place, rng.random(self._n_frames) < self._unknown] = np.nan
        return found


@pytest.mark.parametrize("seed", range(40))
def test_scores_are_pyannotes_to_the_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = RandomNetwork(
        rng, step=float(rng.choice([0.5, 0.37, 1.0, 2.5, 5.0])), batch_size=int(rng.integers(1, 9)),
        warm_up=float(rng.choice([0.0, 0.4])), unknown=float(rng.choice([0.0, 0.2])),
    )  # fmt: skip
    whole_steps = rng.random() < 0.3
    seconds = 5.0 + network.step * int(rng.integers(0, 30)) if whole_steps else float(rng.uniform(0.05, 40.0))
    waveform = torch.from_numpy(rng.standard_normal((1, round(seconds * SAMPLE_RATE))).astype(np.float32))
    expected: Any = network.slide(waveform, SAMPLE_RATE, hook=None)
    theirs, network.batches = network.batches, []
    found = list(speech_scores(network, waveform, Crew(1)))
    assert network.batches == theirs
    values = np.concatenate([some.values for some in found])
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected.data[:, 0])
    done = [some.done for some in found]
    assert len(done) == len(theirs) and done == sorted(done) and done[-1] == 1.0


def test_frames_come_as_soon_as_no_later_window_changes_them() -> None:
    network = RandomNetwork(np.random.default_rng(0), step=0.5, batch_size=4, warm_up=0.0, unknown=0.0)
    waveform = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 60 * SAMPLE_RATE)).astype(np.float32))
    frames, seen = network.model.receptive_field, 0
    for place, some in enumerate(list(speech_scores(network, waveform, Crew(1)))[:-1], 1):
        seen += len(some.values)
        assert seen * frames.step == pytest.approx(place * 4 * 0.5, abs=frames.step)
