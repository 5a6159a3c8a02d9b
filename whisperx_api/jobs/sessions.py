"""Transactions on the database, and one way of saying that it does not take them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from anyio import fail_after
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from whisperx_api.happenings import DatabaseFault, Observer, nobody
from whisperx_api.jobs.database import USUAL_WAIT, Database

logger = logging.getLogger(__name__)

T = TypeVar("T")

WRITERS = 4
"""Changes at once: more would take the connections that readers need, and SQLite takes one at a time anyway."""
READERS = 4
"""Readings at once: more would open connections that the pool does not keep."""
LONGEST_WAIT = 10.0
"""Seconds that a change, or a reading, waits for those before it."""
SHORT_WAIT = 100
"""Milliseconds that SQLite waits for a lock to empty its log, which can be done later as well."""


class StoreUnavailable(RuntimeError):
    """The database did not take a change: it is locked, full or gone. The message is a sentence.

    `reason` is what the database itself says, where it does.
    """

    def __init__(self, sentence: str, reason: object = None) -> None:
        super().__init__(sentence)
        self.reason = reason or sentence


class Changes:
    """Counts what is written of tasks, so that who has read something can tell whether it may still be so."""

    def __init__(self) -> None:
        self.count = 0

    def happened(self) -> None:
        """Count one. To be called when it is written, and before whoever asked for it hears of that."""
        self.count += 1


class Sessions:
    """Sessions on one database, for stores to build on. What they change is counted in `changes`."""

    def __init__(
        self, database: Database, erased: asyncio.Event | None = None, observer: Observer = nobody,
        changes: Changes | None = None,
    ) -> None:  # fmt: skip
        self.database = database
        self._observer = observer
        self._sessions = async_sessionmaker(database.engine, expire_on_commit=False)
        self._writers = asyncio.Semaphore(WRITERS)
        self._readers = asyncio.Semaphore(READERS)
        self.changes = changes or Changes()
        self.erased = erased or asyncio.Event()
        """Set when something was deleted that may still be read in the database's log: `wipe` is to be called."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Give a transaction. Raises `StoreUnavailable` where the database does not take it."""
        async with self.change(), self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def change(self) -> AsyncIterator[None]:
        """Do one change, of few at once. Raises `StoreUnavailable` where the database does not take it."""
        async with self._in_turn(self._writers, "did not take a change"):
            try:
                yield
            finally:  # what failed, or was given up, may be written all the same
                self.changes.happened()

    async def read(self, question: Callable[[Session], T]) -> T:
        """Return the answer to a question: it reads with the session that it is given, in a thread.

        Raises `StoreUnavailable` where the database does not answer.
        """
        async with self._in_turn(self._readers, "does not answer"):
            return await self.database.ask(question)

    async def wipe(self) -> None:
        """Empty SQLite's write-ahead log, where what was deleted can still be read. Where somebody reads in it just
        now, `erased` stays set.
        """
        self.erased.clear()
        if self.database.engine.dialect.name != "sqlite":
            return
        try:
            async with self.database.engine.connect() as connection:
                await connection.exec_driver_sql(f"PRAGMA busy_timeout={SHORT_WAIT}")
                try:
                    emptied = await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                    in_use = emptied.scalar_one()
                finally:
                    await connection.exec_driver_sql(f"PRAGMA busy_timeout={USUAL_WAIT}")
        except (DBAPIError, PoolTimeout) as error:
            logger.debug("the database's log could not be emptied: %s", error)
            in_use = True
        if in_use:
            self.erased.set()

    @asynccontextmanager
    async def _in_turn(self, places: asyncio.Semaphore, what: str) -> AsyncIterator[None]:
        """Hold a place, as soon as one is free. `what` says how the database fails who gets none in time."""
        with self._explained(what):
            try:
                with fail_after(LONGEST_WAIT):
                    await places.acquire()
            except TimeoutError:
                raise StoreUnavailable(f"The database {what}: too many wait for it.") from None
            try:
                with fail_after(self.database.longest) as limit:
                    yield
            except TimeoutError:
                if not limit.cancelled_caught:
                    raise
                raise StoreUnavailable(f"The database {what} within {self.database.longest:g} s.") from None
            finally:
                places.release()

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Raise `StoreUnavailable` for whatever goes wrong between the database and its driver or pool."""
        try:
            yield
        except StoreUnavailable:
            self._observer(DatabaseFault())
            raise
        except (DBAPIError, PoolTimeout) as error:
            self._observer(DatabaseFault())
            reason = getattr(error, "orig", None) or error
            raise StoreUnavailable(f"The database {what}: {reason}.", reason) from error
