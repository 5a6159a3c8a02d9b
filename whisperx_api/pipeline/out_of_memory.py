"""When a batch does not fit the device: notice it, make room, and say that half of it is tried."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TypeVar

import torch

logger = logging.getLogger(__name__)

SAID = ("out of memory", "alloc_failed", "can't allocate memory")
"""How CUDA and its libraries (`CUBLAS_STATUS_ALLOC_FAILED`), and torch on a CPU, say that memory did not suffice."""

on_halved: ContextVar[Callable[[], None]] = ContextVar("on_halved", default=lambda: None)
"""Is called when a batch is halved: whoever runs a stage sets it, for the stage's own threads."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_fitting_batches(
    work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], size: int, halved: Callable[[int], None]
) -> list[Result]:
    """Return what `work` makes of all items, `size` at a time, and of half as many where that does not fit the device.

    `halved` is told each size that is gone on with. What is too large with one item is raised.
    """
    results: list[Result] = []
    first = 0
    while first < len(items):
        batch = items[first : first + size]
        try:
            results += work(batch)
            first += size
            continue
        except Exception as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
        size = len(batch) // 2  # the error is gone here, and what it held on the device
        halved(size)
    return results


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, ctranslate2, pyannote or Python says that memory did not suffice."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in SAID)


def make_room(what: str, size: int) -> None:
    """Give back what the batch that failed has left. Its error must be gone by then, for it holds the tensors.

    what: the batch, for the log. size: how large the next one will be.
    """
    logger.warning("%s did not fit the device's memory: going on with %d", what, size)
    on_halved.get()()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
