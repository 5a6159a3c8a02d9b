"""`whisperx-api db`: back up, restore, check, upgrade and move the database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whisperx_api.cli.console import FAILED, REFUSED, USAGE, end, settings_or_end
from whisperx_api.errors import StartError
from whisperx_api.settings import Settings
from whisperx_api.storage.local import LocalStorage

if TYPE_CHECKING:
    from whisperx_api.jobs.moving import Moved

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Back up, restore, check, upgrade and move the database.",
)

DataDir = Annotated[
    Path | None, typer.Option(help="Database, results and keys; the setting DATA_DIR if left out.", show_default=False)
]


DatabaseUrl = Annotated[
    str | None, typer.Option(help="The database; the setting DATABASE_URL if left out.", show_default=False)
]


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    with_files: Annotated[
        bool, typer.Option("--with-files", help="Write a tar of the database, the recordings and the transcripts.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Copy the database as it is at one moment, also while the server runs. The copy is for its owner alone."""
    from whisperx_api.jobs.backup import BackupError, back_up, back_up_with_files

    settings = settings_or_end(data_dir=data_dir)
    database = _database(settings)
    if not database.exists():
        end(f"There is no database at {database}: there is nothing to back up.", FAILED)
    try:
        contents = back_up_with_files(database, _storage(settings), file) if with_files else back_up(database, file)
    except BackupError as error:
        end(str(error), FAILED)
    except OSError as error:
        end(f"{file} can't be written: {error}.", FAILED)
    files = f" with {contents.files} files" if with_files else ", without their files"
    typer.echo(f"{file} holds {contents.tasks} tasks{files}.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `whisperx-api db backup` has written.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also where there is a database; that one is kept beside it.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Put a backup in the database's place, and with it the recordings and transcripts that it has.

    No server may run meanwhile. The backup is looked at before anything is touched, and what was there is kept.
    """
    from whisperx_api.jobs.backup import BackupError
    from whisperx_api.jobs.restoring import restore as put_in_place
    from whisperx_api.locking import lock

    settings = settings_or_end(data_dir=data_dir)
    database, storage = _database(settings), _storage(settings)
    if not file.is_file():
        end(f"There is no file {file}.", USAGE)
    mark = f"before-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        storage.prepare()
        with lock(settings):
            there = database.exists()
            if there and not force:
                end(f"There is a database at {database}: --force keeps that one beside the one restored.", REFUSED)
            contents = put_in_place(file, database, storage, mark)
    except BackupError as error:
        end(f"{error} Nothing was changed.", FAILED)
    except StartError as error:
        end(f"{error} Nothing was changed.", REFUSED)
    except OSError as error:
        touched = any(path for folder in (database.parent, *storage.folders) for path in folder.glob(f"*{mark}*"))
        then = f"What was there is called {mark}." if touched else "Nothing was changed."
        end(f"The backup can't be put in place: {error}. {then}", FAILED)
    files = f" and {contents.files} files" if contents.files else ""
    typer.echo(f"{contents.tasks} tasks{files} are restored to {database}.")
    if there:
        typer.echo(f"What was there is kept as {database.name}.{mark}: delete it when you are sure.")


@app.command()
def check(data_dir: DataDir = None) -> None:
    """Say whether the database is whole, and has the files of its tasks; exit with 1 if not. A server may run."""
    from whisperx_api.jobs.soundness import faults

    settings = settings_or_end(data_dir=data_dir)
    database = _database(settings)
    if not database.exists():
        end(f"There is no database at {database}: the first start makes it.", FAILED)
    found = list(faults(database, _storage(settings)))
    for fault in found:
        typer.echo(fault)
    if not found:
        typer.echo(f"{database} is whole, and the files of its tasks are there.")
    raise typer.Exit(FAILED if found else 0)


@app.command()
def upgrade(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database to the newest schema, as a start does, and end. No server of an older version may run."""
    from whisperx_api.jobs.alone import alone
    from whisperx_api.jobs.database import DatabaseOutdated, open_database
    from whisperx_api.jobs.tables import REVISION

    settings = settings_or_end(data_dir=data_dir, database_url=database_url)

    async def go() -> None:
        try:
            await (await open_database(settings.database, upgrade=False)).dispose()
        except DatabaseOutdated:
            async with alone(settings.database):
                await (await open_database(settings.database)).dispose()

    with _locked(settings):
        asyncio.run(go())
    typer.echo(f"The database is at migration {REVISION}.")


@app.command("migrate-to")
def migrate_to(
    url: Annotated[str, typer.Argument(help="postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, without tasks.")],
    storage_url: Annotated[
        str | None,
        typer.Option(help="Copy the files there too: s3://BUCKET/PREFIX or file:///FOLDER; STORAGE_URL if left out."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Copy all that SQLite has on record to a PostgreSQL, or nothing. SQLite is left as it is, and so are files.

    Where there is a storage for several hosts, recordings and transcripts are copied to it before. No server may run
    meanwhile.
    """
    from whisperx_api.jobs.moving import move, task_ids
    from whisperx_api.storage.moving import copy_tasks
    from whisperx_api.storage.opening import open_storage

    settings = settings_or_end(data_dir=data_dir)
    database = _database(settings)
    wanted = settings_or_end(data_dir=data_dir, database_url=url, storage_url=storage_url)

    async def go() -> tuple[int, Moved]:
        files = 0
        if wanted.storage_url is not None:
            target = open_storage(wanted.storage_url, settings.data_dir, settings.uploads)
            target.prepare()
            files = await copy_tasks(
                LocalStorage(settings.data_dir / "tasks", settings.uploads), target, task_ids(database)
            )
        return files, await move(database, wanted.database)

    if not database.exists():
        end(f"There is no database at {database}: there is nothing to move.", FAILED)
    with _locked(settings):
        files, moved = asyncio.run(go())
    copied = f" and {files} files copied" if wanted.storage_url is not None else ""
    typer.echo(f"{moved.tasks} tasks are moved, {moved.rows} rows in all{copied}.")
    typer.echo("Start the server with that DATABASE_URL" + (" and STORAGE_URL." if copied else "."))
    typer.echo(f"{database} is left as it is: delete it when you are sure.")


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Keep servers off DATA_DIR meanwhile; end with a sentence where one is at work, or something fails."""
    from whisperx_api.locking import lock
    from whisperx_api.storage.protocol import StorageUnavailable

    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with lock(settings):
            yield
    except StartError as error:
        end(str(error), REFUSED)
    except StorageUnavailable as error:
        end(f"The storage can't be reached: {error.strerror}.", FAILED)
    except OSError as error:
        end(f"DATA_DIR={settings.data_dir} can't be used: {error}.", FAILED)


def _database(settings: Settings) -> Path:
    from whisperx_api.jobs.database import sqlite_file

    if (file := sqlite_file(settings.database)) is None:
        end("DATABASE_URL names no file of SQLite: use the tools of that database.", USAGE)
    return file


def _storage(settings: Settings) -> LocalStorage:
    """Return the storage of this machine; end where recordings and transcripts are elsewhere."""
    if settings.storage_url is not None:
        end("Recordings and transcripts are where STORAGE_URL says: use the tools of that storage for them.", USAGE)
    return LocalStorage(settings.data_dir / "tasks", settings.uploads)
