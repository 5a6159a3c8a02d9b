"""`whisperx-api keys`: make, list and revoke the keys on record. A server that runs on them knows within seconds."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from whisperx_api.cli.console import FAILED, USAGE, end, settings_or_end
from whisperx_api.errors import StartError
from whisperx_api.jobs.alone import InUse, alone
from whisperx_api.jobs.database import Database, DatabaseOutdated, DatabaseUnusable, open_database, sqlite_file
from whisperx_api.jobs.key_store import KeyStore
from whisperx_api.jobs.key_watch import REFRESH_SECONDS
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.keys import Caller, Scope, StoredKey, id_of, kept_key, new_key, parse_key, parse_scopes
from whisperx_api.locking import lock
from whisperx_api.settings import Auth, Queue, Settings, SettingsError

T = TypeVar("T")

UNITS = {"h": "hours", "d": "days", "w": "weeks"}
TITLES = ("ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "STATE")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Make, list and revoke API keys. A running server knows within seconds.",
)

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the service; the setting DATA_DIR if left out.", show_default=False)
]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="Its database; the setting DATABASE_URL if left out.", show_default=False)
]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Whom it is for: tasks belong to the name. Several keys may have one.")],
    scopes: Annotated[
        str, typer.Option(help="What it may do, separated by commas: transcribe, read, admin.")
    ] = "transcribe,read",
    expires: Annotated[
        str, typer.Option(help="When it ends: after a time like 90d (h, d or w), with a day like 2027-01-31, or never.")
    ] = "never",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a key and print it, and nothing else, on stdout. It is shown this once: only its hash is kept."""
    settings = settings_or_end(data_dir=data_dir, database_url=database_url)
    try:
        stored, key = new_key(name, _checked("--scopes", parse_scopes, scopes), _checked("--expires", expiry, expires))
    except ValueError as error:
        end(f"--name {error}.", USAGE)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        end(f"DATA_DIR={settings.data_dir} can't be used: {error}.", FAILED)
    _on_record(settings, lambda store: store.add(stored))
    ends = "does not expire" if stored.expires_at is None else f"expires {_time(stored.expires_at)}"
    typer.echo(
        f"{stored.id} is a key of {name} for {_scopes(stored.scopes)} and {ends}. It is not shown again. "
        f"A running server takes it in {REFRESH_SECONDS:g} s.",
        err=True,
    )
    if settings.auth is Auth.OFF:
        typer.echo("With AUTH=off the server asks for no key.", err=True)
    typer.echo(key)


