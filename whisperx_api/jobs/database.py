"""Opens the database and brings it to the newest schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import whisperx_api
from whisperx_api.errors import StartError

SQLITE_PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",  # a committed job survives a power cut
    "foreign_keys": "ON",
    "busy_timeout": "10000",  # milliseconds
}


class DatabaseUnusable(StartError):
    """The database can't be opened or upgraded. The message says why."""


def migrations() -> Path:
    """Where the migrations are: inside the installed package, or beside it in a checkout."""
    package = Path(whisperx_api.__file__).parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


async def open_database(url: str, echo: bool = False) -> AsyncEngine:
    """Return an engine on the database at `url`, migrated to the newest schema. Raises `DatabaseUnusable`."""
    engine = create_async_engine(url, echo=echo)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_pragmas)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
    except (DatabaseError, CommandError, OSError) as error:
        await engine.dispose()
        reason = getattr(error, "orig", None) or error
        raise DatabaseUnusable(f"The database can't be used: {reason}.") from error
    return engine


def _set_pragmas(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for name, value in SQLITE_PRAGMAS.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _upgrade(connection: Connection) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations()))
    command.upgrade(config, "head")
