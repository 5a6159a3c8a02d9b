"""`whisperx-api doctor`: print what `whisperx_api.doctor` finds."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape

from whisperx_api.cli.console import FAILED, settings_or_end
from whisperx_api.doctor import Level, examine

MARKS = {Level.OK: "[green]ok  [/]", Level.WARN: "[yellow]warn[/]", Level.FAIL: "[red]FAIL[/]"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def doctor() -> None:
    """Look at this machine and the settings, and say in plain words what is wrong and how to mend it.

    Exits with 1 if something keeps the service from working.
    """
    console = Console(soft_wrap=True, highlight=False)
    failed = False
    for check in examine(settings_or_end()):
        failed = failed or check.level is Level.FAIL
        console.print(f"{MARKS[check.level]}  {check.name:<12} {escape(check.sentence)}")
    raise typer.Exit(FAILED if failed else 0)
