"""The right to run the jobs of a PostgreSQL database: one server has it for as long as it lives, or a cluster has it.

It is an advisory lock of a connection's own session, so PostgreSQL itself lets it go when the server is gone. What
DATA_DIR's lock is to SQLite, this is to a database that servers on other machines can reach.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from anyio import fail_after
from sqlalchemy import NullPool, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from whisperx_api.jobs import postgres
from whisperx_api.jobs.database import DatabaseUnusable, reading_url, unusable

logger = logging.getLogger(__name__)

LOCK = {"service": 0x77786170, "lock": 2}
LOOK_SECONDS = 2.0
"""How often the connection is looked at."""
ANSWER_SECONDS = 10.0
"""How long it may take to answer."""
GIVE_UP_SECONDS = 60.0
"""How long somebody else may hold what was lost before this server ends: until PostgreSQL has noticed that a connection
is cut off, it may be this server itself.
"""

IN_USE = "is in use by another server: stop that one, or name another database in DATABASE_URL."


class InUse(DatabaseUnusable):
    """Another server has the right."""


class Alone:
    """Holds the right. When a lost one is somebody else's for good, `lost` is called: this server must end."""

    def __init__(self, url: str, lost: Callable[[], object]) -> None:
        self._url = url
        self._lost = lost
        self._engine = postgres.connect(url, reading=True, poolclass=NullPool)
        self._connection: AsyncConnection | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the right. Raises `InUse`, and `DatabaseUnusable` where PostgreSQL does not answer."""
        try:
            taken = await self._take()
        except (DBAPIError, OSError, TimeoutError) as error:
            raise unusable(self._url, getattr(error, "orig", None) or error) from error
        if not taken:
            raise InUse(f"{postgres.place(self._url)} {IN_USE}")
        self._watch = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Give it back."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._connection is not None:
            with (
                suppress(SQLAlchemyError, OSError, TimeoutError),
                fail_after(LOOK_SECONDS),
            ):
                await self._connection.scalar(text("SELECT pg_advisory_unlock(:service, :lock)"), LOCK)
        await self._let_go()
        await self._engine.dispose()

    async def _take(self) -> bool:
        """Connect anew and try to take the right; return whether it is there to be taken."""
        await self._let_go()
        with fail_after(ANSWER_SECONDS):
            connection = await self._engine.connect()
            try:
                taken = await connection.scalar(text("SELECT pg_try_advisory_lock(:service, :lock)"), LOCK)
            except BaseException:
                await connection.invalidate()
                raise
        if taken:
            self._connection = connection
        else:
            await connection.close()
        return bool(taken)

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()  # with no word to PostgreSQL, which may not answer any more
            await connection.close()

    async def _keep(self) -> None:
        """Look after the connection, and take the right up again when it is lost."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                assert self._connection is not None
                with fail_after(ANSWER_SECONDS):
                    await self._connection.scalar(text("SELECT 1"))
            except (DBAPIError, OSError, TimeoutError) as error:
                logger.warning("the connection that keeps other servers off the database is lost: %s", error)
                if not await self._take_up():
                    return

    async def _take_up(self) -> bool:
        """Take the right again, however long PostgreSQL is away; return whether it could be had."""
        others_since: float | None = None
        while others_since is None or time.monotonic() - others_since < GIVE_UP_SECONDS:
            try:
                if await self._take():
                    logger.info("the database is kept from other servers again")
                    return True
                others_since = others_since or time.monotonic()
            except (DBAPIError, OSError, TimeoutError) as error:
                logger.debug("the database does not answer: %s", error)
            await asyncio.sleep(LOOK_SECONDS)
        logger.critical("%s %s This server ends.", postgres.place(self._url), IN_USE)
        self._lost()
        return False


async def share(connection: AsyncConnection) -> bool:
    """Keep single servers off the database for as long as a connection lasts; False where one is there.

    Servers and workers of a cluster do so together.
    """
    return bool(await connection.scalar(text("SELECT pg_try_advisory_lock_shared(:service, :lock)"), LOCK))


async def refuse_single_server(url: str) -> None:
    """Raise `InUse` where a single server has the right, and `DatabaseUnusable` where PostgreSQL does not answer.

    A database of SQLite is not looked at.
    """
    if not postgres.is_postgres(url):
        return
    with reading_url(url):
        engine = postgres.connect(url, reading=True, poolclass=NullPool)
    try:
        with fail_after(ANSWER_SECONDS):
            async with engine.connect() as connection:
                if not await share(connection):
                    raise InUse(f"{postgres.place(url)} {IN_USE}")
    except (DBAPIError, OSError, TimeoutError) as error:
        raise unusable(url, getattr(error, "orig", None) or error) from error
    finally:
        await engine.dispose()


@asynccontextmanager
async def alone(url: str, lost: Callable[[], object] = lambda: None) -> AsyncIterator[None]:
    """Have PostgreSQL keep other servers off a database meanwhile; one of SQLite is not looked at.

    Raises `InUse` and `DatabaseUnusable`.
    """
    if not postgres.is_postgres(url):
        yield
        return
    with reading_url(url):
        holder = Alone(url, lost)
    try:
        await holder.start()
        yield
    finally:
        await holder.stop()
