"""The speaker embeddings of a pyannote pipeline, without what pyannote computes more than once.

pyannote.audio 4 pairs every local speaker of a window with a copy of the window, and runs the network on each pair. A
network that pools its frames by weights (WeSpeaker's ResNets) needs one pass for all speakers of a window; one that
selects frames first (CAM++) needs one for each speaker who talks. Windows in which nobody talks need none: what
pyannote gives their speakers is a constant of the network, and is given here too, for the assignment of speakers sees
it.

The embeddings are those of `SpeakerDiarization.get_embeddings`, up to the rounding of sums.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import torch
from pyannote.audio.models.embedding.wespeaker import BaseWeSpeakerResNet
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.core import SlidingWindowFeature

from whisperx_api.pipeline.campplus_model import CAMPPlusEmbedding
from whisperx_api.pipeline.crew import in_order

Hook = Callable[..., None]
Compute = Callable[[Any, SlidingWindowFeature, bool, "Hook | None"], np.ndarray]
"""The file, who talks in each window (n_windows, n_frames, n_speakers), whether to leave out overlap, and the hook ->
(n_windows, n_speakers, dimension), as `SpeakerDiarization.get_embeddings`."""
Embed = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Waveforms (batch, 1, n_samples) and weights (batch, n_speakers, n_frames) -> (batch, n_speakers, dimension)."""


def embed_once(pipeline: SpeakerDiarization, workers: int = 1) -> bool:
    """Have `pipeline` embed each window once, where its network is known here; return whether it is.

    On a CPU `workers` threads take a window each.
    """
    model = embedding_network(pipeline)
    if isinstance(model, BaseWeSpeakerResNet):
        embed = _weighted(model)
    elif isinstance(model, CAMPPlusEmbedding):
        embed = model.embed_speakers
    else:
        return False
    embed_with(pipeline, functools.partial(_embeddings, pipeline, embed, workers))
    return True


def embedding_network(pipeline: SpeakerDiarization) -> object:
    """Return the network of a pipeline's embedding; None where it has none of torch's."""
    return getattr(getattr(pipeline, "_embedding", None), "model_", None)


def embed_with(pipeline: SpeakerDiarization, compute: Compute) -> None:
    """Have `pipeline` get its embeddings from `compute`."""

    def get_embeddings(
        file: Any, binary_segmentations: SlidingWindowFeature, exclude_overlap: bool = False, hook: Hook | None = None
    ) -> np.ndarray:
        return compute(file, binary_segmentations, exclude_overlap, hook)

    pipeline.get_embeddings = get_embeddings


def _weighted(model: BaseWeSpeakerResNet) -> Embed:
    def embed(waveforms: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return model(waveforms, weights=weights)

    return embed


@torch.inference_mode()
def _embeddings(
    pipeline: SpeakerDiarization,
    embed: Embed,
    workers: int,
    file: Any,
    windows: SlidingWindowFeature,
    exclude_overlap: bool,
    hook: Hook | None,
) -> np.ndarray:
    """Return (n_windows, n_speakers, dimension): what `SpeakerDiarization.get_embeddings` does."""
    embedding: Any = pipeline._embedding
    fewest = fewest_frames(embedding, windows)
    n_windows, n_frames, n_speakers = windows.data.shape
    found = np.empty((n_windows, n_speakers, embedding.dimension), np.float32)
    active = np.flatnonzero((windows.data > 0).any(axis=(1, 2)))
    if len(active) < n_windows:
        silence = torch.zeros(1, 1, embedding.sample_rate, device=embedding.device)
        found[:] = embed(silence, torch.zeros(1, 1, n_frames, device=embedding.device))[0].cpu().numpy()
    on_cpu = embedding.device.type == "cpu"
    size = 1 if on_cpu else pipeline.embedding_batch_size  # a CPU's cache holds no batch
    batches = [active[start : start + size] for start in range(0, len(active), size)]

    @torch.inference_mode()
    def embeddings(batch: np.ndarray) -> np.ndarray:
        waveforms = torch.stack([pipeline._audio.crop(file, windows.sliding_window[i], mode="pad")[0] for i in batch])
        weights = torch.from_numpy(speaker_weights(windows.data[batch], exclude_overlap, fewest))
        return embed(waveforms.to(embedding.device), weights.to(embedding.device)).cpu().numpy()

    if hook is not None:
        hook("embeddings", None, total=len(batches), completed=0)
    with closing(in_order(embeddings, batches, workers if on_cpu else 1)) as computed:
        for done, (batch, part) in enumerate(zip(batches, computed, strict=True), 1):
            found[batch] = part
            if hook is not None:
                hook("embeddings", part, total=len(batches), completed=done)
    return found


def fewest_frames(embedding: Any, windows: SlidingWindowFeature) -> int:
    """Return how many frames of a window make up the shortest sound that pyannote's `embedding` takes."""
    n_samples = windows.sliding_window.duration * embedding.sample_rate
    return math.ceil(windows.data.shape[1] * embedding.min_num_samples / n_samples)


def speaker_weights(talking: np.ndarray, exclude_overlap: bool, fewest: int) -> np.ndarray:
    """Return each local speaker's frames, (n_windows, n_speakers, n_frames) float32.

    talking: (n_windows, n_frames, n_speakers) of 0 and 1, NaN where unknown.
    exclude_overlap: leave out frames in which others talk too, unless no more than `fewest` are left.
    """
    masks = np.nan_to_num(talking.astype(np.float32), nan=0.0).transpose(0, 2, 1)
    if not exclude_overlap:
        return masks
    clean = masks * (masks.sum(axis=1, keepdims=True) < 2)
    return np.where(clean.sum(axis=2, keepdims=True) > fewest, clean, masks)
