"""CAM++, the speaker embedding network of the starter models, as a pyannote.audio model.

Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking",
Interspeech 2023, arXiv 2303.00332. Parameter names are those of the checkpoints of the 3D-Speaker project, so they
load with `strict=True`.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.compliance import kaldi

with warnings.catch_warnings():
    # Audio always comes in decoded, so the decoder that pyannote may lack is of no consequence.
    warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly", category=UserWarning)
    from pyannote.audio import Model
    from pyannote.audio.core.task import Problem, Resolution, Specifications

SAMPLE_RATE = 16_000
"""Samples a second the network was trained on."""
MEL_BINS = 80
"""Kaldi filterbank channels, one frame every 10 ms from 25 ms of signal."""
EMBEDDING_DIMENSION = 192
MIN_FRAMES = 4
"""Fewest 10 ms frames that can be embedded: pooling takes a standard deviation over half as many."""
TRAINING_SECONDS = 3.0
"""Length of the excerpts the network was trained on; the pipeline does not depend on it."""

HEAD_CHANNELS = 32
TDNN_CHANNELS = 128
GROWTH = 32
BOTTLENECK = 4 * GROWTH
CONTEXT_REDUCTION = 2
CONTEXT_FRAMES = 100
"""Length of the segments whose mean tells the mask what is near; the network's frames are 20 ms apart."""
BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of each densely connected block."""


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
        near = near.repeat_interleave(CONTEXT_FRAMES, dim=-1)[..., : x.shape[-1]]
        context = F.relu(self.linear1(x.mean(-1, keepdim=True) + near))
        return self.linear_local(x) * torch.sigmoid(self.linear2(context))


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
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)
        return x


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
        layers["stats"] = StatisticsPooling()
        layers["dense"] = Dense(2 * channels, EMBEDDING_DIMENSION)
        self.xvector = nn.Sequential(layers)

    def forward(self, features: Tensor) -> Tensor:
        """Embed excerpts of one length.

        features: (batch, frames, MEL_BINS) float32, log mel energies less their mean over the frames.
        Returns (batch, EMBEDDING_DIMENSION) float32, not normalised; compare by cosine.
        """
        return self.xvector(self.head(features.transpose(1, 2)))


class CAMPPlusEmbedding(Model):
    """CAM++ on waveforms, with each speaker's frames selected before the network runs."""

    def __init__(self) -> None:
        super().__init__(sample_rate=SAMPLE_RATE, num_channels=1)
        self.specifications = Specifications(
            problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=TRAINING_SECONDS
        )
        self.network = CAMPPlus()
        self.fbank = partial(
            kaldi.fbank, num_mel_bins=MEL_BINS, sample_frequency=SAMPLE_RATE, dither=0.0, use_energy=False
        )

    @classmethod
    def from_checkpoint(cls, path: Path) -> CAMPPlusEmbedding:
        """Load the weights at `path`, a plain state dict. Raises `RuntimeError` where they are another network's."""
        model = cls()
        model.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
        return model.eval()

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return EMBEDDING_DIMENSION

    def features(self, waveforms: Tensor) -> Tensor:
        """(batch, 1, samples) float32 in -1..1 -> (batch, frames, MEL_BINS) log mel energies, 100 frames a second."""
        return torch.stack([self.fbank(waveform) for waveform in waveforms])

    def embed(self, features: Tensor) -> Tensor:
        """(frames, MEL_BINS) -> (EMBEDDING_DIMENSION,)"""
        return self.network((features - features.mean(0)).unsqueeze(0)).squeeze(0)

    def forward(self, waveforms: Tensor, weights: Tensor | None = None, **kwargs: object) -> Tensor:
        """Embed each waveform, or each speaker's part of it.

        waveforms: (batch, 1, samples) float32 in -1..1 at `SAMPLE_RATE`.
        weights: (batch, frames) at any frame rate; the speaker talks where it is over 0.5. The frames of the
            others never reach the network, so what they say has no influence.
        Returns (batch, EMBEDDING_DIMENSION) float32: NaN where fewer than `MIN_FRAMES` frames are selected.
        Raises `ValueError` without weights where the waveforms are shorter than that.
        """
        out = waveforms.new_full((waveforms.shape[0], EMBEDDING_DIMENSION), torch.nan)
        if weights is None:
            features = self.features(waveforms)
            if features.shape[1] < MIN_FRAMES:
                raise ValueError(f"{features.shape[1]} frames are too few for an embedding")
            return self.network(features - features.mean(1, keepdim=True))
        for i in torch.nonzero((weights > 0.5).any(-1)).flatten().tolist():
            out[i] = self.embed_selected(self.features(waveforms[i : i + 1])[0], weights[i])
        return out

    def embed_speakers(self, waveforms: Tensor, weights: Tensor) -> Tensor:
        """Embed the parts of several speakers of each waveform, whose features are made once.

        waveforms: (batch, 1, samples). weights: (batch, speakers, frames), as in `forward`.
        Returns (batch, speakers, EMBEDDING_DIMENSION) float32, NaN as in `forward`.
        """
        out = waveforms.new_full((*weights.shape[:2], EMBEDDING_DIMENSION), torch.nan)
        talks = (weights > 0.5).any(-1)
        for i in torch.nonzero(talks.any(-1)).flatten().tolist():
            features = self.features(waveforms[i : i + 1])[0]
            for speaker in torch.nonzero(talks[i]).flatten().tolist():
                out[i, speaker] = self.embed_selected(features, weights[i, speaker])
        return out

    def embed_selected(self, features: Tensor, weights: Tensor) -> Tensor:
        """(frames, MEL_BINS), and weights at any frame rate -> (EMBEDDING_DIMENSION,), NaN if too few are selected."""
        selected = F.interpolate(weights[None, None], size=len(features), mode="nearest")[0, 0] > 0.5
        if int(selected.sum()) < MIN_FRAMES:
            return features.new_full((EMBEDDING_DIMENSION,), torch.nan)
        return self.embed(features[selected])