@app.command("list")
def list_keys(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List every key that was made, and those of the settings. Last uses are up to a minute old."""
    settings = _settings_of_a_service(data_dir, database_url)
    stored = _on_record(settings, lambda store: store.keys())
    for line in _table([TITLES, *map(_row, stored), *_rows_of_settings(settings)]):
        typer.echo(line)


@app.command()
def revoke(
    name_or_id: Annotated[str, typer.Argument(help="The id of one key, or a name: all of its keys.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """End a key for good, or every key of a name. Tasks stay; another key of the name has them."""
    settings = _settings_of_a_service(data_dir, database_url)
    revoked = _on_record(settings, lambda store: store.revoke(id_of(name_or_id)))
    for key in revoked:
        typer.echo(f"{key.id} of {key.name} is revoked: a running server refuses it in {REFRESH_SECONDS:g} s.")
    elsewhere = [place for caller, place in _of_settings(settings) if caller.name == name_or_id]
    for place in elsewhere:
        typer.echo(f"A key of that name is in {place}: take it out there and restart the server.", err=True)
    if not revoked and not elsewhere:
        typer.echo("There is no such key, or it is revoked: `whisperx-api keys list` shows all.", err=True)
    raise typer.Exit(0 if revoked and not elsewhere else FAILED)


def expiry(text: str) -> datetime | None:
    """Return when a key ends: `90d` from now, with the day `2027-01-31` (UTC), or `never`. Raises `ValueError`."""
    now = datetime.now(timezone.utc)
    try:
        if text == "never":
            return None
        if (span := re.fullmatch(r"(\d+)([hdw])", text)) is not None:
            expires_at = now + timedelta(**{UNITS[span[2]]: int(span[1])})
        elif re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            expires_at = datetime.combine(date.fromisoformat(text), time(23, 59, 59), timezone.utc)
        else:
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError("must be a time like 90d (h, d or w), a day like 2027-01-31, or never") from None
    if expires_at <= now:
        raise ValueError("must lie in the future")
    return expires_at


def _checked(option: str, read: Callable[[str], T], text: str) -> T:
    """Return what an option says; end with the sentence that names it."""
    try:
        return read(text)
    except ValueError as error:
        end(f"{option} {error}.", USAGE)


# --- the database ---


def _settings_of_a_service(data_dir: Path | None, database_url: str | None) -> Settings:
    """Return the settings; end where there is no database by them, rather than make one in a wrong folder."""
    settings = settings_or_end(data_dir=data_dir, database_url=database_url)
    file = settings.database_file
    try:
        missing = settings.database_url is None and not file.exists()
    except OSError as error:
        end(f"{file} can't be looked at ({error.strerror}): run this as the service's user.", FAILED)
    if missing:
        end(f"There is no database {file}: name the service's folder with DATA_DIR.", FAILED)
    return settings


def _on_record(settings: Settings, errand: Callable[[KeyStore], Awaitable[T]]) -> T:
    """Do something with the keys on record; end with a sentence where the database does not."""

    async def go() -> T:
        database = await _opened(settings)
        try:
            return await errand(KeyStore(database))
        finally:
            await database.dispose()

    mask = os.umask(0o077)  # a database that is made here is for the service's user alone
    try:
        return asyncio.run(go())
    except (StartError, StoreUnavailable) as error:
        end(str(error), FAILED)
    finally:
        os.umask(mask)


async def _opened(settings: Settings) -> Database:
    """Open the database; bring it to the newest schema only where no server is at work on it. Raises `StartError`."""
    try:
        return await open_database(settings.database, upgrade=False)
    except DatabaseOutdated as error:
        try:
            async with AsyncExitStack() as stack:
                if sqlite_file(settings.database) is not None:
                    stack.enter_context(lock(settings))
                await stack.enter_async_context(alone(settings.database))
                return await open_database(settings.database)
        except (SettingsError, InUse):
            raise DatabaseUnusable(
                f"{error} A server of another version is at work on it: restart that with this one, or use its own "
                "`whisperx-api keys`."
            ) from None


# --- what is shown ---


def _row(key: StoredKey) -> tuple[str, ...]:
    state = "expired" if key.expired(datetime.now(timezone.utc)) else "in force"
    if key.revoked_at is not None:
        state = f"revoked {_time(key.revoked_at)}"
    times = (_time(key.created_at), _time(key.expires_at, "never"), _time(key.last_used_at, "never"))
    return key.id, key.name, _scopes(key.scopes), *times, state


def _rows_of_settings(settings: Settings) -> Iterator[tuple[str, ...]]:
    for caller, place in _of_settings(settings):
        yield "-", caller.name, _scopes(caller.scopes), "-", "never", "-", f"in {place}"


def _of_settings(settings: Settings) -> Iterator[tuple[Caller, str]]:
    """Yield whose keys are not on record but in the settings or in a file, and where."""
    for entry in settings.api_keys:
        yield parse_key(entry)[0], "API_KEYS"
    if settings.api_key:
        yield Caller("default"), "API_KEY"
    path = settings.data_dir / "api_key"
    if settings.api_keys or settings.api_key or settings.queue is not Queue.EMBEDDED:
        return  # then the server reads no file
    if kept_key(path) is not None:
        yield Caller("default"), str(path)


def _scopes(scopes: frozenset[Scope]) -> str:
    return ",".join(scope.value for scope in Scope if scope in scopes)


def _time(moment: datetime | None, without: str = "-") -> str:
    return without if moment is None else f"{moment:%Y-%m-%dT%H:%MZ}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
