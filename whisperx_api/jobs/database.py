"""Opens the database and brings it to the newest schema."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from whisperx_api.errors import StartError
from whisperx_api.jobs.tables import REVISION

SQLITE_PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",  # a committed job survives a power cut
    "foreign_keys": "ON",
    "busy_timeout": "10000",  # milliseconds
}


WAYS_OUT = {
    ("malformed", "not a database"): "It is damaged: put a backup in its place, or have `sqlite3 {file} .recover` save "
    "what it holds. To begin anew, move DATA_DIR and UPLOAD_DIR away as a whole: recordings and transcripts that no "
    "database knows of are deleted at the start.",
    ("locked",): "Another program has it locked: end that one, and start again.",
    ("full", "No space"): "Make room on its disk, and start again.",
    ("unable to open", "readonly"): "Give this user write access to it and its folder.",
}
"""What to do about a database, by what SQLite says of it."""


class DatabaseUnusable(StartError):
    """The database can't be opened or upgraded. The message says why."""


def unusable(url: str, fault: object) -> DatabaseUnusable:
    """Return what keeps the service from starting: it names SQLite's file, and what to do, as far as that is known."""
    parsed = make_url(url)
    which = f"The database {parsed.database}" if parsed.get_backend_name() == "sqlite" else "The database"
    said = str(fault).rstrip(".")
    ways = (way.format(file=parsed.database) for words, way in WAYS_OUT.items() if any(word in said for word in words))
    return DatabaseUnusable(" ".join([f"{which} can't be used: {said}.", *list(ways)[:1]]))


async def open_database(url: str, echo: bool = False) -> AsyncEngine:
    """Return an engine on the database at `url`, migrated to the newest schema. Raises `DatabaseUnusable`."""
    try:
        engine = create_async_engine(url, echo=echo)
    except (ArgumentError, InvalidRequestError, NoSuchModuleError, ImportError) as error:
        raise DatabaseUnusable(
            f"DATABASE_URL can't be used ({error}): leave it out, or write it like sqlite+aiosqlite:///FILE."
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_pragmas)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
    except (DatabaseError, OSError, StartError) as error:
        await engine.dispose()
        if isinstance(error, StartError):
            raise
        raise unusable(url, getattr(error, "orig", None) or error) from error
    return engine


def _set_pragmas(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for name, value in SQLITE_PRAGMAS.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _upgrade(connection: Connection) -> None:
    if _revision(connection) != REVISION:
        from whisperx_api.jobs.migrate import upgrade  # a third of the time that a start takes is Alembic's import

        upgrade(connection)


def _revision(connection: Connection) -> str | None:
    """Return the migration that the database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))
