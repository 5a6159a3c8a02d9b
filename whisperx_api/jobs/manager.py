"""The task manager: takes jobs in, has them run in their turn, and answers how they are.

Jobs are in the database before anybody is told of them, so a restart goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TypeVar
from weakref import WeakValueDictionary

from whisperx_api.jobs import edits
from whisperx_api.jobs.admission import Admission, QueueLimits
from whisperx_api.jobs.cache import Found
from whisperx_api.jobs.desk import Draining
from whisperx_api.jobs.errands import Errands
from whisperx_api.jobs.events import NOTHING, Event, EventKind
from whisperx_api.jobs.giving import add_completed
from whisperx_api.jobs.job import Job, JobStatus
from whisperx_api.jobs.line import Line
from whisperx_api.jobs.results import made_of
from whisperx_api.jobs.run import JobRun
from whisperx_api.jobs.runs import SAVE_SECONDS, Runs
from whisperx_api.jobs.view import JobView, LiveViews
from whisperx_api.jobs.webhooks import Webhook
from whisperx_api.jobs.worker import Worker, devices_of
from whisperx_api.jobs.workshop import Workshop
from whisperx_api.transcript import Transcript

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRIABLE = (JobStatus.FAILED, JobStatus.CANCELLED)


class JobManager:
    """Owns every unfinished job of this server."""

    def __init__(self, workshop: Workshop, max_concurrent: int, limits: QueueLimits | None = None) -> None:
        self._shop = workshop
        self._max_concurrent = max_concurrent
        self._runs = Runs(self, workshop.events)
        self._workers: list[asyncio.Task[None]] = []
        self._changes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._errands = Errands()
        self._line = line = Line(workshop, self._runs, self._errands, self._change_of)
        self.sharing = line.sharing
        self.admission = Admission(line.queue, self.sharing, limits or QueueLimits())
        self._views = LiveViews(workshop, line.queue, line.waiting, self._runs.at_work, self.sharing)
        self._draining = False
        self._began = datetime.now(timezone.utc)

    async def start(self) -> None:
        """Take up what the last server left, clear away what belongs to nobody, and begin to work."""
        unfinished = await self._shop.store.recover()
        swept = await self._shop.storage.sweep(await self._shop.store.ids())
        if unfinished or swept:
            logger.info("%d tasks to go on with, %d stray files deleted", len(unfinished), swept)
        for job in sorted(unfinished, key=lambda job: (-len(job.checkpoints), job.seq)):  # who is farthest leads
            self._line.put(job)
        self._workers = [asyncio.create_task(self._line.work()) for _ in range(self._max_concurrent)]
        self._workers.append(asyncio.create_task(self._save()))

    async def drain(self, grace: float) -> None:
        """Stop: give the stages at work `grace` seconds, and hand back what is not done."""
        self._draining = True
        for worker in self._workers:
            worker.cancel()
        self._errands.cancel()
        await self._runs.drain(grace)
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._errands.ended()

    # --- what callers ask for ---

    @property
    def draining(self) -> bool:
        """Whether the service is shutting down."""
        return self._draining

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._line.queue)

    @property
    def running(self) -> int:
        """How many jobs are in work."""
        return len(self._runs.at_work)

    async def submit(self, job: Job, webhook: Webhook | None = None, same: Found | None = None) -> Job:
        """Take a job whose recording is in storage. When this returns, the job is durable.

        With `same`, its transcript, it is completed by then. Raises `Draining`, and `QueueFull`.
        """
        if self._draining:
            raise Draining
        logger.info("task %s is received: %d bytes from %s", job.id, job.upload.size, job.owner)
        job = self.sharing.named(job)
        if same is None and self.sharing.leader(job) is None:
            same = await self.sharing.find(job)  # it may have come since it was looked for
        if same is not None and (completed := await add_completed(job, same, self._shop, webhook)) is not None:
            return completed
        with self.admission.place(job.owner):
            stored = await self._shop.store.add(job, webhook)
            self._line.put(stored)
        return stored

    def live(self, task_id: str) -> JobView | None:
        """Return how an unfinished job is, from memory; None for any other."""
        return self._views.live(task_id)

    async def views(self, jobs: Sequence[Job]) -> list[JobView]:
        """Return how these jobs are, as they were read from the database a moment ago."""
        return [self.live(job.id) or JobView(job, job.progress) for job in jobs]

    async def workers(self) -> Sequence[Worker]:
        """Return who runs the jobs: this process."""
        host, pid, devices = socket.gethostname(), os.getpid(), devices_of(self._shop.engines.engines)
        tasks = tuple(self._runs.at_work)
        return [
            Worker(
                f"{host}:{pid}", host, pid, (), self._max_concurrent, devices, tasks, self._draining, self._began,
                datetime.now(timezone.utc),
            )
        ]  # fmt: skip

    async def check(self, owner: str) -> None:
        """Raise `QueueFull` where one more job of this owner would be too many."""
        self.admission.check(owner)

    def named(self, job: Job) -> Job:
        """Return a job that is not submitted yet with the name of its work."""
        return self.sharing.named(job)

    def leader(self, job: Job) -> Job | None:
        """Return the unfinished job that does this one's work; None if nobody does."""
        return self.sharing.leader(job)

    async def find(self, job: Job) -> Found | None:
        """Return the transcript that is there for a job; None if nobody has made it."""
        return await self.sharing.find(job)

    async def view(self, task_id: str) -> JobView | None:
        """Return how a job is, or None. Of a live one this reads no disk."""
        if (live := self.live(task_id)) is not None:
            return live
        job = await self._shop.store.get(task_id)
        return None if job is None else JobView(job, job.progress, job.stage)

    async def result(self, job: Job, make: Callable[[Transcript], T]) -> T:
        """Return what `make`, in a thread, makes of a completed job's transcript, with what people put right in it."""
        return await made_of(self._shop.storage, job, make)

    async def edit(self, task_id: str, changes: edits.Edits) -> bool:
        """Put edits to a completed job's; False if it is gone. Raises `Changed`."""
        async with self._change_of(task_id):
            if await self._shop.store.get(task_id) is None:
                return False
            try:
                await edits.add(self._shop.storage, task_id, changes)
            finally:
                self._shop.store.changes.happened()
            return True

    async def page(self, owner: str, status: JobStatus | None, limit: int, before: int | None) -> Sequence[Job]:
        """Return the owner's jobs, newest first."""
        return await self._shop.store.page(owner, status, limit, before)

    async def cancel(self, task_id: str) -> bool:
        """Cancel a job; False if it had ended. It is cancelled at once, its stage stops within two seconds."""
        return await self._errands.to_its_end(self._cancelled(task_id))

    async def _cancelled(self, task_id: str) -> bool:
        async with self._change_of(task_id):
            return await self._cancel(task_id)

    async def _cancel(self, task_id: str) -> bool:
        if (view := self.live(task_id)) is not None:
            await self.sharing.note(task_id, view.stage, view.progress)
        if (cancelled := await self._shop.store.cancel(task_id, view.stage if view else None)) is None:
            return False
        self._line.remove(task_id)
        told, heard = cancelled.progress, NOTHING
        if (run := self._runs.stop(task_id)) is not None:
            told, heard = run.told, run.heard
        self._shop.events.publish(task_id, Event(EventKind.ENDED))
        await self.sharing.ended(cancelled, told, heard)
        return True

    async def retry(self, task_id: str) -> bool:
        """Make a failed or cancelled job pending again; False if it is neither. Raises `Draining`, and `QueueFull`."""
        if self._draining:
            raise Draining
        async with self._change_of(task_id):
            job = await self._shop.store.get(task_id)
            if job is None or job.status not in RETRIABLE:
                return False
            await self._runs.stopped(task_id)
            with self.admission.place(job.owner):
                if (job := await self._shop.store.retry(task_id)) is None:
                    return False
                self._line.put(job)
            return True

    async def delete(self, task_id: str) -> None:
        """Stop a job, and forget it with all its files."""
        await self._errands.to_its_end(self._deleted(task_id))

    async def _deleted(self, task_id: str) -> None:
        async with self._change_of(task_id):
            await self._delete(task_id)

    async def expire(self, before: datetime) -> int:
        """Delete the jobs that ended before a time and have not been taken up again; return how many those were."""
        expired = 0
        for task_id in await self._shop.store.expired(before):
            async with self._change_of(task_id):
                if task_id in await self._shop.store.expired(before, task_id):
                    await self._delete(task_id)
                    expired += 1
        return expired

    def _change_of(self, task_id: str) -> asyncio.Lock:
        """Return the lock on changes to one task: cancel, retry and delete each take several steps."""
        return self._changes.setdefault(task_id, asyncio.Lock())

    async def _delete(self, task_id: str) -> None:
        await self._cancel(task_id)
        await self._runs.stopped(task_id)
        await self._shop.store.delete(task_id)
        await self._shop.storage.delete(task_id)

    # --- what comes of a run ---

    async def ended(self, run: JobRun) -> None:
        """See to those who follow a job whose run has ended."""
        await self.sharing.ended(run.job, run.told, run.heard)

    async def saved(self, run: JobRun) -> None:
        """Write down how far those are who follow a job. Raises `StoreUnavailable`."""
        await self.sharing.save(run.job, run.stage, run.told)

    def moved_on(self, run: JobRun) -> None:
        """Do nothing: who has changed the job here has stopped its run too."""

    def lost(self, job: Job) -> None:
        """Have a job whose run ended unrecorded run again."""
        self._line.put_back(job)

    async def _save(self) -> None:
        """Once a second write the progress of every run down, and what was deleted out of the database's log."""
        self._shop.store.erased.set()  # the last server may have had no time for it
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            if self._shop.store.erased.is_set():
                await self._shop.store.wipe()
            await self._runs.save()
