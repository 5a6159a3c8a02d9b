"""Brings a database to the newest schema, by Alembic. Imported only where there is something to bring: it is slow."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection

import whisperx_api
from whisperx_api.errors import StartError


class SchemaUnknown(StartError):
    """The database has a schema that this version does not know."""


def migrations() -> Path:
    """Where the migrations are: inside the installed package, or beside it in a checkout."""
    package = Path(whisperx_api.__file__).parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def configuration(connection: Connection) -> Config:
    """Return Alembic's configuration for a connection."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations()))
    return config


def upgrade(connection: Connection) -> None:
    """Run what migrations are missing. Raises `SchemaUnknown`."""
    try:
        command.upgrade(configuration(connection), "head")
    except CommandError as error:
        raise SchemaUnknown(
            f"The database was made by a newer version of this service ({error}): start that one, or restore a backup."
        ) from error
