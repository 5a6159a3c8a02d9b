"""The jobs that wait for this process, and who takes them up: one after the other, `MAX_CONCURRENT_TASKS` at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from whisperx_api.jobs.errands import Errands
from whisperx_api.jobs.faults import RETRY_SECONDS, persist
from whisperx_api.jobs.job import Job
from whisperx_api.jobs.queue.embedded import EmbeddedQueue
from whisperx_api.jobs.run import JobRun
from whisperx_api.jobs.runs import Runs
from whisperx_api.jobs.sharing import Sharing
from whisperx_api.jobs.store import StaleEpoch
from whisperx_api.jobs.workshop import Workshop

logger = logging.getLogger(__name__)


class Line:
    """Who waits, in the order of their turns."""

    def __init__(self, workshop: Workshop, runs: Runs, errands: Errands, lock: Callable[[str], asyncio.Lock]) -> None:
        """`lock` gives the lock on changes to one task."""
        self._shop = workshop
        self._runs = runs
        self._errands = errands
        self.queue = EmbeddedQueue()
        self.waiting: dict[str, Job] = {}
        self.sharing = Sharing(workshop, lock, self.put)

    def put(self, job: Job) -> None:
        """Have a job run in its turn, or follow one that does the same work, which then is as urgent."""
        if (leader := self.sharing.place(job)) is None:
            self.waiting[job.id] = job
            self.queue.put(job, self.sharing.rank(job))
            return
        rank = self.sharing.rank(leader)
        if self.queue.position(leader.id) is not None:
            self.queue.remove(leader.id)
            self.queue.put(leader, rank)
        elif (running := self._runs.at_work.get(leader.id)) is not None:
            running[0].rank = rank
            self._errands.spawn(self.sharing.begin(leader))

    def remove(self, task_id: str) -> None:
        """Have a job wait no more."""
        self.waiting.pop(task_id, None)
        self.queue.remove(task_id)

    def put_back(self, job: Job) -> None:
        """Have a job whose run ended unrecorded run again, as soon as the database takes it."""
        self._errands.spawn(self._rescue(job))

    async def _rescue(self, job: Job) -> None:
        with suppress(StaleEpoch):
            self.put(await persist(lambda: self._shop.store.hand_back(job, job.progress)))

    async def work(self) -> None:
        """Run one job after the other, for ever."""
        while True:
            task_id = await self.queue.get()
            try:
                await self._run(task_id)
            except Exception:  # a worker that is gone would be missed by every job after this one
                logger.exception("task %s could not be started", task_id)
                await asyncio.sleep(RETRY_SECONDS)
                if (waiting := self.waiting.get(task_id)) is not None:
                    self.queue.put(waiting, self.sharing.rank(waiting))

    async def _run(self, task_id: str) -> None:
        """Start a job that has left the queue, and wait until its run is over."""
        job = await persist(lambda: self._shop.store.start(task_id))
        if job is None and self.queue.position(task_id) is None:
            self.waiting.pop(task_id, None)
        # Between its place in the queue and its start a job may have been cancelled, and retried, which queues it
        # anew: then this start is of an epoch that is over.
        waiting = self.waiting.get(task_id)
        if job is None or waiting is None or job.epoch != waiting.epoch + 1:
            return
        del self.waiting[task_id]
        run = JobRun(job, self._shop, self.sharing.rank(job), self.sharing.heard(job))
        over = self._runs.begin(run)
        self._errands.spawn(self.sharing.begin(job))
        await asyncio.wait([over])
