"""Opens the database and brings it to the newest schema."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from whisperx_api.errors import StartError
from whisperx_api.jobs import postgres
from whisperx_api.jobs.tables import REVISION

T = TypeVar("T")

USUAL_WAIT = 10_000
"""Milliseconds that SQLite waits for a lock."""
THREADS = 8
"""Questions to SQLite at once: more would open connections that the pool does not keep."""

SQLITE_PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",  # a committed job survives a power cut
    "foreign_keys": "ON",
    "secure_delete": "ON",  # what is deleted is overwritten
    "busy_timeout": str(USUAL_WAIT),
}

SQLITE_FILES = ("", "-wal", "-shm")
"""What is added to a database's name for the files that it is made of."""


WAYS_OUT = {
    ("malformed", "not a database"): "It is damaged: put a backup in its place, or have `sqlite3 {file} .recover` save "
    "what it holds. To begin anew, move DATA_DIR and UPLOAD_DIR away as a whole: recordings and transcripts that no "
    "database knows of are deleted at the start.",
    ("locked",): "Another program has it locked: end that one, and start again.",
    ("full", "No space"): "Make room on its disk, and start again.",
    ("unable to open", "readonly"): "Give this user write access to it and its folder.",
}
"""What to do about a database, by what SQLite says of it."""


@dataclass(frozen=True)
class Database:
    """A database that is open: `engine` to change it with, and a way to ask it something."""

    engine: AsyncEngine
    readers: Engine | AsyncEngine | None = None
    """Connections that change nothing. To SQLite they are plain ones: aiosqlite has a thread do each step of a
    question, a dozen of them, and between any two the question waits for the event loop; with these all are one step.
    """
    longest: float | None = None
    """Seconds that a change or a question may take as a whole; None where the database itself sees to that."""
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(THREADS))
    """Those that ask are none of asyncio's own, in which others wait for the disk."""

    async def ask(self, question: Callable[[Session], T]) -> T:
        """Have `question` read what it wants, off the event loop where that would wait for it; return its answer."""
        if isinstance(self.readers, Engine):
            return await run_sync(_asked, self.readers, question, limiter=self.threads, abandon_on_cancel=True)
        async with AsyncSession(self.readers or self.engine, expire_on_commit=False) as session:
            return await session.run_sync(question)

    async def dispose(self) -> None:
        """Close every connection that is not in use."""
        await self.engine.dispose()
        if isinstance(self.readers, AsyncEngine):
            await self.readers.dispose()
        elif self.readers is not None:
            self.readers.dispose()


class DatabaseUnusable(StartError):
    """The database can't be opened or upgraded. The message says why."""


class DatabaseOutdated(DatabaseUnusable):
    """The database has not the newest schema, and it is not to be brought there now."""


def unusable(url: str, fault: object) -> DatabaseUnusable:
    """Return what keeps the service from starting: it names the database, and what to do, as far as that is known."""
    parsed = make_url(url)
    which, said, ways_out = "The database", str(fault).rstrip("."), WAYS_OUT
    if parsed.get_backend_name() == "sqlite":
        which = f"The database {parsed.database}"
    elif postgres.is_postgres(url):
        which, said, ways_out = postgres.place(url), postgres.reason(fault), postgres.WAYS_OUT
    ways = (way.format(file=parsed.database) for words, way in ways_out.items() if any(word in said for word in words))
    return DatabaseUnusable(" ".join([f"{which} can't be used: {said}.", *list(ways)[:1]]))


async def open_database(url: str, upgrade: bool = True) -> Database:
    """Return the database at `url`, migrated to the newest schema. Raises `DatabaseUnusable`.

    Without `upgrade` one that has another schema raises `DatabaseOutdated`.
    """
    database = _database(url)
    engine = database.engine
    try:
        keep_private(sqlite_file(url))
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade if upgrade else _check)
            await connection.commit()
    except BaseException as error:
        await database.dispose()
        if not isinstance(error, DatabaseError | OSError | PoolTimeout):
            raise
        raise unusable(url, getattr(error, "orig", None) or error) from error
    return database


def _database(url: str) -> Database:
    """Return the database at `url`, to which nothing is connected yet. Raises `DatabaseUnusable`."""
    with reading_url(url):
        if postgres.is_postgres(url):
            return Database(postgres.connect(url), postgres.connect(url, reading=True), longest=postgres.ANSWER_SECONDS)
        engine = create_async_engine(url, hide_parameters=True)  # in logs and errors: they hold prompts and secrets
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_pragmas)
    return Database(engine, readers(url))


@contextmanager
def reading_url(url: str) -> Iterator[None]:
    """Raise `DatabaseUnusable` for what can be wrong with a URL or its driver."""
    try:
        yield
    except (ArgumentError, InvalidRequestError, NoSuchModuleError, ImportError, ValueError) as error:
        if isinstance(error, ImportError) and url.startswith("postgresql+psycopg"):
            raise DatabaseUnusable(postgres.NOT_INSTALLED) from error
        why = f" ({error})" if not isinstance(error, ValueError) else ""  # such a one may hold some of a password
        raise DatabaseUnusable(
            f"DATABASE_URL can't be used{why}: leave it out, or write it like sqlite+aiosqlite:///FILE or "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, with %40 for an @ and %2F for a / in the password."
        ) from error


def readers(url: str) -> Engine | None:
    """Return plain connections to a file of SQLite, which change nothing; None for any other database."""
    if sqlite_file(url) is None:
        return None
    engine = create_engine(make_url(url).set(drivername="sqlite"), hide_parameters=True, pool_size=THREADS)
    event.listen(engine, "connect", _only_read)
    return engine


def _asked(readers: Engine, question: Callable[[Session], T]) -> T:
    with Session(readers, expire_on_commit=False) as session:
        return question(session)


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database; None for one of another kind, and for one in memory."""
    parsed = make_url(url)
    name = parsed.database or ":memory:"
    in_a_file = parsed.get_backend_name() == "sqlite" and name != ":memory:" and not name.startswith("file:")
    return Path(name) if in_a_file else None


def keep_private(database: Path | None) -> None:
    """Make a database's files the service's alone, and the database itself if it is not there. Raises `OSError`.

    SQLite gives the files that it adds the mode of the database.
    """
    if database is None:
        return
    os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))
    for added in SQLITE_FILES:
        with suppress(FileNotFoundError, PermissionError):  # not there; another user's, who keeps it as it is
            os.chmod(f"{database}{added}", 0o600)


def _set_pragmas(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for name, value in SQLITE_PRAGMAS.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _only_read(connection: Any, record: Any) -> None:
    for name, value in (("busy_timeout", SQLITE_PRAGMAS["busy_timeout"]), ("query_only", "ON")):
        connection.execute(f"PRAGMA {name}={value}").close()


def _upgrade(connection: Connection) -> None:
    if (at := revision_of(connection)) != REVISION:
        from whisperx_api.jobs.migrate import upgrade  # a third of the time that a start takes is Alembic's import

        upgrade(connection, at)


def _check(connection: Connection) -> None:
    if (at := revision_of(connection)) != REVISION:
        raise DatabaseOutdated(f"The database is at migration {at or 'none'}, and not at {REVISION}.")


def revision_of(connection: Connection) -> str | None:
    """Return the migration that the database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))
