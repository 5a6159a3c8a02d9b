"""What the commands share: where they write, how they end, and a bar for downloads."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from whisperx_api.models.progress import Progress, Report
from whisperx_api.settings import Settings, SettingsError, load_settings

FAILED, USAGE, REFUSED = 1, 2, 3
"""Exit codes: the work failed; a wrong option or setting; the server can't start, can't be reached or refuses."""


def plain(text: str) -> str:
    """Return text without what would command a terminal: every control character but line ends and tabs.

    What a server says, and what files of others are called, is shown in no other way.
    """
    return "".join(one for one in text if one in "\n\t" or unicodedata.category(one) != "Cc")


def one_line(text: str) -> str:
    """Return text as `plain` does and without line ends: one in a file's name would begin a line of its own."""
    return plain(" ".join(text.splitlines()))


def end(sentence: str, code: int) -> NoReturn:
    """Write `sentence` to stderr and exit with `code`."""
    typer.echo(plain(sentence), err=True)
    raise typer.Exit(code)


def settings_or_end(**flags: Any) -> Settings:
    """Return the settings with `flags` over them; end with the sentence that names a wrong one."""
    try:
        return load_settings(**flags)
    except SettingsError as error:
        end(str(error), USAGE)


@contextmanager
def download_bars() -> Iterator[Report]:
    """Show a bar on stderr for each file that is reported, with its rate and the time left; no terminal gets a line."""
    from rich.console import Console  # not for a server, which draws no bars and is to start fast
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def report(progress: Progress) -> None:
            if progress.name not in tasks:
                tasks[progress.name] = bars.add_task(progress.name, total=progress.total)
            bars.update(tasks[progress.name], completed=progress.done, total=progress.total)

        yield report


def _lines() -> Report:
    """Return a report that says in a line what has come whole."""
    told: set[str] = set()

    def report(progress: Progress) -> None:
        if progress.done >= progress.total > 0 and progress.name not in told:
            told.add(progress.name)
            typer.echo(f"{progress.name}: {progress.total / 1e6:.1f} MB", err=True)

    return report
