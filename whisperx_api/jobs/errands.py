"""What a part of the service has done beside its own work."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Errands:
    """Tasks that go on until the service drains."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, errand: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin one."""
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def to_its_end(self, change: Coroutine[Any, Any, T]) -> T:
        """Make a change of several steps: all of them, also where who has asked for it goes away meanwhile."""
        return await asyncio.shield(self.spawn(change))

    def cancel(self) -> None:
        """Have all of them end."""
        for task in tuple(self._tasks):
            task.cancel()

    async def ended(self) -> None:
        """Wait until all of them have."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
