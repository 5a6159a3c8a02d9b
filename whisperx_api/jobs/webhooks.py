"""What a webhook is, what it is sent, and what becomes of a message that was not taken.

Messages follow Standard Webhooks 1.0: https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from http import HTTPStatus
from typing import Any

SECRET_PREFIX = "whsec_"  # noqa: S105  # no secret, but how one begins
SECRET_BYTES = (24, 64)
"""Length of a secret, as Standard Webhooks has it."""
MAX_WEBHOOKS = 10
"""Webhooks of one task."""


class MessageType(str, Enum):
    """What a message is about."""

    COMPLETED = "transcription.completed"
    FAILED = "transcription.failed"
    CANCELLED = "transcription.cancelled"
    TEST = "webhook.test"


class MessageStatus(str, Enum):
    """Where a message stands. `dead` is one that was given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True)
class Message:
    """One message of a webhook. Its id and its body are the same on every try."""

    webhook_id: str
    task_id: str
    type: MessageType
    body: str
    receiver: str
    """Host and port it goes to."""
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    status: MessageStatus = MessageStatus.PENDING
    attempts: int = 0
    next_attempt_at: datetime | None = None
    last_attempt_at: datetime | None = None
    last_status_code: int | None = None
    last_error: str | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


@dataclass(frozen=True)
class Webhook:
    """Where to tell of a task's end. `secret` signs, and is shown once; a disabled one is told nothing more."""

    task_id: str
    owner: str
    url: str
    receiver: str
    secret: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    disabled_at: datetime | None = None


def new_secret() -> str:
    """Return a secret to sign with."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def checked_secret(text: str) -> str:
    """Return a caller's secret. Raises `ValueError` with what it must be."""
    encoded = text.removeprefix(SECRET_PREFIX)
    try:
        size = len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    least, most = SECRET_BYTES
    if not least <= size <= most:
        raise ValueError(f"must be {SECRET_PREFIX} and {least} to {most} bytes in base64")
    return text


def body(type: MessageType, data: dict[str, Any], now: datetime) -> str:
    """Return a message as it is sent."""
    content = {"type": type.value, "timestamp": utc(now), "data": data}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def utc(time: datetime | None) -> str | None:
    """Return a time as the API writes it: ISO 8601 in UTC, ending in Z."""
    return None if time is None else time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Answer:
    """What came of one try: the receiver's HTTP status, or a sentence that says why there is none."""

    status_code: int | None
    error: str | None = None
    retry_after: float = 0.0
    """Seconds that the receiver asks to be left alone."""

    @property
    def delivered(self) -> bool:
        """Whether the receiver has taken the message."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no more messages."""
        return self.status_code == HTTPStatus.GONE

    @property
    def fault(self) -> str | None:
        """Why this is no delivery, as a sentence."""
        if self.delivered:
            return None
        if self.gone:
            return "The receiver answered 410: it wants no more messages, and the webhook is disabled."
        if self.status_code is not None and 300 <= self.status_code < 400:
            return f"The receiver answered {self.status_code}, a redirect: none is followed."
        return self.error or f"The receiver answered {self.status_code}."


@dataclass(frozen=True)
class Backoff:
    """When a message is tried again: ever later, over some 27 hours, then no more.

    `first` and `longest` are pauses in seconds, `spread` the part of one that chance adds or takes away.
    """

    first: float = 10.0
    factor: float = 3.0
    longest: float = 6 * 3600.0
    tries: int = 12
    spread: float = 0.2

    def pause(self, failures: int, chance: float, asked: float = 0.0) -> timedelta | None:
        """Return the pause after so many failures, None to give up. `chance` is 0..1.

        It is no shorter than a receiver has asked for, in seconds; for more than the longest one nobody can ask.
        """
        if failures >= self.tries:
            return None
        longest = max(self.longest, self.first)
        pause = min(self.first * self.factor ** (failures - 1), longest) * (1 + self.spread * (2 * chance - 1))
        return timedelta(seconds=max(pause, min(asked, longest)))
