"""`whisperx-api worker`: the settings as flags, then a worker of a cluster."""

from __future__ import annotations

import gc
import os
from typing import Any

import typer

from whisperx_api.cli.console import REFUSED, end, settings_or_end
from whisperx_api.cli.serve import plain_spoken, with_settings_as_flags
from whisperx_api.errors import StartError
from whisperx_api.extras import how_to_install

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(
    help="Run the tasks of a cluster: QUEUE=procrastinate, DATABASE_URL and STORAGE_URL are those of its servers. "
    "SIGTERM has it hand back what it can't finish within SHUTDOWN_GRACE_SECONDS. Exits with 2 for a setting that "
    "can't be used, 3 if it can't start."
)
@with_settings_as_flags
def worker(**flags: Any) -> None:
    """Run tasks until SIGTERM or Ctrl-C."""
    settings = settings_or_end(**flags)
    os.umask(0o077)  # what it writes is for its user alone

    import uvicorn

    from whisperx_api.listening import port_fault

    try:
        from whisperx_api.clustered import check
        from whisperx_api.work import create_worker
    except ImportError as error:
        end(f"A worker needs what is not installed ({error.name}): run {how_to_install('cluster')}.", REFUSED)
    try:
        check(settings)
    except StartError as error:
        end(str(error), REFUSED)
    asked = settings.metrics_port is not None
    host, port = (settings.host, settings.metrics_port or 0) if asked else ("127.0.0.1", 0)
    if asked and (fault := port_fault(host, port)):
        end(fault, REFUSED)
    application = create_worker(settings)
    gc.freeze()
    uvicorn.run(
        plain_spoken(application), host=host, port=port, log_level=settings.logging_level, log_config=None,
        access_log=settings.debug, lifespan="on", ws="none", server_header=False, proxy_headers=False,
    )  # fmt: skip
