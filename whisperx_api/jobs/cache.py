"""The result cache: finished transcripts, given again to who sends the same recording with the same options and models.

There are no copies to keep in step: on record is which completed jobs have a transcript to give, and each goes with its
job. So what is deleted is gone, and a transcript is there for others as long as one task has it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import delete, func, select

from whisperx_api.engine.protocol import EngineConfig
from whisperx_api.jobs.job import Job, KeptResult
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.store import JobStore
from whisperx_api.jobs.tables import JobRow, ResultRow
from whisperx_api.options import Options
from whisperx_api.storage.protocol import Storage, StorageUnavailable

logger = logging.getLogger(__name__)

VERSION = 2
"""Part of every key: to be raised when the same request would now give another transcript."""
ONLY_SHOWN = ("word_timestamps",)
"""Options that change what is shown of a transcript, and not what it is."""
OF_THE_MODELS = ("whisper_model", "align_model", "diarization_model", "diarization_mode", "compute_type", "chunk_size")
"""What the configuration adds to a key."""
SMALL = 256 * 1024
"""Bytes that are hashed in less time than it takes to have a thread do it."""

_options = TypeAdapter(Options)


@dataclass(frozen=True)
class Found:
    """A whole transcript as it was written, with its hash; `duration` is of the recording, as stated, in seconds."""

    data: bytes
    sha256: str
    duration: float | None


class ResultCache:
    """Knows which transcripts there are to give."""

    def __init__(
        self, store: JobStore, storage: Storage, config: EngineConfig, size: int, shared: bool = False
    ) -> None:
        """Offer at most `size` bytes of transcripts; `shared` also to other owners than their own."""
        self._store = store
        self._storage = storage
        self._config = config
        self._size = size
        self._shared = shared

    def work(self, job: Job) -> str | None:
        """Return a hash of all that the job's transcript depends on, and of who may have it.

        None for a job that samples: of that, a second one is wanted for its own sake.
        """
        if job.options.temperature > 0:
            return None
        plain = _options.dump_python(_options.validate_python(asdict(job.options)), mode="json")  # 0 and 0.0 are one
        options = {name: value for name, value in plain.items() if name not in ONLY_SHOWN}
        models = {name: getattr(self._config, name) for name in OF_THE_MODELS}
        if job.options.model is not None:
            models["whisper_model"] = job.options.model
        if self._config.compute_type is None:  # it then goes by the kind of device
            models["compute_type"] = self._config.device.partition(":")[0]
        owner = None if self._shared else job.owner
        whole = [VERSION, owner, job.upload.sha256, options | {"model": None}, models]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    def named(self, job: Job) -> Job:
        """Return a job that is not submitted yet with the name of its work."""
        return replace(job, work=self.work(job))

    def shareable(self, job: Job) -> bool:
        """Whether a job may give or take: not one that was begun with other models than there are now."""
        return job.work is not None and job.work == self.work(job)

    async def find(self, job: Job) -> Found | None:
        """Return the transcript to give to `job`; None if there is none that is whole."""
        while (last := await self._last(job)) is not None:
            entry, upload = last
            try:
                data = await self._storage.read(entry.task_id, entry.file)
            except StorageUnavailable as error:  # for now: it may be whole
                logger.warning("task %s: its transcript can't be given to another now: %s", entry.task_id, error)
                return None
            except OSError as error:
                logger.warning("task %s: its transcript can't be given to another: %s", entry.task_id, error)
            else:
                if await _digest(data) == entry.sha256:
                    return Found(data, entry.sha256, upload["duration"])
                logger.error("task %s: its transcript is damaged, and is given to nobody", entry.task_id)
            async with self._store.transaction() as session:
                await session.execute(delete(ResultRow).where(ResultRow.task_id == entry.task_id))
        return None

    async def kept(self, job: Job, file: str) -> KeptResult | None:
        """Return what is to be put on record of the job's transcript in `file`; None if nobody is to be given it."""
        if job.work is None or not self.shareable(job):
            return None
        try:
            data = await self._storage.read(job.id, file)
        except OSError as error:
            logger.warning("task %s: its transcript can't be read again: %s", job.id, error)
            return None
        return KeptResult(job.work, file, len(data), await _digest(data))

    async def trim(self) -> None:
        """Offer no more than the size allows: what was used longest ago goes. The tasks keep their transcripts."""
        size, used = func.max(ResultRow.size).label("size"), func.max(ResultRow.used_at).label("used")
        works = select(ResultRow.work, size, used).group_by(ResultRow.work).subquery()
        newest_first = (works.c.used.desc(), works.c.work)
        sums = select(works.c.work, func.sum(works.c.size).over(order_by=newest_first).label("total")).subquery()
        too_many = select(sums.c.work).where(sums.c.total > self._size)
        try:
            async with self._store.transaction() as session:
                await session.execute(delete(ResultRow).where(ResultRow.work.in_(too_many)))
        except StoreUnavailable as error:
            logger.warning("%s The result cache stays over its size for now.", error)

    async def _last(self, job: Job) -> tuple[ResultRow, dict[str, Any]] | None:
        """Return the transcript used last of those that answer for a job, with what was uploaded for it."""
        if not self.shareable(job):
            return None
        both = select(ResultRow, JobRow.upload).join(JobRow, JobRow.id == ResultRow.task_id)
        newest = both.where(ResultRow.work == job.work).order_by(ResultRow.used_at.desc()).limit(1)
        row = await self._store.read(lambda session: session.execute(newest).first())
        return None if row is None else (row[0], row[1])


async def _digest(data: bytes) -> str:
    hashed = hashlib.sha256(data) if len(data) < SMALL else await asyncio.to_thread(hashlib.sha256, data)
    return hashed.hexdigest()
