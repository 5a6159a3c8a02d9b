"""Which chunks are decoded together, while more of them are still being found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from whisperx_api.pipeline.attention import Chunk


def batches(
    found: Iterable[Sequence[Chunk]], batch_size: int, side_by_side: int = 1
) -> Iterator[Sequence[Chunk] | None]:
    """Yield chunks, which are `found` some at a time, in batches of 1, 2, 4 … up to `batch_size`.

    Of those that are decoded `side_by_side`, each has its part of that, and the last ones grow smaller, so that all end
    together: a batch is due once enough chunks are known to follow it. None is yielded where more have to be found.
    """
    largest = max(1, math.ceil(batch_size / side_by_side))
    waiting: list[Chunk] = []
    size = 1
    for chunks in found:
        waiting += chunks
        while len(waiting) > (size - 1) * side_by_side:
            yield waiting[:size]
            waiting, size = waiting[size:], min(2 * size, largest)
        yield None
    while waiting:
        if side_by_side > 1:
            size = min(size, math.ceil(len(waiting) / side_by_side))
        yield waiting[:size]
        waiting, size = waiting[size:], min(2 * size, largest)
