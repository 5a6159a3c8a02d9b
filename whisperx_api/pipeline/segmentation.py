"""The segmentation network of pyannote, without what its overlapping windows share.

PyanNet (Bredin and Laurent, "End-to-end speaker segmentation for overlap-aware resegmentation", Interspeech 2021)
slides over a recording in windows, ten of which overlap at every moment. On a CPU its convolutions are quickest one
window at a time, for that is what fits the cache; its LSTM is quickest with a batch.

It starts by normalising the window, and with a bank of sinc filters (Ravanelli and Bengio, "Speaker recognition from
raw waveform with SincNet", SLT 2018). Both are linear, so the filters can run once over all windows of a batch, and
each window be normalised after them. Everything behind sees what it would have seen but for the rounding of sums, which
turns the decision on a frame in some ten thousand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from pyannote.audio.models.blocks.sincnet import SincNet
from pyannote.audio.models.segmentation import PyanNet

from whisperx_api.pipeline.crew import in_order

BATCH = 16
"""Windows that pass through the network together on a CPU: its LSTM gains up to eight of them, and no more after."""


def window_by_window(model: object, workers: int = 1) -> bool:
    """Have the segmentation network `model` take the windows of a batch through its convolutions one by one.

    `workers` threads take up to `BATCH` windows each. The scores stay the same to the bit.
    Returns whether it was done: on a CPU, where the network is known.
    """
    return _replace(model, _one_by_one, workers)


def filter_once(model: object, workers: int = 1) -> bool:
    """Have the segmentation network `model` filter the overlapping windows of a batch once, and go on one by one.

    `workers` threads take up to `BATCH` windows each. The scores are the same but for rounding. Returns whether it was
    done: on a CPU, where the network is known.
    """
    return _replace(model, _filtered_once, workers)


def _replace(model: object, convolve: Callable[[SincNet, torch.Tensor], torch.Tensor], workers: int) -> bool:
    """Elsewhere than on a CPU windows are copied to the device apart, and convolutions are quickest in a batch."""
    if not isinstance(model, PyanNet) or model.device.type != "cpu":
        return False
    net, network = model.sincnet, model

    def convolutions(waveforms: torch.Tensor) -> torch.Tensor:
        return convolve(net, waveforms)

    @torch.inference_mode()
    def scores(waveforms: torch.Tensor) -> torch.Tensor:
        return PyanNet.forward(network, waveforms)

    def in_parts(waveforms: torch.Tensor) -> torch.Tensor:
        size = min(BATCH, math.ceil(len(waveforms) / workers))
        return torch.cat(list(in_order(scores, waveforms.split(size), workers)))

    net.forward = convolutions
    model.forward = in_parts
    return True


def _one_by_one(net: SincNet, waveforms: torch.Tensor) -> torch.Tensor:
    """(batch, 1, n_samples) -> (batch, n_features, n_frames), as `SincNet.forward`."""
    return torch.cat([SincNet.forward(net, waveform[None]) for waveform in waveforms])


def _filtered_once(net: SincNet, waveforms: torch.Tensor) -> torch.Tensor:
    """(batch, 1, n_samples) -> (batch, n_features, n_frames), as `SincNet.forward`.

    The filters run once where the batch is an overlapping view of one waveform, as `Inference.slide` makes it.
    """
    filters: Any = net.conv1d[0]
    hop, size = net.stride, filters.filterbank.kernel_size
    batch, _, n_samples = waveforms.shape
    step = waveforms.stride(0)
    if batch > 1 and 0 < step < n_samples and step % hop == 0 and waveforms.stride(2) == 1:
        whole = torch.as_strided(waveforms, (1, 1, (batch - 1) * step + n_samples), (n_samples, n_samples, 1))
        filtered = filters(whole)
        n_frames = (n_samples - size) // hop + 1
        firsts = range(0, batch * step // hop, step // hop)
    else:
        filtered = torch.cat([filters(waveform[None]) for waveform in waveforms], dim=-1)
        n_frames = filtered.shape[-1] // batch
        firsts = range(0, batch * n_frames, n_frames)
    pooled: Any = net.pool1d[0].kernel_size
    extremes = F.max_pool1d(filtered, pooled, stride=1), F.max_pool1d(-filtered, pooled, stride=1).neg_()
    constant = filters(waveforms.new_ones(1, 1, size))
    windows: list[torch.Tensor] = []
    for first, waveform in zip(firsts, waveforms, strict=True):
        highest, lowest = (some[..., first : first + n_frames - pooled + 1 : pooled] for some in extremes)
        windows.append(_window(net, highest, lowest, waveform, constant))
    return torch.cat(windows)


def _window(
    net: SincNet, highest: torch.Tensor, lowest: torch.Tensor, waveform: torch.Tensor, constant: torch.Tensor
) -> torch.Tensor:
    """Go on with one window: what the filters made of its `waveform`, pooled.

    highest, lowest: (1, n_filters, n_pooled), the extremes of the frames that are pooled to one. Normalising is linear,
        so it is one of these that is the largest in absolute value then.
    constant: (1, n_filters, 1), what the filters make of a signal that is one everywhere.
    """
    norm = net.wav_norm1d
    variance, mean = torch.var_mean(waveform, correction=0)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    shift = constant * (norm.bias - mean * scale)
    x = torch.maximum(torch.addcmul(shift, highest, scale).abs_(), torch.addcmul(shift, lowest, scale).abs_())
    x = F.leaky_relu(net.norm1d[0](x))
    for convolution, pool, normalise in zip(net.conv1d[1:], net.pool1d[1:], net.norm1d[1:], strict=True):
        x = F.leaky_relu(normalise(pool(convolution(x))))
    return x
