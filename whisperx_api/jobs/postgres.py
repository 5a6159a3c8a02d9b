"""What is particular to PostgreSQL: how it is connected to, how a lost connection is noticed, what its faults mean.

psycopg is imported only where a URL names PostgreSQL.
"""

from __future__ import annotations

import select
import time
from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from whisperx_api.extras import how_to_install

KEPT, FURTHER = 4, 8
"""Connections that a pool keeps, and further ones in a rush. One pool is for changes, and one for questions."""
POOL_SECONDS = 10.0
"""How long to wait for a connection of the pool."""
RESTED_SECONDS = 5.0
"""A connection that has rested for longer is asked whether it still works before it is used."""
ANSWER_SECONDS = 30.0
"""Longest time for a change or a question as a whole, also where the network is cut."""

NETWORK = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,  # a connection on which nothing comes back is given up after 25 s
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "whisperx-api",
}
"""What libpq is told, where the URL does not say otherwise. Milliseconds for `tcp_user_timeout`, else seconds."""

SESSION = {
    "timezone": "UTC",
    "statement_timeout": "15s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "10",  # so PostgreSQL, too, notices a server that is cut off, and frees what that has locked
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}
"""What each connection sets for itself."""
READING = {"default_transaction_read_only": "on"}

WAYS_OUT = {
    ("password authentication failed", "no password supplied", "no pg_hba.conf entry", "role "): "Put the right user "
    "and password into DATABASE_URL, or let that user in.",
    ("does not exist",): "Make it with `createdb`, or name another in DATABASE_URL.",
    ("permission denied",): "Make DATABASE_URL's user the owner of the database.",
    ("too many", "remaining connection slots"): "Raise max_connections there.",
    ("refused", "timeout", "timed out", "resolve", "translate host", "route", "unreachable", "failed"): "Start it, or "
    "name the right host and port in DATABASE_URL.",
    ("read-only",): "Name the primary in DATABASE_URL, not one that follows it.",
    ("No space", "could not extend"): "Make room on its disk.",
}
"""What to do about a database, by what PostgreSQL or its driver says of it."""

NOT_INSTALLED = f"DATABASE_URL names PostgreSQL, and its driver is not installed: run {how_to_install('cluster')}."


def is_postgres(url: str) -> bool:
    """Return whether a URL, of any form, names PostgreSQL."""
    return url.startswith("postgres")


def connect(url: str, reading: bool = False, **options: Any) -> AsyncEngine:
    """Return an engine for a database; `reading` is for questions alone. Nothing is connected to yet.

    Raises what `create_async_engine` raises, and `ValueError`.
    """
    parsed = make_url(url)
    if "@" in (parsed.host or ""):
        raise ValueError("some of the password is taken for the host")
    pool: dict[str, Any] = {"pool_size": KEPT, "max_overflow": FURTHER, "pool_timeout": POOL_SECONDS}
    engine = create_async_engine(
        url,
        hide_parameters=True,  # in logs and errors: they hold prompts and secrets
        connect_args=network(parsed),
        **({} if "poolclass" in options else pool),
        **({"isolation_level": "AUTOCOMMIT"} if reading else {}),  # a question is one round trip, and not three
        **options,
    )
    _prepare(engine, SESSION | READING if reading else SESSION)
    return engine


def network(url: URL) -> dict[str, Any]:
    """Return what to tell libpq besides what the URL says."""
    return {name: value for name, value in NETWORK.items() if name not in url.query}


def place(url: str) -> str:
    """Return what to call a database in a sentence: no password is in it."""
    parsed = make_url(url)
    named = parsed.host or parsed.query.get("host") or "this machine"
    host = named if isinstance(named, str) else ", ".join(named)
    return f"The database {parsed.database or ''} of PostgreSQL on {host}" + (f":{parsed.port}" if parsed.port else "")


def reason(fault: object) -> str:
    """Return what PostgreSQL or its driver says, on one line."""
    return " ".join(str(fault).split()).removeprefix("connection failed: ").rstrip(".")


def _prepare(engine: AsyncEngine, session: dict[str, str]) -> None:
    """Have each connection of an engine set what it is to set, and be looked at before it is used."""
    text = _text_dumper()
    setting = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in session.items())

    def opened(connection: Any, record: Any) -> None:
        connection.driver_connection.adapters.register_dumper(str, text)
        cursor = connection.cursor()
        cursor.execute(setting)
        cursor.close()
        connection.commit()

    def rests(connection: Any, record: Any) -> None:
        record.info["since"] = time.monotonic()

    def wanted(connection: Any, record: Any, proxy: Any) -> None:
        if "since" not in record.info:  # it is new
            return
        if time.monotonic() - record.info["since"] > RESTED_SECONDS or has_something_to_say(connection):
            _see(engine.dialect, connection)

    event.listen(engine.sync_engine, "connect", opened)
    event.listen(engine.sync_engine, "checkin", rests)
    event.listen(engine.sync_engine, "checkout", wanted)


def has_something_to_say(connection: Any) -> bool:
    """Return whether a connection that nobody uses has got something, as one does that PostgreSQL has ended.

    That takes no round trip.
    """
    driver = connection.driver_connection
    if driver.closed:
        return True
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _see(dialect: Dialect, connection: Any) -> None:
    """Ask a connection whether it works. Raises `InvalidatePoolError`: those as old as this one are opened anew."""
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError(str(error)) from error


def _text_dumper() -> type:
    """Return what writes strings for psycopg: as PostgreSQL keeps no NUL, and what has one is to be kept all the same,
    U+FFFD is in its place.
    """
    from psycopg.types.string import StrDumper

    class Text(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}"))

    return Text
