"""The service: its port, database and keys."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import httpx

from whisperx_api.doctor.check import Check, fail, ok, warn
from whisperx_api.listening import port_fault
from whisperx_api.settings import Auth, Settings

CONNECT_SECONDS = 3.0


def service_checks(settings: Settings) -> Iterator[Check]:
    """Look at what the service needs around it."""
    yield _port(settings)
    yield _database(settings.database)
    yield _key(settings)


def _port(settings: Settings) -> Check:
    host, port = settings.host, settings.port
    if (fault := port_fault(host, port)) is None:
        return ok("port", f"Port {port} on {host} is free.")
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # asked, not bound
    try:
        url = f"http://{f'[{own}]' if ':' in own else own}:{port}/health"
        answer = httpx.get(url, timeout=CONNECT_SECONDS, trust_env=False)  # a proxy would be asked for others
        running = answer.json().get("status") == "ok"
    except (httpx.HTTPError, ValueError, AttributeError):
        running = False
    return ok("port", f"The service answers on port {port} already.") if running else fail("port", fault)


def _database(url: str) -> Check:
    """Open SQLite's file, or see whether the database's server can be reached; passwords are never shown."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError:
        return fail("database", "DATABASE_URL is no SQLAlchemy URL: write it as postgresql+psycopg://USER@HOST/NAME.")
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(Path(parsed.database or ""))
    host, port = parsed.host or "localhost", parsed.port or 5432
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or error
        return fail("database", f"No database answers at {host}:{port} ({reason}): start it, or mend DATABASE_URL.")
    return ok("database", f"A database answers at {host}:{port}.")


def _sqlite(path: Path) -> Check:
    from whisperx_api.jobs.tables import REVISION

    if not path.exists():
        return ok("database", f"{path} is made at the first start.")
    if not os.access(path, os.W_OK):
        return fail("database", f"{path} can't be written to: give this user write access to it.")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return warn("database", f"{path} holds no tables of the service yet: the next start makes them.")
        return fail("database", f"{path} can't be read ({error}): give this user access to it.")
    except sqlite3.DatabaseError as error:
        return fail("database", f"{path} is damaged ({error}): put a backup in its place, or move it away.")
    revision = row[0] if row else "none"
    newer = "" if revision == REVISION else f"; a start brings it to {REVISION}"
    return ok("database", f"{path} is at migration {revision}{newer}.")


def _key(settings: Settings) -> Check:
    if settings.auth is Auth.OFF:
        return warn("key", "AUTH=off: everybody who reaches the port may transcribe; unset it where others do.")
    if settings.api_key or settings.api_keys:
        return ok("key", "Keys are set.")
    path = settings.data_dir / "api_key"
    if path.exists():
        return ok("key", f"The key is in {path}.")
    in_force = _keys_in_force(settings.database_file)
    if in_force == 0:
        return warn("key", "No key on record is in force: make one with `whisperx-api keys create`.")
    if in_force:
        return ok("key", "Keys are on record: `whisperx-api keys list` shows them.")
    unless = "" if settings.database_url is None else " unless there are keys in DATABASE_URL"
    return ok("key", f"No key is set: the first start makes one and writes it to {path}{unless}.")


def _keys_in_force(path: Path) -> int | None:
    """Return how many of the keys on record may call now; None where none ever was."""
    query = "SELECT sum(revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)) FROM keys"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return database.execute(query, (f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}",)).fetchone()[0]
    except sqlite3.Error:  # what is wrong with the database is told of that
        return None
