"""The speaker embeddings of a pyannote pipeline, without what pyannote computes more than once.

pyannote.audio 4 pairs every local speaker of a window with a copy of the window, and runs the network on each pair. A
network that pools its frames by weights (WeSpeaker's ResNets) needs one pass for all speakers of a window; one that
selects frames first (CAM++) needs one for each speaker who talks. Windows in which nobody talks need none: what
pyannote gives their speakers is a constant of the network, and is given here too, for the assignment of speakers sees
it.

The embeddings are those of `SpeakerDiarization.get_embeddings`, up to the rounding of sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pyannote.audio.models.embedding.wespeaker import BaseWeSpeakerResNet
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.core import SlidingWindowFeature

from whisperx_api.pipeline.campplus_model import CAMPPlusEmbedding

Hook = Callable[..., None]
Embed = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Waveforms (batch, 1, n_samples) and weights (batch, n_speakers, n_frames) -> (batch, n_speakers, dimension)."""


def embed_once(pipeline: SpeakerDiarization) -> bool:
    """Have `pipeline` embed each window once, where its network is known here; return whether it is."""
    model = getattr(getattr(pipeline, "_embedding", None), "model_", None)
    if isinstance(model, BaseWeSpeakerResNet):
        embed = _weighted(model)
    elif isinstance(model, CAMPPlusEmbedding):
        embed = model.embed_speakers
    else:
        return False

    def get_embeddings(
        file: Any, binary_segmentations: SlidingWindowFeature, exclude_overlap: bool = False, hook: Hook | None = None
    ) -> np.ndarray:
        return _embeddings(pipeline, embed, file, binary_segmentations, exclude_overlap, hook)

    pipeline.get_embeddings = get_embeddings
    return True


def _weighted(model: BaseWeSpeakerResNet) -> Embed:
    def embed(waveforms: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return model(waveforms, weights=weights)

    return embed


@torch.inference_mode()
def _embeddings(
    pipeline: SpeakerDiarization,
    embed: Embed,
    file: Any,
    windows: SlidingWindowFeature,
    exclude_overlap: bool,
    hook: Hook | None,
) -> np.ndarray:
    """Return (n_windows, n_speakers, dimension): what `SpeakerDiarization.get_embeddings` does."""
    embedding: Any = pipeline._embedding
    weights = speaker_weights(windows, exclude_overlap, embedding.min_num_samples, embedding.sample_rate)
    n_windows, n_speakers, _ = weights.shape
    found = np.empty((n_windows, n_speakers, embedding.dimension), np.float32)
    active = np.flatnonzero(weights.any(axis=(1, 2)))
    if len(active) < n_windows:
        silence = torch.zeros(1, 1, embedding.sample_rate, device=embedding.device)
        found[:] = embed(silence, torch.zeros(1, 1, weights.shape[2], device=embedding.device))[0].cpu().numpy()
    size = 1 if embedding.device.type == "cpu" else pipeline.embedding_batch_size  # a CPU's cache holds no batch
    total = math.ceil(len(active) / size)
    if hook is not None:
        hook("embeddings", None, total=total, completed=0)
    for done, start in enumerate(range(0, len(active), size), 1):
        batch = active[start : start + size]
        waveforms = torch.stack([pipeline._audio.crop(file, windows.sliding_window[i], mode="pad")[0] for i in batch])
        part = embed(waveforms.to(embedding.device), torch.from_numpy(weights[batch]).to(embedding.device))
        found[batch] = part.cpu().numpy()
        if hook is not None:
            hook("embeddings", found[batch], total=total, completed=done)
    return found


def speaker_weights(
    windows: SlidingWindowFeature, exclude_overlap: bool, min_samples: int, sample_rate: int
) -> np.ndarray:
    """Return each local speaker's frames, (n_windows, n_speakers, n_frames) float32.

    With `exclude_overlap` those in which others talk too are left out, unless too few are left for an embedding.
    """
    masks = np.nan_to_num(windows.data, nan=0.0).astype(np.float32).transpose(0, 2, 1)
    if not exclude_overlap:
        return masks
    n_frames = masks.shape[2]
    fewest = math.ceil(n_frames * min_samples / (windows.sliding_window.duration * sample_rate))
    clean = masks * (np.nansum(windows.data, axis=2) < 2)[:, None, :]
    return np.where(clean.sum(axis=2, keepdims=True) > fewest, clean, masks)
