"""Threads that compute side by side.

Two threads that compute apart, with one thread of the math libraries each, do more than one computation that is split
over two: nothing waits for the slower half, and what overlaps with another stage's work is shared out by the system.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item | None], workers: int
) -> Generator[Result, None, None]:
    """Yield `work(item)` of each item, in the order of the items, computed by `workers` threads.

    One item more than there are workers is taken ahead, so memory holds no more results than that. What `work` raises
    comes out here. Then, and where the caller stops asking and closes the iterator, nothing further is begun, and what
    has begun is waited for. One worker is the caller's own thread.

    Where it takes work to find the items, done in the caller's thread, an item may be None: none is due yet, and the
    results that are ready come out meanwhile.
    """
    if workers == 1:
        yield from (work(item) for item in items if item is not None)
        return
    ahead: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as executor:
        try:
            for item in items:
                if item is not None:
                    ahead.append(executor.submit(work, item))
                while len(ahead) > workers or (item is None and ahead and ahead[0].done()):
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
