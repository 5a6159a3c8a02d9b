"""Speaker embeddings computed once a window are those that pyannote computes once a local speaker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pyannote.audio.models.embedding.wespeaker import WeSpeakerResNet34
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.core import SlidingWindow, SlidingWindowFeature

from whisperx_api.pipeline.diarize import _starter
from whisperx_api.pipeline.embeddings import embed_once

FRAMES = 589


def windows(seed: int, n_windows: int = 3) -> SlidingWindowFeature:
    """Make local speakers: some silent, some overlapping, some with hardly a frame of their own; one window silent."""
    random = np.random.default_rng(seed)
    data = np.zeros((n_windows, FRAMES, 3))
    for window in data[1:]:
        for speaker in range(int(random.integers(1, 4))):
            start = int(random.integers(0, FRAMES - 10))
            window[start : start + int(random.integers(5, 300)), speaker] = 1.0
    return SlidingWindowFeature(data, SlidingWindow(start=0.0, duration=10.0, step=1.0))


@pytest.fixture(scope="module", params=["resnet", "campplus"])
def pipeline(request: pytest.FixtureRequest, starter_dir: Path) -> SpeakerDiarization:
    """The starter's pipeline, with its own embedding and with community-1's network on random weights."""
    torch.manual_seed(0)
    network = WeSpeakerResNet34().eval() if request.param == "resnet" else None
    pipeline = _starter(starter_dir) if network is None else _starter(starter_dir, network)
    pipeline.embedding_batch_size = 2
    return pipeline


@pytest.mark.parametrize("exclude_overlap", [False, True])
def test_embeddings_are_those_of_pyannote(pipeline: SpeakerDiarization, exclude_overlap: bool) -> None:
    random = np.random.default_rng(1)
    file = {"waveform": torch.from_numpy(random.standard_normal((1, 12 * 16000)).astype(np.float32)) / 10,
            "sample_rate": 16000}  # fmt: skip
    talk, told = windows(2), []
    stock = SpeakerDiarization.get_embeddings(pipeline, file, talk, exclude_overlap=exclude_overlap)
    assert embed_once(pipeline)
    once = pipeline.get_embeddings(
        file, talk, exclude_overlap=exclude_overlap, hook=lambda *_, total, completed: told.append(completed / total)
    )
    assert once.shape == stock.shape == (3, 3, stock.shape[2])
    np.testing.assert_allclose(once, stock, atol=1e-4, rtol=1e-4, equal_nan=True)
    assert told == sorted(told) and told[-1] == 1.0


def test_turns_are_those_of_pyannote(starter_dir: Path, sample_dir: Path) -> None:
    sound, rate = soundfile.read(sample_dir / "sample.wav", dtype="float32")
    file = {"waveform": torch.from_numpy(sound)[None], "sample_rate": rate}
    stock, once = _starter(starter_dir), _starter(starter_dir)
    assert embed_once(once)
    expected: Any = stock(file)
    found: Any = once(file)
    assert list(found.speaker_diarization.itertracks(yield_label=True)) == list(
        expected.speaker_diarization.itertracks(yield_label=True)
    )
    np.testing.assert_allclose(found.speaker_embeddings, expected.speaker_embeddings, atol=1e-5)


def test_unknown_network_is_left_as_it_is(starter_dir: Path) -> None:
    pipeline: Any = _starter(starter_dir)
    pipeline._embedding.model_ = torch.nn.Identity()
    assert not embed_once(pipeline)
