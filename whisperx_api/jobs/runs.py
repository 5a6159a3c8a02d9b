"""The runs of jobs in this process: how each begins, is put on record once a second, is stopped, and ends."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from whisperx_api import log
from whisperx_api.jobs.events import Event, EventKind, Events
from whisperx_api.jobs.job import Job
from whisperx_api.jobs.run import JobRun
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.store import StaleEpoch

logger = logging.getLogger(__name__)

SAVE_SECONDS = 1.0
"""How often progress is written down."""


class Keeper(Protocol):
    """Who has the runs, and sees to what comes of them."""

    async def ended(self, run: JobRun) -> None:
        """The job of a run has ended, or the run has."""

    async def saved(self, run: JobRun) -> None:
        """The progress of a run is on record."""

    def moved_on(self, run: JobRun) -> None:
        """The job of a run is another's, has ended or is gone."""

    def lost(self, job: Job) -> None:
        """The run of a job has ended, and that could not be put on record."""


class Runs:
    """Those in work, and those that are stopping. `at_work` has them by their tasks' ids."""

    def __init__(self, keeper: Keeper, events: Events) -> None:
        self._keeper = keeper
        self._events = events
        self.at_work: dict[str, tuple[JobRun, asyncio.Task[None]]] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._draining = False

    def __contains__(self, task_id: str) -> bool:
        """Whether a job has a run, also one that is stopping."""
        return task_id in self.at_work or task_id in self._stopping

    def begin(self, run: JobRun) -> asyncio.Task[None]:
        """Have a run begin; the task is done when it is over."""
        task = asyncio.create_task(self._go(run))
        self.at_work[run.job.id] = (run, task)
        task.add_done_callback(lambda ended: self._ended(run, ended))
        return task

    def stop(self, task_id: str) -> JobRun | None:
        """Stop the run of a job and return it; None where it has none."""
        if (running := self.at_work.pop(task_id, None)) is None:
            return None
        run, self._stopping[task_id] = running
        self._stopping[task_id].cancel()
        return run

    async def stopped(self, task_id: str) -> None:
        """Wait until no run of an ended job is left."""
        running = self.at_work.get(task_id)
        if (task := self._stopping.get(task_id) or (running and running[1])) is not None:
            await asyncio.wait([task])

    async def save(self) -> None:
        """Write the progress of every run down."""
        for run, _ in tuple(self.at_work.values()):
            await self.save_one(run)

    async def save_one(self, run: JobRun) -> None:
        """Write the progress of a run down."""
        try:
            await run.save_progress()
            await self._keeper.saved(run)
        except StaleEpoch:
            self._keeper.moved_on(run)
        except StoreUnavailable:
            pass  # the next second's look does it
        except Exception:
            logger.exception("task %s: its progress could not be written down", run.job.id)

    async def drain(self, grace: float) -> None:
        """Give the stages at work `grace` seconds, and hand back what is not done."""
        self._draining = True
        tasks = [task for _, task in self.at_work.values()] + list(self._stopping.values())
        for run, _ in self.at_work.values():
            run.stopping = True
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _go(self, run: JobRun) -> None:
        """Run a job, and have its keeper see to what follows."""
        log.note(task_id=run.job.id)
        try:
            await run()
        except Exception:
            if not run.job.status.finished:
                raise
            logger.exception("task %s has ended, but not all that follows was done", run.job.id)
        self._events.publish(run.job.id, Event(EventKind.ENDED))
        await self._keeper.ended(run)

    def _ended(self, run: JobRun, task: asyncio.Task[None]) -> None:
        task_id = run.job.id
        if (running := self.at_work.get(task_id)) is not None and running[1] is task:
            del self.at_work[task_id]
        if self._stopping.get(task_id) is task:
            del self._stopping[task_id]
        if not task.cancelled() and (error := task.exception()) is not None and not self._draining:
            logger.error("task %s: its run could not be put on record", task_id, exc_info=error)
            self._keeper.lost(run.job)
        self._events.publish(task_id, Event(EventKind.ENDED))
