"""Where the service's log goes: to stderr, a line a message, as text or as JSON.

Every line says what it is about, where that is known: the request, the task, the name of the key. Nobody has to pass
that on: who works on a request or a task notes it once, and a message that begins with `task %s` is about that task.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from enum import Enum
from types import MappingProxyType
from typing import Any

CHATTY = ("whisperx", "lightning", "pytorch_lightning", "lightning.pytorch", "speechbrain", "httpx")
"""Libraries whose everyday messages tell an operator nothing."""
INDISCREET = ("aiosqlite", "psycopg", "httpx", "httpcore", "urllib3", "python_multipart", "faster_whisper")
"""Libraries whose everyday messages hold what was sent or said: parameters of SQL, URLs with their queries, headers."""
SQL = "sqlalchemy.engine"
ACCESS = "uvicorn.access"
ABOUT_A_TASK = "task %s"
"""How a message begins whose first argument is the id of the task that it is about."""
NOTHING: Mapping[str, str] = MappingProxyType({})

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=NOTHING)


class LogFormat(str, Enum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"


def configure(level: str, form: LogFormat = LogFormat.TEXT, process: str | None = None, sql: bool = False) -> None:
    """Log this package's messages from `level` on, and of everything else the warnings.

    `process` names the one that logs, where that is not the server. With `sql`, statements are logged too, without
    their parameters. Where whoever started the process has set its log up, lines go there and look as they are wanted
    there.
    """
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_json(process) if form is LogFormat.JSON else TextFormatter(process))
        root.addHandler(handler)
        logging.captureWarnings(True)
    logging.getLogger("whisperx_api").setLevel(level.upper())
    logging.getLogger(SQL).setLevel(logging.INFO if sql else logging.WARNING)
    for name in INDISCREET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(ACCESS).addFilter(without_query)


def quieten() -> None:
    """Silence the chatty libraries; to be called once they are imported, for some set themselves up then."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def note(**known: str) -> None:
    """Have each line of this asyncio task or thread, and of those that it starts, say from now on what it is about."""
    _about.set({**_about.get(), **known})


@contextmanager
def about(**known: str) -> Iterator[None]:
    """Have each line within say what it is about."""
    token = _about.set({**_about.get(), **known})
    try:
        yield
    finally:
        _about.reset(token)


def known_of(message: object, arguments: object) -> dict[str, str]:
    """Return what a message with its arguments is about, as far as that is known here."""
    known = dict(_about.get())
    if arguments and isinstance(arguments, tuple) and str(message).startswith(ABOUT_A_TASK):
        known["task_id"] = str(arguments[0])
    return known


def without_query(record: logging.LogRecord) -> bool:
    """Take the query out of uvicorn's line about a request: some put keys there."""
    if isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, path, version, status = record.args
        record.args = (client, method, str(path).partition("?")[0], version, status)
    return True


class TextFormatter(logging.Formatter):
    """Lines for people: the time, the level, the message, and what it is about, where it does not say so itself."""

    def __init__(self, process: str | None = None) -> None:
        super().__init__(f"%(asctime)s %(levelname)-7s {f'{process}: ' if process else ''}%(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name that logging calls
        line = super().formatMessage(record)
        known = known_of(record.msg, record.args).items()
        more = " ".join(f"{name}={value}" for name, value in known if value not in record.message)
        return f"{line} [{more}]" if more else line


def _json(process: str | None) -> logging.Formatter:
    """Return a formatter of lines for machines."""
    import structlog  # it takes a tenth of a second to import, and text needs none of it

    def fields(logger: Any, method: str, event: Any) -> Any:
        record: logging.LogRecord = event["_record"]
        named = {"process": process} if process else {}
        return {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event.pop("event").strip(),
            **named,
            **known_of(record.msg, event.pop("positional_args", ())),
            **event,
        }

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[fields],
        pass_foreign_args=True,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
    )


def _dumps(event: Any, **options: Any) -> str:
    return json.dumps(event, ensure_ascii=False, **options)
