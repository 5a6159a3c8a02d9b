"""The CAM++ network with random weights: what must hold whatever it was trained on."""

from __future__ import annotations

import copy
import hashlib

import pytest
import torch

from whisperx_api.pipeline.campplus import EMBEDDING_DIMENSION, MEL_BINS, ContextAwareMask, quickened
from whisperx_api.pipeline.campplus_model import MIN_FRAMES, SAMPLE_RATE, CAMPPlusEmbedding

CHECKPOINT_ENTRIES = 937
CHECKPOINT_LAYOUT = "2958fda68cb1e0e2e3515bcf89a06763a46fd96b97691d79b088322ebaa07900"
"""SHA-256 of the sorted lines "name shape" of 3D-Speaker's checkpoint."""


@pytest.fixture(scope="module")
def model() -> CAMPPlusEmbedding:
    """Random weights, with statistics of noise in its batch normalisations so that embeddings differ by about 1."""
    torch.manual_seed(1)
    model = CAMPPlusEmbedding()
    for module in model.network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average of what it has seen
    with torch.no_grad():
        model.train()
        model(0.1 * torch.randn(8, 1, 2 * SAMPLE_RATE))
    return model.eval()


@pytest.fixture
def waveforms() -> torch.Tensor:
    """(2, 1, 2 s) of noise"""
    return 0.1 * torch.randn(2, 1, 2 * SAMPLE_RATE, generator=torch.Generator().manual_seed(2))


def test_parameters_have_names_and_shapes_of_the_checkpoint(model: CAMPPlusEmbedding) -> None:
    state = model.network.state_dict()
    lines = [f"{name} {tuple(value.shape)}" for name, value in sorted(state.items())]
    assert len(lines) == CHECKPOINT_ENTRIES
    assert state["head.layer1.0.shortcut.0.weight"].shape == (32, 32, 1, 1)
    assert state["xvector.block3.tdnnd16.cam_layer.linear_local.weight"].shape == (32, 128, 3)
    assert state["xvector.dense.linear.weight"].shape == (EMBEDDING_DIMENSION, 1024, 1)
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == CHECKPOINT_LAYOUT


@torch.inference_mode()
@pytest.mark.parametrize("frames", [MIN_FRAMES, 99, 100, 201, 450])
def test_network_embeds_any_length(model: CAMPPlusEmbedding, frames: int) -> None:
    embeddings = model.network(torch.randn(2, frames, MEL_BINS))
    assert embeddings.shape == (2, EMBEDDING_DIMENSION)
    assert embeddings.isfinite().all()


@torch.inference_mode()
def test_each_waveform_is_embedded_by_itself(model: CAMPPlusEmbedding, waveforms: torch.Tensor) -> None:
    both = model(waveforms)
    alone = torch.cat([model(waveforms[:1]), model(waveforms[1:])])
    torch.testing.assert_close(both, alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(both[0], both[1], atol=1e-3)


@torch.inference_mode()
def test_loudness_does_not_matter(model: CAMPPlusEmbedding, waveforms: torch.Tensor) -> None:
    torch.testing.assert_close(model(waveforms), model(0.25 * waveforms), atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_full_weights_equal_none(model: CAMPPlusEmbedding, waveforms: torch.Tensor) -> None:
    weighted = model(waveforms, weights=torch.ones(2, 117))
    torch.testing.assert_close(weighted, model(waveforms), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_frames_of_others_have_no_influence(model: CAMPPlusEmbedding, waveforms: torch.Tensor) -> None:
    weights = torch.zeros(2, 118)
    weights[:, :59] = 1.0  # the first second
    changed = waveforms.clone()
    changed[..., SAMPLE_RATE + 800 :] = 0.0
    torch.testing.assert_close(model(changed, weights=weights), model(waveforms, weights=weights))
    assert not torch.allclose(model(changed, weights=1 - weights), model(waveforms, weights=1 - weights), atol=1e-3)


@torch.inference_mode()
def test_too_few_frames_give_nan_and_leave_the_others(model: CAMPPlusEmbedding, waveforms: torch.Tensor) -> None:
    weights = torch.zeros(2, 198)
    weights[1] = 1.0
    embeddings = model(waveforms, weights=weights)
    assert embeddings[0].isnan().all() and embeddings[1].isfinite().all()
    weights[0, : MIN_FRAMES - 1] = 1.0
    assert model(waveforms, weights=weights)[0].isnan().all()
    weights[0, :MIN_FRAMES] = 1.0
    assert model(waveforms, weights=weights)[0].isfinite().all()


@torch.inference_mode()
def test_too_short_a_waveform_is_refused(model: CAMPPlusEmbedding) -> None:
    shortest = 400 + (MIN_FRAMES - 1) * 160
    assert model(torch.randn(1, 1, shortest)).shape == (1, EMBEDDING_DIMENSION)
    with pytest.raises(ValueError, match="too few"):
        model(torch.randn(1, 1, shortest - 1))


@torch.inference_mode()
def test_mask_sees_the_whole_and_its_own_hundred_frames() -> None:
    layer = ContextAwareMask(in_channels=8, out_channels=4, dilation=2)
    x = torch.randn(1, 8, 230)
    near = [x[..., start : start + 100].mean(-1, keepdim=True) for start in (0, 100, 200)]
    context = torch.cat([(x.mean(-1, keepdim=True) + near[t // 100]) for t in range(230)], dim=-1)
    mask = torch.sigmoid(layer.linear2(torch.relu(layer.linear1(context))))
    torch.testing.assert_close(layer(x), layer.linear_local(x) * mask)


@torch.inference_mode()
def test_quickened_network_makes_the_same_frames_but_for_rounding(model: CAMPPlusEmbedding) -> None:
    random = torch.Generator().manual_seed(3)
    quick, rough = quickened(model.network), quickened(model.network, torch.bfloat16)
    exact = copy.deepcopy(model.network).double()
    for batch, n_frames in [(1, 300), (2, 37), (1, 1), (3, 110), (1, 300)]:
        features = torch.randn(batch, n_frames, MEL_BINS, generator=random)
        before = model.network.forward_frames(features)
        assert before.shape == (batch, 512, (n_frames + 1) // 2) and float(before.abs().mean()) > 0.01
        truth = exact.forward_frames(features.double())
        rounding = float((before - truth).abs().max())
        assert rounding < 1e-4 * float(truth.abs().max())
        assert float((quick(features) - truth).abs().max()) < 3 * rounding
        frames = rough(features)
        assert frames.dtype == torch.float32 and 0.001 < float((frames - before).norm() / before.norm()) < 0.2
    torch.testing.assert_close(model.network.forward_frames(features), before, rtol=0, atol=0)  # they are copies
