"""The parts of the service that endpoints use, handed to them by the app."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from whisperx_api.api.links import Links
from whisperx_api.api.places import Places
from whisperx_api.api.remembered import Remembered
from whisperx_api.engine.fleet import Devices
from whisperx_api.failures import Failures
from whisperx_api.jobs.desk import Desk
from whisperx_api.jobs.events import Events
from whisperx_api.jobs.locks import LocalLocks, Locks
from whisperx_api.jobs.outbox import Outbox
from whisperx_api.jobs.sending import Sender
from whisperx_api.jobs.store import JobStore
from whisperx_api.jobs.usage import UsageBook
from whisperx_api.keys import KeyRing
from whisperx_api.metrics import Metrics
from whisperx_api.outgoing.calls import Calls
from whisperx_api.rates import Limiter
from whisperx_api.settings import Settings
from whisperx_api.storage.protocol import Storage

MAX_PROBES = 4
"""Uploads looked at at once."""
MAX_TESTS = 8
"""Webhooks tested at once."""


@dataclass(frozen=True)
class Parts:
    """Everything the lifespan builds. `keys` is None where authentication is off."""

    settings: Settings
    keys: KeyRing | None
    store: JobStore
    storage: Storage
    manager: Desk
    events: Events
    fleet: Devices
    calls: Calls
    outbox: Outbox
    sender: Sender
    usage: UsageBook
    metrics: Metrics
    uploads: Places
    """For uploads on their way."""
    links: Links
    """To recordings, for those without a key."""
    remembered: Remembered
    """What polls of ended tasks are answered."""
    limiter: Limiter | None = None
    """None where submissions are not limited."""
    failures: Failures | None = None
    """None where wrong keys are not counted."""
    locks: Locks = field(default_factory=LocalLocks)
    """One is held while an idempotency key is looked up and used, so that two requests at once get one task."""
    probes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_PROBES))
    """Held while an upload is looked at, so that many uploads at once are not as many decoder processes."""
    tests: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_TESTS))
    """Held while a webhook is tested, so that many tests at once are not as many connections."""
    started: float = field(default_factory=time.monotonic)


async def parts(request: Request) -> Parts:
    """Return the app's parts."""
    return request.app.state.parts


PartsOf = Annotated[Parts, Depends(parts)]
