"""The steps of which flows are made: what is to be done next, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, Union

from whisperx_api.client.answers import TaskStatus
from whisperx_api.client.errors import ClientError
from whisperx_api.client.recordings import Upload
from whisperx_api.client.requests import Request

T = TypeVar("T")
Source = Union[str, Path, BinaryIO, None]
"""A recording: a path, an open file, or none where its url is among the options."""
Heard = Callable[[TaskStatus], None]
Away = Callable[[ClientError], None]


@dataclass(frozen=True)
class Send:
    """Send a request, with a form if there is one; comes to its answer, whose body is read. `into`: to that file."""

    request: Request
    upload: Upload | None = None
    into: Path | None = None


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Do something that waits for a disk; comes to what it returns."""

    do: Callable[[], Any]


Step = Union[Send, Pause, Work]
Flow = Generator[Step, Any, T]


@dataclass(frozen=True)
class Waiting:
    """How a task is waited for: polled every `poll_seconds`, through at most `patience` seconds without an answer.

    `on_progress` hears each status, `on_away` each poll that got no answer.
    """

    on_progress: Heard | None = None
    poll_seconds: float = 1.0
    patience: float = 60.0
    on_away: Away | None = None
