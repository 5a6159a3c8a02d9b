"""When a batch does not fit the device: notice it, make room, and say that half of it is tried."""

from __future__ import annotations

import gc
import logging

import torch

logger = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, ctranslate2, pyannote or Python says that memory did not suffice."""
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def make_room(what: str, size: int) -> None:
    """Give back what the batch that failed has left. Its error must be gone by then, for it holds the tensors.

    what: the batch, for the log. size: how large the next one will be.
    """
    logger.warning("%s did not fit the device's memory: going on with %d", what, size)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
