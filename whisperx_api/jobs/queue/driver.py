"""Asks PostgreSQL by its driver itself, on connections of SQLAlchemy's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from psycopg import AsyncConnection, Error
from psycopg.rows import dict_row
from psycopg.types.json import Json
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection as PooledConnection
from sqlalchemy.ext.asyncio import AsyncEngine


async def driver_of(pooled: PooledConnection) -> AsyncConnection[Any]:
    """Return the driver's own connection."""
    connection = (await pooled.get_raw_connection()).driver_connection
    assert isinstance(connection, AsyncConnection)
    return connection


async def ask(connection: AsyncConnection[Any], statement: Any, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that a statement gives, or none where it gives no rows. A value that is a dict is JSON.

    Raises what the driver raises as SQLAlchemy does, so that it is known as a fault of the database.
    """
    with _known(statement):
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                statement, {name: Json(value) if isinstance(value, dict) else value for name, value in values.items()}
            )
            gives_rows = cursor.pgresult is not None and cursor.pgresult.nfields > 0  # `description` takes far longer
            return await cursor.fetchall() if gives_rows else []


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[PooledConnection]:
    """Give a connection of an engine's, and commit what is done with it by the driver."""
    async with engine.connect() as pooled:
        yield pooled
        connection = await driver_of(pooled)
        with _known("COMMIT"):
            await connection.commit()


@contextmanager
def _known(statement: Any) -> Iterator[None]:
    try:
        yield
    except Error as error:
        raise DBAPIError(str(statement), None, error) from error
