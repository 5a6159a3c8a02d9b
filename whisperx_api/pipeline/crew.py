"""Threads that compute side by side.

Two threads that compute apart, with one thread of the math libraries each, do more than one computation that is split
over two: nothing waits for the slower half, and what overlaps with another stage's work is shared out by the system.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crew:
    """Threads that several kinds of work share: what is handed in first is begun first."""

    def __init__(self, workers: int) -> None:
        """One worker is the caller's own thread."""
        self._workers = workers
        self._executor = ThreadPoolExecutor(workers) if workers > 1 else None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        """Begin nothing further, and wait for what has begun."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def submit(self, work: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Have `work(item)` computed, where the caller's context variables hold; return where its result will be."""
        if self._executor is not None:
            return self._executor.submit(copy_context().run, work, item)
        result: Future[Result] = Future()
        result.set_result(work(item))
        return result

    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item | None]) -> Generator[Result, None, None]:
        """Yield `work(item)` of each item, in the order of the items.

        One item more than there are workers is taken ahead, so memory holds no more results than that. What `work`
        raises comes out here. Where it takes work to find the items, which may be the crew's too, an item may be None:
        none is due yet, and the results that are ready come out meanwhile.
        """
        if self._executor is None:
            yield from (work(item) for item in items if item is not None)
            return
        ahead: deque[Future[Result]] = deque()
        try:
            for item in items:
                if item is not None:
                    ahead.append(self.submit(work, item))
                while len(ahead) > self._workers or (item is None and ahead and ahead[0].done()):
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Generator[Result, None, None]:
    """Yield `work(item)` of each item, in the order of the items, computed by a crew of `workers` threads of its own.

    When `work` raises, and where the caller stops asking and closes the iterator, nothing further is begun, and what
    has begun is waited for.
    """
    with Crew(workers) as crew:
        yield from crew.in_order(work, items)
