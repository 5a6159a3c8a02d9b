"""How far recordings are, on stderr: bars on a terminal, now and then a line where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any, Protocol

import typer

from whisperx_api.cli.console import one_line
from whisperx_api.client import TaskState, TaskStatus

LINE_SECONDS = 30.0
"""How often a line says how far a recording is, while it is at one thing."""
AWAY = "no answer, trying on"


class Row(Protocol):
    """Shows one recording."""

    def sent(self, done: int, total: int | None) -> None:
        """So many bytes of it are sent, of so many."""

    def status(self, status: TaskStatus) -> None:
        """Its task is so far."""

    def away(self, error: Exception) -> None:
        """The server does not answer."""

    def say(self, line: str) -> None:
        """Say something of it that stays to be read."""

    def end(self) -> None:
        """It is shown no more."""


class Show(Protocol):
    """Shows recordings."""

    def row(self, name: str) -> Row:
        """Begin to show a recording; an empty name where there is but one."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Keep off the terminal within, where others write to it."""
        ...


@contextmanager
def shown() -> Iterator[Show]:
    """Show recordings on stderr as suits it."""
    from rich.console import Console  # not for what draws nothing, such as completion

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    bars = Bars(console)
    with bars.progress:
        yield bars


class Lines:
    """A line where a recording begins or ends something, and every half minute."""

    def row(self, name: str) -> Row:
        return _LineRow(name)

    @contextmanager
    def paused(self) -> Iterator[None]:
        yield


class _LineRow:
    def __init__(self, name: str) -> None:
        self._name = name
        self._doing = ""
        self._said = time.monotonic()

    def sent(self, done: int, total: int | None) -> None:
        if total and time.monotonic() - self._said > LINE_SECONDS:
            self.say(f"{100 * done / total:.0f} % sent")

    def status(self, status: TaskStatus) -> None:
        doing = doing_of(status)
        late = time.monotonic() - self._said > LINE_SECONDS
        if (doing != self._doing or late) and not status.status.final:
            self._doing = doing
            self.say(", ".join(part for part in (doing, f"{status.progress:.0f} %", left_of(status)) if part))

    def away(self, error: Exception) -> None:
        if self._doing != AWAY:
            self._doing = AWAY
            self.say(AWAY)

    def say(self, line: str) -> None:
        self._said = time.monotonic()
        typer.echo(one_line(f"{self._name}: {line}" if self._name else line), err=True)

    def end(self) -> None:
        """Say nothing: what became of it is said by who knows."""


class Bars:
    """A bar a recording, drawn by rich, which go as their recordings end."""

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (
            TextColumn("{task.fields[name]}", markup=False), TextColumn("{task.description}", markup=False),
            BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}", markup=False),
        )  # fmt: skip
        self.progress = Progress(
            *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def row(self, name: str) -> Row:
        return _BarRow(self.progress, name)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.progress.stop()
        try:
            yield
        finally:
            self.progress.start()


class _BarRow:
    def __init__(self, progress: Any, name: str) -> None:
        self._progress = progress
        self._name = name
        self._bar = progress.add_task("reading", total=100, left="", name=one_line(name))

    def sent(self, done: int, total: int | None) -> None:
        known = f"of {total / 1e6:.1f} MB" if total else "MB"
        fraction = done / total if total else 0
        self._update(description="uploading", completed=100 * fraction, left=f"{done / 1e6:.1f} {known}")

    def status(self, status: TaskStatus) -> None:
        self._update(description=one_line(doing_of(status)), completed=status.progress, left=left_of(status))

    def away(self, error: Exception) -> None:
        self._update(description=AWAY, left="")

    def say(self, line: str) -> None:
        text = one_line(f"{self._name}: {line}" if self._name else line)
        self._progress.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        self._progress.remove_task(self._bar)

    def _update(self, **values: Any) -> None:
        self._progress.update(self._bar, **values)


def doing_of(status: TaskStatus) -> str:
    """Return what a task is at, in a few words."""
    if status.queue_position:
        return f"waiting, {status.queue_position} in line"
    return status.message or status.stage or ("waiting" if status.status is TaskState.PENDING else status.status.value)


def left_of(status: TaskStatus) -> str:
    """Return how long a task still takes, where that is known."""
    return f"{timedelta(seconds=round(status.eta_seconds))} left" if status.eta_seconds is not None else ""
