"""What the segmentation network says of windows that are taken apart or filtered once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pyannote.audio import Inference, Model

from whisperx_api.pipeline.diarizers import STARTER_SEGMENTATION
from whisperx_api.pipeline.segmentation import BATCH, filter_once, window_by_window


def network(starter_dir: Path) -> Any:
    return Model.from_pretrained(starter_dir / STARTER_SEGMENTATION)


@pytest.fixture(scope="module")
def stock(starter_dir: Path) -> Any:
    return network(starter_dir)


@pytest.fixture(scope="module")
def shared(starter_dir: Path) -> Any:
    model = network(starter_dir)
    assert filter_once(model)
    return model


@pytest.fixture(scope="module")
def speech(sample_dir: Path) -> torch.Tensor:
    return torch.from_numpy(soundfile.read(sample_dir / "sample.wav", dtype="float32")[0])[None]


def scores(model: Any, sound: torch.Tensor, batch_size: int = 4, skip_conversion: bool = True) -> np.ndarray:
    inference: Any = Inference(
        model, duration=10.0, step=1.0, skip_aggregation=True, skip_conversion=skip_conversion, batch_size=batch_size
    )
    return inference({"waveform": sound, "sample_rate": 16000}).data


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_scores_of_speech_are_the_same(stock: Any, shared: Any, speech: torch.Tensor, batch_size: int) -> None:
    sound = speech[:, : 14 * 16000 + 321]  # its last window is padded
    np.testing.assert_allclose(scores(shared, sound, batch_size), scores(stock, sound, batch_size), atol=2e-3)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.5), (1e-4, 0.0), (0.0, 0.0), (0.0, 0.25), (1e-3, -0.1)])
def test_probabilities_are_the_same_for_faint_offset_and_silent_sound(
    stock: Any, shared: Any, speech: torch.Tensor, gain: float, offset: float
) -> None:
    sound = speech[:, : 12 * 16000] * gain + offset
    np.testing.assert_allclose(np.exp(scores(shared, sound)), np.exp(scores(stock, sound)), atol=2e-3)


def test_hardly_a_frame_is_decided_otherwise(stock: Any, shared: Any, speech: torch.Tensor) -> None:
    found, expected = (scores(model, speech, 16, skip_conversion=False) for model in (shared, stock))
    assert np.mean(found != expected) < 1e-4


def test_windows_one_by_one_are_the_same_to_the_bit(stock: Any, starter_dir: Path, speech: torch.Tensor) -> None:
    model = network(starter_dir)
    assert window_by_window(model)
    np.testing.assert_array_equal(scores(model, speech, 8), scores(stock, speech, 8))


@pytest.mark.parametrize("change", [window_by_window, filter_once])
def test_threads_score_the_same_but_for_rounding(
    starter_dir: Path, speech: torch.Tensor, change: Callable[..., bool]
) -> None:
    sound = torch.cat([speech, speech], dim=1)
    one, three = network(starter_dir), network(starter_dir)
    assert change(one) and change(three, 3)
    # how a processor rounds may depend on the size of a batch
    np.testing.assert_allclose(scores(three, sound, 3 * BATCH), scores(one, sound, BATCH), rtol=0, atol=1e-5)


def test_windows_that_overlap_are_filtered_once(shared: Any, speech: torch.Tensor) -> None:
    lengths: list[int] = []
    filters = shared.sincnet.conv1d[0]
    handle = filters.register_forward_pre_hook(lambda module, inputs: lengths.append(inputs[0].shape[-1]))
    try:
        scores(shared, speech[:, : 25 * 16000], batch_size=16)
    finally:
        handle.remove()
    assert sum(lengths) < 26 * 16000


def test_another_network_is_left_as_it_is() -> None:
    assert not filter_once(torch.nn.Identity()) and not window_by_window(torch.nn.Identity())
