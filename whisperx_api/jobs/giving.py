"""Completes a job with a transcript that another has made: each has its own copy, in storage before it is on record."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timezone

from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs.cache import Found
from whisperx_api.jobs.faults import persist
from whisperx_api.jobs.job import Job, JobStatus, KeptResult
from whisperx_api.jobs.webhooks import Webhook
from whisperx_api.jobs.workshop import Workshop
from whisperx_api.transcript import duration_of

logger = logging.getLogger(__name__)


async def give(job: Job, data: bytes, shop: Workshop) -> Job:
    """Complete a job in work with the transcript `data`. Raises `OSError`, `StaleEpoch` and `StoreUnavailable`."""
    file = await _written(job, data, shop)
    kept = await shop.cache.kept(job, file) if shop.cache else None
    seconds = duration_of(data)
    completed = await shop.store.complete(job, {Stage.ASSIGN.value: file}, kept, cached=True, seconds=seconds)
    await shop.storage.clear(job.id, keep=(file,))
    logger.info("task %s is completed, with the transcript of the same work", job.id)
    return completed


async def complete_by_another(job: Job, shop: Workshop) -> Job | None:
    """Complete a job in work with the transcript of a finished one of the same work; None if there is none to have.

    Raises `StaleEpoch` and `StoreUnavailable`.
    """
    if shop.cache is None or (found := await shop.cache.find(job)) is None:
        return None
    try:
        return await persist(lambda: give(job, found.data, shop))
    except OSError as error:
        logger.warning("task %s: a transcript could not be given to it: %s", job.id, error)
        return None


async def add_completed(job: Job, found: Found, shop: Workshop, webhook: Webhook | None = None) -> Job | None:
    """Put a new job on record as one that is completed; None where the disk does not take its transcript.

    Its webhook, if it has one, goes there with it. Raises `StoreUnavailable`.
    """
    try:
        file = await _written(job, found.data, shop)
    except OSError as error:
        logger.warning("task %s: a transcript could not be given to it: %s", job.id, error)
        return None
    now = datetime.now(timezone.utc)
    completed = replace(
        job, status=JobStatus.COMPLETED, progress=1.0, started_at=now, completed_at=now, cached=True,
        checkpoints={Stage.ASSIGN.value: file},
    )  # fmt: skip
    kept = KeptResult(job.work, file, len(found.data), found.sha256) if job.work else None
    added = await shop.store.add(completed, webhook, kept, duration_of(found.data))
    await shop.storage.clear(job.id, keep=(file,))
    return added


async def _written(job: Job, data: bytes, shop: Workshop) -> str:
    file = f"{Stage.ASSIGN.value}.{job.epoch}.json"
    await shop.storage.write(job.id, file, data)
    return file
