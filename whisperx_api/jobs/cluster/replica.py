"""A server of a cluster: takes jobs in and answers how they are. Workers run them; what it knows of them is on record.

Nothing is kept here that another server would need, so there may be any number of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from whisperx_api.jobs import edits
from whisperx_api.jobs.cache import Found, ResultCache
from whisperx_api.jobs.cluster.devices import RemoteDevices
from whisperx_api.jobs.cluster.herald import event_of
from whisperx_api.jobs.cluster.limits import ClusterLimits
from whisperx_api.jobs.cluster.notices import TASKS, Ear, Kind, Notice
from whisperx_api.jobs.cluster.store import ClusterStore, Seen
from whisperx_api.jobs.desk import Draining
from whisperx_api.jobs.errands import Errands
from whisperx_api.jobs.events import Event, EventKind
from whisperx_api.jobs.giving import add_completed
from whisperx_api.jobs.job import Job, JobStatus
from whisperx_api.jobs.locks import Locks
from whisperx_api.jobs.results import made_of
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.view import IN_QUEUE, JobView
from whisperx_api.jobs.webhooks import Webhook
from whisperx_api.jobs.worker import Worker
from whisperx_api.jobs.workshop import Workshop
from whisperx_api.transcript import Transcript

logger = logging.getLogger(__name__)

SAMPLE_SECONDS = 1.0
"""How often the queue and the workers are looked at."""
ENDED = tuple(status.value for status in JobStatus if status.finished)
"""What a notice says of a task that has ended, once."""
T = TypeVar("T")


class Replica:
    """The desk (`jobs.desk.Desk`) of a server whose jobs others run."""

    def __init__(
        self, workshop: Workshop, store: ClusterStore, alone: AsyncEngine, locks: Locks, limits: ClusterLimits,
        devices: RemoteDevices,
    ) -> None:  # fmt: skip
        """`alone` gives a connection of its own, to listen on."""
        self._shop = workshop
        self._store = store
        self._cache: ResultCache | None = workshop.cache
        self._locks = locks
        self._limits = limits
        self._devices = devices
        self._ear = Ear(alone, TASKS, self._hear, self._missed)
        self._errands = Errands()
        self._draining = False

    async def start(self) -> None:
        """Begin to listen, and to look at the queue. Raises `StoreUnavailable`."""
        if adopted := await self._store.adopt():
            logger.info("%d tasks of before there were workers to go on with", adopted)
        await self._look()
        self._errands.spawn(self._sweep())
        self._errands.spawn(self._ear())
        self._errands.spawn(self._sample())

    async def drain(self, grace: float) -> None:
        """Take no more jobs. Nothing has to be waited for."""
        self._draining = True
        self._errands.cancel()
        await self._errands.ended()

    # --- what callers ask for ---

    @property
    def draining(self) -> bool:
        """Whether this server is shutting down."""
        return self._draining

    @property
    def waiting(self) -> int:
        """How many jobs waited a second ago, in the whole cluster."""
        return sum(self._limits.counts.waiting.values())

    @property
    def running(self) -> int:
        """How many jobs were in work a second ago, in the whole cluster."""
        return self._limits.counts.running

    async def workers(self) -> Sequence[Worker]:
        """Return who runs the jobs."""
        await self._devices.look()
        return self._devices.workers

    async def check(self, owner: str) -> None:
        """Raise `QueueFull` where one more job of this owner would be too many, by a count of a second ago.

        Where that is close, it is counted anew. Raises `StoreUnavailable`.
        """
        if self._limits.close(owner):
            self._limits.counts = await self._store.counts()
        self._limits.check(owner)

    def named(self, job: Job) -> Job:
        """Return a job that is not submitted yet with the name of its work."""
        return self._cache.named(job) if self._cache else job

    def leader(self, job: Job) -> Job | None:
        """Return None: jobs of the same work follow one another in the queue, and the first one's transcript is
        given to the others.
        """
        return None

    async def find(self, job: Job) -> Found | None:
        """Return the transcript that is there for a job; None if nobody has made it."""
        return await self._cache.find(job) if self._cache else None

    async def submit(self, job: Job, webhook: Webhook | None = None, same: Found | None = None) -> Job:
        """Take a job whose recording is in storage. When this returns, the job is durable.

        With `same`, its transcript, it is completed by then. Raises `Draining`, and `QueueFull`.
        """
        if self._draining:
            raise Draining
        logger.info("task %s is received: %d bytes from %s", job.id, job.upload.size, job.owner)
        job = self.named(job)
        same = same or await self.find(job)  # it may have come since it was looked for
        if same is not None and (completed := await add_completed(job, same, self._shop, webhook)) is not None:
            return completed
        return await self._store.add(job, webhook, admit=self._limits.admit(job.owner))

    async def view(self, task_id: str) -> JobView | None:
        """Return how a job is, or None."""
        found = await self._store.seen([task_id])
        return _view(found[0]) if found else None

    async def views(self, jobs: Sequence[Job]) -> list[JobView]:
        """Return how these jobs are, as they were read from the database a moment ago."""
        unfinished = [job.id for job in jobs if not job.status.finished]
        seen = {one.job.id: one for one in (await self._store.seen(unfinished) if unfinished else ())}
        return [_view(seen.get(job.id) or Seen(job, None)) for job in jobs]

    async def result(self, job: Job, make: Callable[[Transcript], T]) -> T:
        """Return what `make`, in a thread, makes of a completed job's transcript, with what people put right in it."""
        return await made_of(self._shop.storage, job, make)

    async def edit(self, task_id: str, changes: edits.Edits) -> bool:
        """Put edits to a completed job's; False if it is gone. Raises `Changed`."""
        async with self._changes(task_id):
            if await self._store.get(task_id) is None:
                return False
            await edits.add(self._shop.storage, task_id, changes)
            return True

    async def page(self, owner: str, status: JobStatus | None, limit: int, before: int | None) -> Sequence[Job]:
        """Return the owner's jobs, newest first."""
        return await self._store.page(owner, status, limit, before)

    async def cancel(self, task_id: str) -> bool:
        """Cancel a job; False if it had ended. It is cancelled at once, its worker is told to stop."""
        return await self._store.cancel(task_id) is not None

    async def retry(self, task_id: str) -> bool:
        """Make a failed or cancelled job pending again; False if it is neither. Raises `Draining`, and `QueueFull`."""
        if self._draining:
            raise Draining
        if (job := await self._store.get(task_id)) is None:
            return False
        return await self._store.retry(task_id, self._limits.admit(job.owner)) is not None

    async def delete(self, task_id: str) -> None:
        """Forget a job with all its files; a worker that runs it is told to stop, and takes what it has left away."""
        await self._errands.to_its_end(self._delete(task_id))

    async def expire(self, before: datetime) -> int:
        """Delete the jobs that ended before a time and have not been taken up again; return how many those were."""
        expired = 0
        for task_id in await self._store.expired(before):
            if await self._store.delete_ended(task_id, before):
                await self._clear_away(task_id)
                expired += 1
        return expired

    async def _delete(self, task_id: str) -> None:
        await self._store.cancel(task_id)
        await self._store.delete(task_id)
        await self._clear_away(task_id)

    async def _clear_away(self, task_id: str) -> None:
        """Delete the files of a task that is gone from the record, when nobody is about to add to them."""
        async with self._changes(task_id):
            await self._shop.storage.delete(task_id)

    def _changes(self, task_id: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock on what people change in a task's files."""
        return self._locks.held(f"edits of {task_id}")

    # --- hearing of others ---

    def _hear(self, notice: Notice) -> None:
        if notice.kind is Kind.UNLOADED:
            self._devices.answered(notice)
            return
        self._shop.events.publish(notice.about, event_of(notice))
        if notice.content in ENDED:
            self._store.posted.set()  # there may be a message of it

    def _missed(self) -> None:
        """Have everybody who listens look at their task: it may have changed while nothing was heard."""
        self._shop.events.publish_to_all(Event(EventKind.PROGRESS))
        self._store.posted.set()

    async def _sweep(self) -> None:
        """Clear away what belongs to nobody: what was not reached as its task was deleted."""
        try:
            if swept := await self._shop.storage.sweep(await self._store.ids()):
                logger.info("%d stray files deleted", swept)
        except (StoreUnavailable, OSError) as error:
            logger.warning("what belongs to no task could not be deleted: %s", error)

    async def _sample(self) -> None:
        """For ever look at the queue and the workers."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            try:
                await self._look()
            except StoreUnavailable as error:
                logger.debug("the queue could not be looked at: %s", error)
            except Exception:
                logger.exception("the queue could not be looked at")

    async def _look(self) -> None:
        self._limits.counts = await self._store.counts()
        await self._devices.look()


def _view(seen: Seen) -> JobView:
    job, live = seen.job, seen.live
    begun = live is not None and bool(live.heard)
    if job.status is JobStatus.PENDING:
        return JobView(job, job.progress, None, IN_QUEUE, seen.position, None, begun)
    if job.status is JobStatus.PROCESSING and live is not None:
        return JobView(job, job.progress, job.stage, live.message, None, live.eta, begun)
    return JobView(job, job.progress, job.stage, begun=begun)
