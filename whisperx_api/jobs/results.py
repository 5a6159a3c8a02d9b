"""The transcript of a completed job, with what people put right in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs import edits
from whisperx_api.jobs.job import Job
from whisperx_api.storage.protocol import Storage
from whisperx_api.transcript import Transcript, from_json

T = TypeVar("T")


async def made_of(storage: Storage, job: Job, make: Callable[[Transcript], T]) -> T:
    """Return what `make`, in a thread, makes of a completed job's transcript, with what people put right in it."""
    reading = storage.read(job.id, job.checkpoints[Stage.ASSIGN.value]), edits.read(storage, job.id)
    data, changes = await asyncio.gather(*reading)
    return await asyncio.to_thread(lambda: make(edits.edited(from_json(Transcript, data), changes)))
