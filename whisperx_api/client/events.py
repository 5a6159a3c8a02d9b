"""A task's events, typed, and what keeps hearing them over lost connections. Nothing here does I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Union, cast

from httpx_sse import ServerSentEvent

from whisperx_api.client.address import shown
from whisperx_api.client.answers import SegmentAnswer, TaskState, TaskStatus
from whisperx_api.client.errors import ClientError, ServerUnreachable, asked_of, no_server

PAUSES = (0.2, 1.0, 3.0)
"""Seconds before each further try to connect; the last one stands for all that follow."""
SILENCE_SECONDS = 60.0
"""How long a connection may be silent: the server gives a sign of life every 15 seconds."""


@dataclass(frozen=True)
class Progressed:
    """The task is further, or at something else."""

    status: TaskStatus


@dataclass(frozen=True)
class SegmentHeard:
    """Text is ready: a stretch as it was decoded, up to half a minute, numbered as it is heard.

    The result has these stretches cut into sentences and by speaker.
    """

    segment: SegmentAnswer


@dataclass(frozen=True)
class Ended:
    """The task is completed, has failed or was cancelled: nothing follows."""

    status: TaskStatus


TaskEvent = Union[Progressed, SegmentHeard, Ended]


class Hearing:
    """Reads the messages about one task, over as many connections as that takes.

    The server begins each connection with how the task is then. It does not repeat text that was told while nobody was
    connected.
    """

    def __init__(self, base_url: str, task_id: str, patience: float) -> None:
        """`patience` is for how many seconds the server may be away."""
        self.task_id = task_id
        self.over = False
        """Whether the task has ended: there is nothing more to hear."""
        self._base_url = shown(base_url)
        self._patience = patience
        self._segments = 0
        self._last: TaskStatus | None = None
        self._failures = 0
        self._away_since = 0.0

    def take(self, message: ServerSentEvent) -> TaskEvent | None:
        """Return what a message says; None for what this version does not know, and for what was said before."""
        self._failures = 0
        try:
            return self._event(message)
        except (ValueError, KeyError, TypeError) as error:
            raise no_server(self._base_url) from error

    def _event(self, message: ServerSentEvent) -> TaskEvent | None:
        if message.event == "segment":
            segment = cast(SegmentAnswer, {**message.json(), "id": self._segments})
            self._segments += 1
            return SegmentHeard(segment)
        ended = message.event in [state.value for state in TaskState if state.final]
        if message.event != "progress" and not ended:
            return None
        status = TaskStatus.read({"task_id": self.task_id, **message.json()})
        if ended:
            self.over = True
            return Ended(status)
        if status == self._last:
            return None
        self._last = status
        return Progressed(status)

    def lost(self, error: ClientError | None) -> float:
        """Return the seconds to wait before the next connection. Raises where there is none to hope for."""
        error = error or ServerUnreachable(f"{self._base_url} has ended the connection.")
        now = time.monotonic()
        self._away_since = self._away_since if self._failures else now
        left = self._patience - (now - self._away_since)
        if not error.passing or left < 0:
            raise error
        self._failures += 1
        return max(PAUSES[min(self._failures, len(PAUSES)) - 1], min(asked_of(error), left))
