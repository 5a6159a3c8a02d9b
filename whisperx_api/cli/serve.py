"""`whisperx-api serve`: the settings as flags, then uvicorn."""

from __future__ import annotations

import gc
import inspect
import logging
import os
import sys
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from whisperx_api.cli.console import REFUSED, end, settings_or_end
from whisperx_api.errors import StartError
from whisperx_api.settings import Settings

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 5
"""How long open connections may take to end after SIGTERM."""


def with_settings_as_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` one option for each setting: `--whisper-model` for `whisper_model`, with its meaning as help.

    An option that is not given is None. Values are text: the settings check them, and say what is wrong.
    """
    parameters = [_parameter(name, field) for name, field in Settings.model_fields.items()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads options from
    return command


def plain_spoken(application: Any) -> Any:
    """Return the ASGI application, so that a `StartError` while it starts is said without a traceback."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: Any) -> None:
            error = sys.exc_info()[1]  # sent from where the lifespan's exception is handled
            if message["type"] == "lifespan.startup.failed" and isinstance(error, StartError):
                message = {**message, "message": str(error)}
            await send(message)

        await application(scope, receive, tell if scope["type"] == "lifespan" else send)

    return wrapped


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    flag = name.replace("_", "-")
    switch = field.annotation is bool
    option = typer.Option(
        f"--{flag}/--no-{flag}" if switch else f"--{flag}",
        help=f"{field.description or ''}{_default(field.default)}",
        metavar=None if switch else name.rpartition("_")[2].upper(),
        show_default=False,
    )
    kind = bool | None if switch else str | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _default(value: object) -> str:
    if value is None or value == () or value == "":
        return ""
    return f" [default: {value.value if isinstance(value, Enum) else value}]"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(
    help="Run the service. A flag overrides the environment variable of the same name in capitals, and that overrides "
    "the file .env. Exits with 2 for a setting that can't be used, 3 if the service can't start."
)
@with_settings_as_flags
def serve(**flags: Any) -> None:
    """Run the service until SIGTERM or Ctrl-C."""
    settings = settings_or_end(**flags)
    os.umask(0o077)  # what the service writes is for its user alone, the database's own files too

    import uvicorn

    from whisperx_api.app import create_app
    from whisperx_api.connections import protocol, room_for
    from whisperx_api.listening import port_fault

    if fault := port_fault(settings.host, settings.port):
        end(fault, REFUSED)
    application = create_app(settings)
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  # any address, to be named
    logger.info("what the API can do is at http://%s:%d%s/docs", host, settings.port, settings.root_path)
    gc.freeze()  # what stays until the end: to look through it again takes the collector 0.1 s, and nobody is answered
    uvicorn.run(
        plain_spoken(application),
        host=settings.host,
        port=settings.port,
        log_level=settings.logging_level,
        log_config=None,  # into the service's own log, in its form
        access_log=settings.debug,
        lifespan="on",
        http=protocol(room_for(settings.max_connections)),
        ws="none",
        server_header=False,
        proxy_headers=False,  # whose X-Forwarded-For counts is what TRUSTED_PROXIES says, not FORWARDED_ALLOW_IPS
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
