"""Opens the database and brings it to the newest schema."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event, inspect, text
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


class DatabaseUnusable(StartError):
    """The database can't be opened or upgraded. The message says why."""


async def open_database(url: str) -> AsyncEngine:
    """Return an engine on the database at `url`, migrated to the newest schema. Raises `DatabaseUnusable`."""
    try:
        engine = create_async_engine(url, hide_parameters=True)  # in logs and errors: they hold prompts and secrets
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
        reason = getattr(error, "orig", None) or error
        raise DatabaseUnusable(f"The database can't be used: {reason}.") from error
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
