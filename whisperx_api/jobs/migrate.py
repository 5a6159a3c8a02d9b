"""Brings a database to the newest schema, by Alembic. Imported only where there is something to bring: it is slow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

import whisperx_api
from whisperx_api.errors import StartError

logger = logging.getLogger(__name__)


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
            command.upgrade(configuration(connection), "head")
    except Exception as error:
        raise UpgradeFailed(
            f"The database could not be brought from migration {revision or 'none'} to {revisions()[-1]}: "
            f"{getattr(error, 'orig', None) or error} ({type(error).__name__}). It is as it was, and the version that "
            "made it can go on with it."
        ) from error
    if revision is not None:
        _vacuum(connection)


@contextmanager
def _as_a_whole(connection: Connection) -> Iterator[None]:
    """Make one transaction of what is done within; what fails leaves nothing.

    SQLite can do that with tables too, but its driver begins no transaction for them. While a table is made anew the
    rows that refer to its own must stay, so foreign keys are looked at in the end only.
    """
    if connection.dialect.name != "sqlite":
        yield
        connection.commit()
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
