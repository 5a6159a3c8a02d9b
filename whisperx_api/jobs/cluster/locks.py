"""Locks by name that all servers of a cluster share: PostgreSQL's advisory ones."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from whisperx_api.jobs.locks import LocalLocks
from whisperx_api.jobs.sessions import StoreUnavailable

LOOK_SECONDS = 0.05
"""Pause between two tries."""
LONGEST_SECONDS = 600.0
"""How long a lock is waited for: others hold it for as long as a large recording takes to be put into the bucket."""


class SharedLocks:
    """Each lock that is held has a connection of its own, which ends with it: where a server dies, so do its locks."""

    def __init__(self, alone: AsyncEngine) -> None:
        """`alone` gives each who asks a connection of their own."""
        self._alone = alone
        self._local = LocalLocks()

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of a name. Raises `StoreUnavailable`."""
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        async with self._local.held(name), AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._alone.connect())
                until = time.monotonic() + LONGEST_SECONDS
                while not await connection.scalar(select(func.pg_try_advisory_lock(number))):
                    await connection.rollback()
                    if time.monotonic() > until:
                        raise StoreUnavailable("Another request has been at the same for too long.")
                    await asyncio.sleep(LOOK_SECONDS)
                await connection.commit()
            except DBAPIError as error:
                raise StoreUnavailable(f"The database gives no lock: {error.orig}.", error.orig) from error
            yield
