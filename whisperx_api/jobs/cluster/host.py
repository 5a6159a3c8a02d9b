"""A worker: takes jobs from the queue of a cluster, runs some at once, and tells that it lives."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from whisperx_api.engine.fleet import Device
from whisperx_api.engine.protocol import WAITING
from whisperx_api.jobs.cluster.herald import Herald
from whisperx_api.jobs.cluster.notices import TASKS, Ear, Kind, Notice, channel_of
from whisperx_api.jobs.cluster.store import ClusterStore, Fits
from whisperx_api.jobs.cluster.workers import WorkerBook
from whisperx_api.jobs.errands import Errands
from whisperx_api.jobs.faults import RETRY_SECONDS, persist
from whisperx_api.jobs.job import Job, JobStatus
from whisperx_api.jobs.live import heard_of
from whisperx_api.jobs.run import JobRun
from whisperx_api.jobs.runs import SAVE_SECONDS, Runs
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.store import StaleEpoch
from whisperx_api.jobs.worker import Worker, devices_of
from whisperx_api.jobs.workshop import Workshop

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
"""How often a worker tells that it lives, and looks whether others do."""
VANISHED_SECONDS = 30.0
"""How long a worker may tell nothing until others have its jobs."""
LOOK_SECONDS = 0.02
"""How often somebody looks whether a job waits: many idle workers look by turns, each the less often."""
AGAIN_SECONDS = 15.0
"""Pause before engines are started again of which none could be."""
SAY_SECONDS = 0.2
"""Pause between two times that what a run says of itself is written down."""
STATE_SECONDS = 0.5
"""How often it is looked whether the devices or the tasks at work are others than were told."""
SHORTEST_LOOK, LONGEST_LOOK = 0.1, 2.0
"""Seconds between two looks of one worker, at least and at most."""


def pause_between_looks(capacity: int) -> float:
    """Return after how many seconds an idle worker looks again, where all together run so many jobs at once."""
    return min(max(capacity * LOOK_SECONDS, SHORTEST_LOOK), LONGEST_LOOK)


class Host:
    """Runs jobs of a cluster. It owns none: what it holds of them is given to others when it tells nothing any more."""

    def __init__(
        self, workshop: Workshop, store: ClusterStore, book: WorkerBook, herald: Herald, alone: AsyncEngine,
        engines: Sequence[Device], capacity: int, queues: tuple[str, ...] = (), fits: Fits | None = None,
        start: Callable[[], Coroutine[Any, Any, None]] | None = None,
        unload: Callable[[Notice, str], Coroutine[Any, Any, Notice]] | None = None,
    ) -> None:  # fmt: skip
        """`fits` says which queues it takes jobs of, all if left out; `start` starts the engines, and `unload` has
        models go that a notice names.
        """
        self._shop = workshop
        self._store = store
        self._book = book
        self._herald = herald
        self._alone = alone
        self._engines = engines
        self._fits = fits
        self._unload = unload
        self._start = start
        self._tried = time.monotonic()
        self._worker = Worker(uuid.uuid4().hex, socket.gethostname(), os.getpid(), queues, capacity)
        self._number = 0
        self._runs = Runs(self, herald)
        self._errands = Errands()
        self._workers: list[asyncio.Task[None]] = []
        self._pause = SHORTEST_LOOK
        self._said: dict[str, str] = {}
        """What each run has said of itself that is on record, or on its way there."""
        self._saying: set[str] = set()
        self._strays: dict[str, int] = {}
        """Jobs that were on record as run here at the last beat, with their epochs, and are not."""
        self._told: Worker | None = None
        herald.moved = self._say

    @property
    def worker(self) -> Worker:
        """How this worker is now."""
        return replace(self._worker, devices=devices_of(self._engines), task_ids=tuple(self._runs.at_work))

    @property
    def waiting(self) -> int:
        """How many jobs wait here: none, they wait in the cluster."""
        return 0

    @property
    def running(self) -> int:
        """How many jobs are in work here."""
        return len(self._runs.at_work)

    async def start(self, before: str | None = None) -> None:
        """Go on record and begin to work, and have what the worker `before` has left wait again, which was here.

        Raises `StoreUnavailable`.
        """
        if before is not None and (left := await self._store.abandon(before)):
            logger.info("%d tasks that the last worker here has left wait again", len(left))
        self._number = await self._book.register(self.worker)
        logger.info("worker %s takes jobs, %d at once", self._worker.id, self._worker.capacity)
        ear = Ear(self._alone, channel_of(self._worker.id), self._hear, self._look_at_all)
        loops = (self.beat(), self._save(), self._herald.tell(), ear(), self._watch())
        self._workers = [asyncio.create_task(loop) for loop in loops]
        self._workers += [asyncio.create_task(self._work()) for _ in range(self._worker.capacity)]

    async def tell(self) -> None:
        """Tell that this worker lives, and how it is. Raises `StoreUnavailable`."""
        self._told = self.worker
        if not await self._book.beat(self._told, self._number):
            logger.warning("this worker was given up by the others, and is on record anew")
            self._number = await self._book.register(self.worker)
            self._look_at_all()

    async def drain(self, grace: float) -> None:
        """Take no more; give the stages at work `grace` seconds, and hand back what is not done."""
        self._worker = replace(self._worker, draining=True)
        beat, save, tell, ear, watch, *work = self._workers
        for task in (save, ear, watch, *work):
            task.cancel()
        self._errands.cancel()
        await self._runs.drain(grace)
        for task in (beat, tell):
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._errands.ended()
        try:
            await self._book.sign_off(self._worker, self._number)
        except StoreUnavailable as error:
            logger.warning("%s Others learn in %.0f s that this worker is gone.", error, VANISHED_SECONDS)

    # --- taking jobs ---

    async def _work(self) -> None:
        """Run one job after the other."""
        away = False
        while True:
            try:
                found = await self._run_next()
                away = False
            except StoreUnavailable as error:
                if not away:
                    logger.error("no jobs are taken: %s", error)
                away, found = True, False
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                logger.exception("a job could not be taken")
                found = False
                await asyncio.sleep(RETRY_SECONDS)
            if not found:
                await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))  # noqa: S311  # that not all look at once

    async def _run_next(self) -> bool:
        """Run the job whose turn it is, to its end; False where there is none, or no engine for it."""
        if self._engines and all(engine.failure for engine in self._engines):
            await self._start_engines()
            return False
        if (taken := await self._store.take(self._worker.id, self._number, self._fits)) is None:
            return False
        job, left = taken
        self._runs.stop(job.id)  # one of before that is still at it shares its files with this one
        await self._runs.stopped(job.id)
        logger.info("task %s is begun here, run %d", job.id, job.epoch)
        await asyncio.wait([self._runs.begin(JobRun(job, self._shop, heard=heard_of(left)))])
        return True

    async def _start_engines(self) -> None:
        """Try now and then whether engines can be started of which none could: until one can, no job is taken."""
        if self._start is not None and time.monotonic() - self._tried > AGAIN_SECONDS:
            self._tried = time.monotonic()
            await self._start()

    # --- what comes of a run ---

    async def ended(self, run: JobRun) -> None:
        """Forget what the run has said: what follows is part of putting the end on record."""
        self._said.pop(run.job.id, None)

    async def saved(self, run: JobRun) -> None:
        """Do nothing: who looks at the job finds it there."""

    def moved_on(self, run: JobRun) -> None:
        """Stop the run of a job that is another's, was cancelled or is gone."""
        self._errands.spawn(self._look(run.job.id))

    def lost(self, job: Job) -> None:
        """Have a job whose run ended unrecorded wait again."""
        self._errands.spawn(self._hand_back(job))

    async def _hand_back(self, job: Job) -> None:
        try:
            await persist(lambda: self._store.hand_back(job, job.progress))
        except StaleEpoch:
            logger.info("task %s has moved on", job.id)

    # --- hearing and telling ---

    def _say(self, task_id: str) -> None:
        """Have what a run says of itself be written down soon, where that is something new."""
        running = self._runs.at_work.get(task_id)
        if running is None or task_id in self._saying or running[0].message in (WAITING, self._said.get(task_id)):
            return  # that it waits is news only if it lasts, and then the next second's look writes it down
        self._saying.add(task_id)
        self._errands.spawn(self._write_down(task_id))

    async def _write_down(self, task_id: str) -> None:
        try:
            while (running := self._runs.at_work.get(task_id)) and running[0].message != self._said.get(task_id):
                self._said[task_id] = running[0].message
                await self._runs.save_one(running[0])
                await asyncio.sleep(SAY_SECONDS)
        finally:
            self._saying.discard(task_id)

    def _hear(self, notice: Notice) -> None:
        if notice.kind is Kind.TASK and notice.about in self._runs.at_work:
            self._errands.spawn(self._look(notice.about))
        elif notice.kind is Kind.UNLOAD and self._unload is not None:
            self._errands.spawn(self._let_go(notice, self._unload))

    async def _let_go(self, notice: Notice, unload: Callable[[Notice, str], Coroutine[Any, Any, Notice]]) -> None:
        """Let a model go, tell how the devices are then, and answer."""
        answer = await unload(notice, self._worker.id)
        await self.tell()
        await self._store.say(TASKS, answer)

    def _look_at_all(self) -> None:
        for task_id in self._runs.at_work:
            self._errands.spawn(self._look(task_id))

    async def _look(self, task_id: str) -> None:
        """Stop the run of a job that was cancelled, deleted, or given to another."""
        try:
            job = await self._store.get(task_id)
        except StoreUnavailable:
            return  # the next time that its progress is written down tells the same
        if (running := self._runs.at_work.get(task_id)) is None:
            return
        run = running[0]
        if job is None or job.epoch != run.job.epoch or job.status is JobStatus.PENDING:
            self._runs.stop(task_id)  # an end of this epoch is the run's own, which then has still to tidy up

    async def _save(self) -> None:
        """Once a second write the progress of every run down."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self._runs.save()

    async def _look_for_strays(self) -> None:
        """Have the jobs wait again that are on record as run here and are not: the word that they were begun was lost.

        One that is being begun just now is only at the next look.
        """
        held = {job.id: job for job in await self._store.held(self._worker.id) if job.id not in self._runs}
        for job in [job for job in held.values() if job.epoch == self._strays.get(job.id)]:
            logger.warning("task %s waits again: its run was never begun", job.id)
            self.lost(job)
        self._strays = {job.id: job.epoch for job in held.values()}

    async def _watch(self) -> None:
        """Tell soon where the devices or the tasks at work have changed."""
        while True:
            await asyncio.sleep(STATE_SECONDS)
            if self._told is not None and self.worker == self._told:
                continue
            try:
                await self.tell()
            except StoreUnavailable:
                continue  # the next beat says so
            except Exception:
                logger.exception("how this worker is could not be told")

    async def beat(self) -> None:
        """Tell again and again that this worker lives, and have the jobs of those wait again that don't.

        Others are judged only where for as long all of this worker's own beats came through: where the database was
        away, nobody's did.
        """
        heard_since: float | None = None
        while True:
            try:
                await self.tell()
                heard_since = heard_since or time.monotonic()
                if time.monotonic() - heard_since > VANISHED_SECONDS:
                    for job in await self._store.rescue(VANISHED_SECONDS):
                        logger.warning("task %s waits again: its worker has vanished", job.id)
                await self._look_for_strays()
                self._pause = pause_between_looks(await self._book.capacity())
            except StoreUnavailable as error:
                heard_since = None
                logger.warning("that this worker lives could not be told: %s", error)
            except Exception:
                logger.exception("that this worker lives could not be told")
            await asyncio.sleep(BEAT_SECONDS)
