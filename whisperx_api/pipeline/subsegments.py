"""Speaker embeddings of every half second: small enough to be kept for hours, and enough to say whose voice words are.

The embeddings of a stretch are the mean of those of its half seconds, each weighed by how much of it the stretch has.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping

import numpy as np
import torch

from whisperx_api.transcript import Subsegments

STEP_SECONDS = 0.5
SPAN_SECONDS = 1.0
"""Length of the sound of which each half second's embedding is, itself in the middle of it."""

SUBSEGMENTS = "subsegments"
"""The step that a pipeline's hook is told of with these embeddings, (n_steps, dimension)."""

_STORED = np.dtype("<f2")


def spans(n_frames: int, rate: float) -> torch.Tensor:
    """Return the frames of each half second's embedding, (1, n_steps, n_frames) of 0 and 1; `rate` is in frames/s.

    Those of the last one may be those of less than half a second.
    """
    middles = (torch.arange(math.ceil(n_frames / (STEP_SECONDS * rate))) + 0.5) * STEP_SECONDS * rate
    away = (torch.arange(n_frames) + 0.5 - middles[:, None]).abs()
    return (away < SPAN_SECONDS / 2 * rate).float()[None]


def joined(blocks: Mapping[int, np.ndarray], steps: int) -> np.ndarray:
    """Return the embeddings of a whole recording, (n_steps, dimension), zeros where there are none.

    blocks: (n_steps, dimension) by the number of the block, each of which begins `steps` after the one before.
    """
    if not blocks:
        return np.zeros((0, 0), np.float32)
    last = max(blocks)
    found = np.zeros((last * steps + len(blocks[last]), blocks[last].shape[1]), np.float32)
    for block, vectors in blocks.items():
        found[block * steps : block * steps + len(vectors)] = vectors
    return found


def packed(vectors: np.ndarray) -> Subsegments:
    """Return (n_steps, dimension) as plain values, in half precision."""
    data = base64.b64encode(np.ascontiguousarray(vectors, _STORED).tobytes()).decode()
    return Subsegments(step=STEP_SECONDS, dimension=vectors.shape[1], vectors=data)


def unpacked(found: Subsegments) -> np.ndarray:
    """Return (n_steps, dimension) float32."""
    vectors = np.frombuffer(base64.b64decode(found.vectors), _STORED).astype(np.float32)
    return vectors.reshape(-1, found.dimension) if found.dimension else np.zeros((0, 0), np.float32)
