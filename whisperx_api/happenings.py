"""What happens in the service, told to whoever observes it: metrics and traces.

Who does the work says what has happened, and knows nothing of who listens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Union

from whisperx_api.engine.protocol import Retry, Stage

logger = logging.getLogger(__name__)


class End(str, Enum):
    """How a job ended. `cached`: completed, with a transcript that another job has made."""

    COMPLETED = "completed"
    CACHED = "cached"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Delivery(str, Enum):
    """What came of a try to deliver a webhook's message. `dead` is one that is given up."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    DEAD = "dead"


# --- requests ---


@dataclass(frozen=True)
class RequestBegan:
    """A request has come in. `parent` is its `traceparent` header (W3C Trace Context)."""

    method: str
    request_id: str
    parent: str | None = None


@dataclass(frozen=True)
class RequestEnded:
    """A request is answered to its end. `route` is the template of its path; `seconds` go to the end of the body."""

    method: str
    route: str
    status: int
    seconds: float


# --- jobs ---


@dataclass(frozen=True)
class JobSubmitted:
    """A job is on record, with a recording of `size` bytes."""

    task_id: str
    size: int


@dataclass(frozen=True)
class JobEnded:
    """A job's end is on record."""

    task_id: str
    end: End


@dataclass(frozen=True)
class RunBegan:
    """A run of a job begins. `trace` is the `traceparent` of the request that has submitted the job."""

    task_id: str
    epoch: int
    trace: str | None = None


@dataclass(frozen=True)
class RunEnded:
    """A run is over: its job is `completed` or `failed`, or the run was `stopped` before that."""

    task_id: str
    epoch: int
    outcome: str


@dataclass(frozen=True)
class StageEnded:
    """A stage is done that took so many seconds of work for so many seconds of sound."""

    task_id: str
    epoch: int
    stage: Stage
    seconds: float
    sound: float


@dataclass(frozen=True)
class StageTryFailed:
    """A stage has failed, once; it may be tried again. `error` is the kind of error, and not what it says."""

    task_id: str
    epoch: int
    stage: Stage
    error: str


# --- engines ---


@dataclass(frozen=True)
class EngineStarted:
    """An engine process is up, or, where it `failed`, did not come up."""

    device: str
    failed: bool = False


@dataclass(frozen=True)
class EngineDied:
    """An engine process ended that nobody has told to."""

    device: str


@dataclass(frozen=True)
class ModelLoaded:
    """A model is on a device, by the name under which `/health` lists it."""

    device: str
    model: str


@dataclass(frozen=True)
class ModelReleased:
    """A model was let go: for room, by residency, or because somebody asked for it."""

    device: str
    model: str


@dataclass(frozen=True)
class MemoryRetry:
    """Something is tried again that ran out of memory."""

    device: str
    retry: Retry


# --- what they need ---


@dataclass(frozen=True)
class MessageTried:
    """A webhook's message was sent, or was not."""

    delivery: Delivery


@dataclass(frozen=True)
class DatabaseFault:
    """The database did not answer or did not take a change."""


Happening = Union[
    RequestBegan, RequestEnded, JobSubmitted, JobEnded, RunBegan, RunEnded, StageEnded, StageTryFailed, EngineStarted,
    EngineDied, ModelLoaded, ModelReleased, MemoryRetry, MessageTried, DatabaseFault,
]  # fmt: skip

Observer = Callable[[Happening], None]
"""Hears of what happens, at once and in the place where it happens, so it must not take long."""


def nobody(happening: Happening) -> None:
    """Observe nothing."""


class Observers:
    """Tells each of several. What one of them raises is logged: it is no fault of the work's or of the others'."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = list(observers)

    def add(self, observer: Observer) -> None:
        """Have one more be told from now on."""
        self._observers.append(observer)

    def __call__(self, happening: Happening) -> None:
        for observer in self._observers:
            try:
                observer(happening)
            except Exception:
                logger.exception("%s could not be observed", type(happening).__name__)
