"""Moves what a stopped service has on record from SQLite to PostgreSQL: all of it or nothing.

Files are not moved here: the same DATA_DIR and UPLOAD_DIR serve the new database, or `storage.moving` has copied them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from whisperx_api.errors import StartError
from whisperx_api.jobs import postgres
from whisperx_api.jobs.alone import alone
from whisperx_api.jobs.database import open_database, readers, revision_of
from whisperx_api.jobs.tables import REVISION, Base, JobRow, WorkerRow

BATCH = 500
"""Rows that are read, and written, at once."""

TABLES = tuple(table for table in Base.metadata.sorted_tables if table.name != WorkerRow.__tablename__)
"""What is moved, in an order in which nothing refers to what is not there; workers are only of now."""


class MoveFailed(StartError):
    """The rows can't be moved; nothing is at the new place. The message is a sentence."""


@dataclass(frozen=True)
class Moved:
    """How many rows were moved, and how many of them are tasks."""

    rows: int
    tasks: int


async def move(source: Path, url: str) -> Moved:
    """Copy all rows of SQLite's file `source` to the PostgreSQL at `url`, where the service may have no rows yet.

    `source` must be of the newest schema, and nobody may change it meanwhile; it is left as it is. Raises `MoveFailed`,
    and what `open_database` raises.
    """
    if not postgres.is_postgres(url):
        raise MoveFailed("Name a PostgreSQL to move to, like postgresql+psycopg://USER:PASSWORD@HOST/DATABASE.")
    with _reading(source) as old:
        async with alone(url):
            database = await open_database(url)
            try:
                async with database.engine.begin() as new:
                    return await _copy_all(old, new, url)
            except DBAPIError as error:
                raise MoveFailed(
                    f"{postgres.place(url)} does not take it: {postgres.reason(error.orig)}. Nothing was moved."
                ) from error
            finally:
                await database.dispose()


def task_ids(source: Path) -> list[str]:
    """Return the ids of all tasks in SQLite's file `source`. Raises `MoveFailed`."""
    with _reading(source) as old:
        return list(old.scalars(select(JobRow.id)))


@contextmanager
def _reading(source: Path) -> Iterator[Connection]:
    """Give a connection to SQLite that sees it as it is at one moment. Raises `MoveFailed`."""
    engine = readers(f"sqlite:///{source}")
    assert isinstance(engine, Engine)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            if (at := revision_of(connection)) != REVISION:
                here = f"{source} is at migration {at or 'none'}, and not at {REVISION}"
                raise MoveFailed(f"{here}: run `whisperx-api db upgrade` first.")
            yield connection
    except DBAPIError as error:
        raise MoveFailed(f"{source} can't be read: {error.orig}. Nothing was moved.") from error
    finally:
        engine.dispose()


async def _copy_all(old: Connection, new: AsyncConnection, url: str) -> Moved:
    for table in TABLES:
        if await new.scalar(select(func.count()).select_from(table)):
            raise MoveFailed(f"{postgres.place(url)} has rows in {table.name} already: name an empty one.")
    counts = {table.name: await _copy(table, old, new) for table in TABLES}
    return Moved(sum(counts.values()), counts[JobRow.__tablename__])


async def _copy(table: Table, old: Connection, new: AsyncConnection) -> int:
    """Copy a table, with the number that its next row gets; return how many rows it has."""
    count = 0
    rows = old.execute(select(table).order_by(*table.primary_key.columns).execution_options(yield_per=BATCH))
    for batch in rows.mappings().partitions():
        await new.execute(insert(table), [dict[str, Any](row) for row in batch])
        count += len(batch)
    if "seq" in table.columns:
        given = old.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
        if given:
            last = text("SELECT setval(pg_get_serial_sequence(:name, 'seq'), :last)")
            await new.execute(last, {"name": table.name, "last": given})
    return count
