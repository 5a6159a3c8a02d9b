"""CAM++, the speaker embedding network of the starter models.

Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking",
Interspeech 2023, arXiv 2303.00332. Parameter names are those of the checkpoints of the 3D-Speaker project, so they
load with `strict=True`.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

MEL_BINS = 80
"""Kaldi filterbank channels, one frame every 10 ms from 25 ms of signal."""
EMBEDDING_DIMENSION = 192
HEAD_CHANNELS = 32
TDNN_CHANNELS = 128
GROWTH = 32
BOTTLENECK = 4 * GROWTH
CONTEXT_REDUCTION = 2
CONTEXT_FRAMES = 100
"""Length of the segments whose mean tells the mask what is near; the network's frames are 20 ms apart."""
BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of each densely connected block."""
POOLING = ("stats", "dense")
"""Names of the last layers: from frames to an embedding."""


def _batchnorm(channels: int, affine: bool = True) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels, affine=affine)))


def _batchnorm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU(inplace=True)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; `stride` thins the frequency axis only."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, bins, frames) -> (batch, channels, bins / stride, frames)"""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class FrontEndConvolution(nn.Module):
    """The front-end convolution module (FCM): a 2-D residual network that keeps the frame rate."""

    def __init__(self, channels: int = HEAD_CHANNELS) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(ResidualBlock(channels, 2), ResidualBlock(channels, 1))
        self.layer2 = nn.Sequential(ResidualBlock(channels, 2), ResidualBlock(channels, 1))
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.out_channels = channels * (MEL_BINS // 8)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, MEL_BINS, frames) -> (batch, out_channels, frames)"""
        y = F.relu(self.bn1(self.conv1(x.unsqueeze(1))))
        y = self.layer2(self.layer1(y))
        return F.relu(self.bn2(self.conv2(y))).flatten(1, 2)


class TDNN(nn.Module):
    """The convolution over time that halves the frame rate."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(in_channels, out_channels, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _batchnorm_relu(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, frames) -> (batch, out_channels, ceil(frames / 2))"""
        return self.nonlinear(self.linear(x))


class ContextAwareMask(nn.Module):
    """A convolution whose output is gated by what the whole and the near context say (CAM)."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__()
        hidden = in_channels // CONTEXT_REDUCTION
        self.linear_local = nn.Conv1d(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(in_channels, hidden, 1)
        self.linear2 = nn.Conv1d(hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, frames) -> (batch, out_channels, frames)"""
        near = F.avg_pool1d(x, CONTEXT_FRAMES, stride=CONTEXT_FRAMES, ceil_mode=True)
        context = F.relu(self.linear1(x.mean(-1, keepdim=True) + near))
        mask = torch.sigmoid(self.linear2(context))  # the same for all frames of a segment
        return self.linear_local(x) * mask.repeat_interleave(CONTEXT_FRAMES, dim=-1)[..., : x.shape[-1]]


class DenseLayer(nn.Module):
    """One layer of a densely connected TDNN (D-TDNN): a bottleneck, then the masked convolution."""

    def __init__(self, in_channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _batchnorm_relu(in_channels)
        self.linear1 = nn.Conv1d(in_channels, BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _batchnorm_relu(BOTTLENECK)
        self.cam_layer = ContextAwareMask(BOTTLENECK, GROWTH, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, frames) -> (batch, GROWTH, frames)"""
        return self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))


class DenseBlock(nn.Module):
    """Layers that each see the output of all before them."""

    def __init__(self, layers: int, in_channels: int, dilation: int) -> None:
        super().__init__()
        for i in range(layers):
            self.add_module(f"tdnnd{i + 1}", DenseLayer(in_channels + i * GROWTH, dilation))
        self.out_channels = in_channels + layers * GROWTH

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, frames) -> (batch, out_channels, frames)"""
        known = x.shape[1]
        out = x.new_empty(x.shape[0], self.out_channels, x.shape[2])
        out[:, :known] = x
        for layer in self.children():
            out[:, known : known + GROWTH] = layer(out[:, :known])
            known += GROWTH
        return out


class Transition(nn.Module):
    """Halves the channels between two blocks."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.nonlinear = _batchnorm_relu(in_channels)
        self.linear = nn.Conv1d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, frames) -> (batch, out_channels, frames)"""
        return self.linear(self.nonlinear(x))


class StatisticsPooling(nn.Module):
    """Mean and (unbiased) standard deviation over time."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, 2 * channels)"""
        return torch.cat([x.mean(-1), x.std(-1)], dim=-1)


class Dense(nn.Module):
    """The projection to the embedding, normalised by training statistics without a learned scale."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(in_channels, out_channels, 1, bias=False)
        self.nonlinear = _batchnorm(out_channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels) -> (batch, out_channels)"""
        return self.nonlinear(self.linear(x.unsqueeze(-1)).squeeze(-1))


class CAMPPlus(nn.Module):
    """The network, from filterbank frames to one embedding an excerpt."""

    def __init__(self) -> None:
        super().__init__()
        self.head = FrontEndConvolution()
        layers: OrderedDict[str, nn.Module] = OrderedDict(tdnn=TDNN(self.head.out_channels, TDNN_CHANNELS))
        channels = TDNN_CHANNELS
        for i, (depth, dilation) in enumerate(BLOCKS, start=1):
            block = DenseBlock(depth, channels, dilation)
            channels = block.out_channels // 2
            layers[f"block{i}"] = block
            layers[f"transit{i}"] = Transition(block.out_channels, channels)
        layers["out_nonlinear"] = _batchnorm_relu(channels)
        layers |= zip(POOLING, (StatisticsPooling(), Dense(2 * channels, EMBEDDING_DIMENSION)), strict=True)
        self.xvector = nn.Sequential(layers)

    def forward(self, features: Tensor) -> Tensor:
        """Embed excerpts of one length.

        features: (batch, frames, MEL_BINS) float32, log mel energies less their mean over the frames.
        Returns (batch, EMBEDDING_DIMENSION) float32, not normalised; compare by cosine.
        """
        return self.xvector(self.head(features.transpose(1, 2)))

    def forward_frames(self, features: Tensor) -> Tensor:
        """(batch, frames, MEL_BINS) -> (batch, channels, ceil(frames / 2)): what the statistics are taken over."""
        return self.xvector[: -len(POOLING)](self.head(features.transpose(1, 2)))

    def embed_statistics(self, statistics: Tensor) -> Tensor:
        """(batch, 2 * channels), mean and unbiased standard deviation of frames -> (batch, EMBEDDING_DIMENSION)"""
        return self.xvector[-1](statistics)


class PointwiseConvolution(nn.Module):
    """A `Conv1d` of one tap, without a bias, that computes in `dtype` between float32: a matrix product."""

    weight: Tensor

    def __init__(self, convolution: nn.Conv1d, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", convolution.weight.detach().squeeze(-1).to(dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, frames) float32 -> (batch, out_channels, frames) float32"""
        return torch.matmul(self.weight, x.to(self.weight.dtype)).float()


def quickened(network: CAMPPlus, dtype: torch.dtype = torch.float32) -> Callable[[Tensor], Tensor]:
    """Return what makes the same frames as `network.forward_frames` but for rounding, quicker on a CPU.

    Its 2-D convolutions have their normalisations folded in, and what they compute lies channel by channel for each
    moment. They and the convolutions of one tap, which are most of the network, compute in `dtype`. It is traced, for
    the hundreds of short steps of a block would have threads wait for each other's turn in the interpreter.
    """
    quick: Any = copy.deepcopy(network).eval()
    head = _quickened_head(quick.head, dtype)
    if dtype is not torch.float32:
        for module in [*quick.xvector.modules()]:
            for name, layer in module.named_children():
                if isinstance(layer, nn.Conv1d) and layer.kernel_size == (1,) and layer.bias is None:
                    setattr(module, name, PointwiseConvolution(layer, dtype))
    example = torch.zeros(1, 2 * CONTEXT_FRAMES, MEL_BINS)
    with torch.no_grad():
        layers = nn.Sequential(_Turned(), head, *quick.xvector[: -len(POOLING)])
        # Nothing in it depends on what it is given but shapes: to check that, torch would trace it once more.
        traced: Any = torch.jit.trace(layers, example, check_trace=False)
    return traced


class _Turned(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.transpose(1, 2)


def _quickened_head(head: Any, dtype: torch.dtype) -> Any:
    for block in (head, *head.layer1, *head.layer2):
        block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1, block.bn1), nn.Identity()
        block.conv2, block.bn2 = fuse_conv_bn_eval(block.conv2, block.bn2), nn.Identity()
        if block is not head and len(block.shortcut):
            block.shortcut = fuse_conv_bn_eval(*block.shortcut)
    if dtype is not torch.float32:
        head.register_forward_pre_hook(lambda module, given: (given[0].to(dtype),))
        head.register_forward_hook(lambda module, given, made: made.float())
    return head.to(dtype=dtype, memory_format=torch.channels_last)
