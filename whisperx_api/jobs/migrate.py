"""Brings a database to the newest schema, by Alembic. Imported only where there is something to bring: it is slow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError

import whisperx_api
from whisperx_api.errors import StartError
from whisperx_api.jobs.database import revision_of

logger = logging.getLogger(__name__)


LOCK = {"service": 0x77786170, "lock": 1}
"""PostgreSQL's advisory lock that who migrates a database holds, of several servers that start at once."""
PATIENCE = "30s"
"""How long a migration on PostgreSQL waits for a table that others use."""


class SchemaUnknown(StartError):
    """The database has a schema that this version does not know."""


class UpgradeFailed(StartError):
    """A migration did not work; the database is as it was."""


def migrations() -> Path:
    """Where the migrations are: inside the installed package, or beside it in a checkout."""
    package = Path(whisperx_api.__file__).parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, for a connection or for the migrations alone."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations()))
    return config


def revisions() -> tuple[str, ...]:
    """Return the migrations that there are, the first one first."""
    scripts = ScriptDirectory.from_config(configuration()).walk_revisions()
    return tuple(script.revision for script in scripts)[::-1]


def check_known(revision: str) -> None:
    """Raise `SchemaUnknown` for a database at a migration that is not there."""
    known = revisions()
    if revision not in known:
        raise SchemaUnknown(
            f"The database was made by a newer version of this service (it is at migration {revision}, and the newest "
            f"here is {known[-1]}): start that version, or restore a backup."
        )


def upgrade(connection: Connection, revision: str | None) -> None:
    """Run the migrations that are missing after `revision`, all of them or none; None is an empty database.

    Raises `SchemaUnknown` and `UpgradeFailed`.
    """
    if revision is not None:
        check_known(revision)
    try:
        with _as_a_whole(connection):
            if connection.dialect.name == "postgresql":
                revision = _alone(connection)
            if revision != revisions()[-1]:
                command.upgrade(configuration(connection), "head")
    except SchemaUnknown:
        raise
    except Exception as error:
        raise UpgradeFailed(
            f"The database could not be brought from migration {revision or 'none'} to {revisions()[-1]}: "
            f"{getattr(error, 'orig', None) or error} ({type(error).__name__}). It is as it was, and the version that "
            "made it can go on with it."
        ) from error
    if revision is not None:
        _vacuum(connection)


def _alone(connection: Connection) -> str | None:
    """Wait until nobody else migrates this PostgreSQL, and return the migration that it is at then.

    The lock is the transaction's, and goes with it.
    """
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    connection.execute(text("SELECT pg_advisory_xact_lock(:service, :lock)"), LOCK)
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE}'")
    if (at := revision_of(connection)) is not None:
        check_known(at)
    return at


@contextmanager
def _as_a_whole(connection: Connection) -> Iterator[None]:
    """Make one transaction of what is done within; what fails leaves nothing.

    SQLite can do that with tables too, but its driver begins no transaction for them. While a table is made anew the
    rows that refer to its own must stay, so foreign keys are looked at in the end only.
    """
    if connection.dialect.name != "sqlite":
        try:
            yield
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return
    connection.rollback()
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        yield
        if (row := connection.exec_driver_sql("PRAGMA foreign_key_check").first()) is not None:
            raise ValueError(f"a row of {row[0]} refers to one of {row[2]} that is not there")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")


def _vacuum(connection: Connection) -> None:
    """Write the database anew, so that nothing is left of what earlier versions deleted without overwriting it."""
    if connection.dialect.name == "sqlite":
        try:
            connection.exec_driver_sql("VACUUM")
        except DatabaseError as error:
            logger.warning("the database could not be compacted after its upgrade: %s", error.orig)
