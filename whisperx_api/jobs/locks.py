"""Locks by name, for what takes several steps and must not be done twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary


class Locks(Protocol):
    """Gives the lock of a name."""

    def held(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold it meanwhile."""
        ...


class LocalLocks:
    """Locks for one process."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of a name."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            yield
