"""CAM++ as a pyannote.audio model: waveforms and who talks when in, speaker embeddings out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.compliance import kaldi

from whisperx_api.pipeline.campplus import EMBEDDING_DIMENSION, MEL_BINS, CAMPPlus

with warnings.catch_warnings():
    # Audio always comes in decoded, so the decoder that pyannote may lack is of no consequence.
    warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly", category=UserWarning)
    from pyannote.audio import Model
    from pyannote.audio.core.task import Problem, Resolution, Specifications

SAMPLE_RATE = 16_000
"""Samples a second the network was trained on."""
MIN_FRAMES = 4
"""Fewest 10 ms frames that can be embedded: pooling takes a standard deviation over half as many."""
TRAINING_SECONDS = 3.0
"""Length of the excerpts the network was trained on; the pipeline does not depend on it."""


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

    def frames(self, waveforms: Tensor, forward: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(batch, 1, samples) -> (batch, channels, frames), 50 frames a second; features less their mean over all.

        `forward` stands for the network's own `forward_frames`.
        """
        features = self.features(waveforms)
        return (forward or self.network.forward_frames)(features - features.mean(1, keepdim=True))

    def pool(self, frames: Tensor, weights: Tensor) -> Tensor:
        """Embed speakers from the frames in which they talk.

        frames: (1, channels, frames) of `frames`. weights: (1, speakers, frames); a speaker talks where over 0.5.
        Returns (1, speakers, EMBEDDING_DIMENSION) float32, NaN where too few frames are selected, as in `forward`.
        """
        talks = (weights[0] > 0.5).to(frames.dtype)
        count = talks.sum(-1, keepdim=True)
        middle = frames[0].mean(-1)
        apart = (frames[0] - middle[:, None]).T  # sums of squares lose digits where the mean is large
        mean = talks @ apart / count
        variance = (talks @ apart.square() - count * mean.square()) / (count - 1)
        statistics = torch.cat([middle + mean, variance.clamp(min=0).sqrt()], dim=-1)
        out = self.network.embed_statistics(statistics)
        return out.masked_fill(count < MIN_FRAMES // 2, torch.nan)[None]

    def embed_selected(self, features: Tensor, weights: Tensor) -> Tensor:
        """(frames, MEL_BINS), and weights at any frame rate -> (EMBEDDING_DIMENSION,), NaN if too few are selected."""
        selected = F.interpolate(weights[None, None], size=len(features), mode="nearest")[0, 0] > 0.5
        if int(selected.sum()) < MIN_FRAMES:
            return features.new_full((EMBEDDING_DIMENSION,), torch.nan)
        return self.embed(features[selected])
