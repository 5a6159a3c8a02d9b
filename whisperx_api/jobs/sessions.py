"""Transactions on the database, and one way of saying that it does not take them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

WRITERS = 4
"""Changes at once: more would take the connections that readers need, and SQLite takes one at a time anyway."""
LONGEST_WAIT = 10.0
"""Seconds that a change waits for those before it."""


class StoreUnavailable(RuntimeError):
    """The database did not take a change: it is locked, full or gone. The message is a sentence.

    `reason` is what the database itself says, where it does.
    """

    def __init__(self, sentence: str, reason: object = None) -> None:
        super().__init__(sentence)
        self.reason = reason or sentence


class Sessions:
    """Sessions on one database, for stores to build on."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._writers = asyncio.Semaphore(WRITERS)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Give a transaction. Raises `StoreUnavailable` where the database does not take it."""
        with _explained("did not take a change"):
            try:
                await asyncio.wait_for(self._writers.acquire(), LONGEST_WAIT)
            except (asyncio.TimeoutError, TimeoutError):
                raise StoreUnavailable("The database did not take a change: too many wait for it.") from None
            try:
                async with self._sessions.begin() as session:
                    yield session
            finally:
                self._writers.release()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Give a session to read with. Raises `StoreUnavailable` where the database does not answer."""
        with _explained("does not answer"):
            async with self._sessions() as session:
                yield session


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Raise `StoreUnavailable` for whatever goes wrong between the database and its driver or pool."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        reason = getattr(error, "orig", None) or error
        raise StoreUnavailable(f"The database {what}: {reason}.", reason) from error
