"""One run of one job: its stages, a checkpoint after each, another try where one fails.

Speakers are found beside the words, for neither needs the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from whisperx_api.engine.process import EngineUnavailable
from whisperx_api.engine.protocol import WAITING, Stage
from whisperx_api.happenings import RunBegan, RunEnded, StageTryFailed
from whisperx_api.jobs.checkpoints import recall
from whisperx_api.jobs.edits import EDITS
from whisperx_api.jobs.events import NOTHING, Event, EventKind, Heard
from whisperx_api.jobs.faults import STAGE_FAULTS, can_be_tried_again, persist, sentence
from whisperx_api.jobs.giving import complete_by_another
from whisperx_api.jobs.job import Job, Verdict, judge
from whisperx_api.jobs.live import Live
from whisperx_api.jobs.progress import Progress
from whisperx_api.jobs.queue.embedded import Rank
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.stages import Stages
from whisperx_api.jobs.store import StaleEpoch
from whisperx_api.jobs.telling import Telling
from whisperx_api.jobs.workshop import Workshop
from whisperx_api.storage.protocol import StorageUnavailable
from whisperx_api.transcript import Segment

logger = logging.getLogger(__name__)

PAUSE_SECONDS = (0.5, 2.0)
"""Pause before the second and the third try of a stage."""
ENGINE_PAUSE_SECONDS = 15.0
"""Pause before what is needed is asked for again: an engine that could not be started, a storage out of reach."""
OUT_OF_REACH = "The server's storage can't be reached."
STOPPED = "stopped"
"""How a run is told as over whose job goes on, or was cancelled."""


class JobRun:
    """Takes a job from where it is to its end, or to where it is stopped.

    `job`, `told`, `stage` and `message` are what a status poll shows; they change as the run goes on.
    """

    def __init__(self, job: Job, workshop: Workshop, rank: Rank | None = None, heard: Heard = NOTHING) -> None:
        """`rank` is the job's own if left out; up to `heard` its text was told by another run."""
        self.job = job
        self.rank = rank or job.rank
        """Its place among the runs that wait for the device."""
        self.stopping = False
        """Set to have the run hand its job back after the stages at work."""
        self._shop = workshop
        self.told = job.progress
        """The progress that is on record: no more than that is told, so that it can't go back over a crash."""
        self._telling = Telling(job.stages, self._publish_progress)
        self._stages = Stages(job, workshop, self._telling, self._publish_segment, lambda: self.rank)
        self._record = asyncio.Lock()
        self.heard: dict[int | None, float] = dict(heard)
        """Up to where each channel's text was published, in seconds: a stage that is run again tells none twice."""

    @property
    def stage(self) -> Stage | None:
        """The stage at work, the first of several; None before any is."""
        return self._telling.stage

    @property
    def progress(self) -> Progress:
        """How far the stages have come."""
        return self._stages.progress

    @property
    def message(self) -> str:
        """What the stages at work do, or why they can't."""
        return self._telling.message

    async def __call__(self) -> None:
        """Run what is left to do. Cancelling it hands the job back, unless the job has moved on."""
        job = self.job
        self._shop.observer(RunBegan(job.id, job.epoch, job.trace))
        try:
            await self._run()
        finally:
            outcome = self.job.status.value if self.job.status.finished else STOPPED
            self._shop.observer(RunEnded(job.id, job.epoch, outcome))

    async def _run(self) -> None:
        try:
            if (given := await complete_by_another(self.job, self._shop)) is not None:
                self.job = given
                return
            for stage, result in (await self._recalled()).items():
                self._stages.keep(stage, result)
            await self._do(Stage.DECODE)
            await side_by_side(self._do(Stage.TRANSCRIBE, Stage.ALIGN), self._do(Stage.DIARIZE))
            await self._do(Stage.ASSIGN)
            if Stage.ASSIGN in self._stages.results:
                await self._complete()
            else:
                await self._shop.store.hand_back(self.job, self.progress.reached)
        except StaleEpoch:
            logger.info("task %s: the run of epoch %d is not wanted any more", self.job.id, self.job.epoch)
            await self._tidy()
        except _GivenUp as error:
            await self._fail(str(error), error.stage)
        except asyncio.CancelledError:
            await self._hand_back()
            raise
        except StoreUnavailable:
            raise  # no fault of the job's: the manager runs it again
        except Exception:
            logger.exception("task %s: the run failed", self.job.id)
            reason = "The service ran into an error of its own, which is in its log: retry the task."
            await self._fail(reason, self.stage)

    async def save_progress(self) -> None:
        """Write the progress down, for after a restart."""
        if self.stage is not None:
            reached = self.progress.reached
            await self._shop.store.at(self.job, self.stage, reached, self._live if self._shop.shared else None)
            self._tell(reached)

    @property
    def _live(self) -> Live:
        return Live(self.message, self.progress.eta(), tuple(self.heard.items()))

    # --- the stages ---

    async def _recalled(self) -> dict[Stage, Any]:
        """Return what earlier runs have left."""
        while True:
            try:
                left = await recall(self.job, self._shop.storage)
                self._telling.begins(Stage.DECODE)
                return left
            except StorageUnavailable as error:
                await self._wait_for_storage(Stage.DECODE, error)

    async def _wait_for_storage(self, stage: Stage, error: StorageUnavailable) -> None:
        """Say that a stage waits for the storage, and do so."""
        logger.warning("task %s: %s waits for the storage: %s", self.job.id, stage.value, error.strerror)
        self._telling.trouble(stage, OUT_OF_REACH)
        await asyncio.sleep(ENGINE_PAUSE_SECONDS)

    async def _do(self, *stages: Stage) -> None:
        """Run stages one after the other, as far as the job has them and they are not done, until it is to stop."""
        for stage in stages:
            if stage in self.job.stages and stage not in self._stages.results and not self.stopping:
                await self._until_done(stage)

    async def _until_done(self, stage: Stage) -> None:
        """Run a stage until it succeeds or has failed too often, then keep its result."""
        self._telling.say(stage, WAITING)
        name = f"{stage.value}.{self.job.epoch}.json"
        made: tuple[Any, bytes] | None = None
        while True:
            try:
                made = made or await self._stages.make(stage)
                await self._shop.storage.write(self.job.id, name, made[1])
                break
            except EngineUnavailable as error:  # no fault of the job's: it waits until that is mended
                self._telling.trouble(stage, str(error))
                await asyncio.sleep(ENGINE_PAUSE_SECONDS)
            except StorageUnavailable as error:  # nor is this
                await self._wait_for_storage(stage, error)
            except STAGE_FAULTS as error:
                await self._judge(stage, error)
        self._stages.keep(stage, made[0])
        reached = self.progress.reached
        await self._change(lambda job: self._shop.store.checkpoint(job, stage, name, reached))
        self._telling.ends(stage)
        self._tell(self.job.progress)

    async def _change(self, change: Callable[[Job], Awaitable[Job]]) -> None:
        """Change the job on record, one change after the other: each starts from what the last one has made."""
        async with self._record:
            self.job = await persist(lambda: change(self.job))

    async def _judge(self, stage: Stage, error: Exception) -> None:
        await self._change(lambda job: self._shop.store.failed_attempt(job, stage))
        self._shop.observer(StageTryFailed(self.job.id, self.job.epoch, stage, type(error).__name__))
        failures, retryable = self.job.failures[stage.value], can_be_tried_again(error)
        logger.warning("task %s: %s failed (%d): %s", self.job.id, stage.value, failures, error)
        if judge(failures, retryable) is Verdict.GIVE_UP:
            raise _GivenUp(sentence(stage, error), stage) from error
        self._telling.say(stage, WAITING)
        await asyncio.sleep(PAUSE_SECONDS[min(failures, len(PAUSE_SECONDS)) - 1])

    # --- telling ---

    def _tell(self, progress: float) -> None:
        if progress > self.told:
            self.told = progress
            self._publish_progress()

    def _publish_progress(self) -> None:
        self._shop.events.publish(self.job.id, Event(EventKind.PROGRESS))

    def _publish_segment(self, segment: Segment) -> None:
        if segment.start >= self.heard.get(segment.channel, 0.0):
            self.heard[segment.channel] = segment.end
            self._shop.events.publish(self.job.id, Event(EventKind.SEGMENT, segment))

    # --- the end ---

    async def _complete(self) -> None:
        result = self.job.checkpoints[Stage.ASSIGN.value]
        kept = await self._shop.cache.kept(self.job, result) if self._shop.cache else None
        seconds = self._stages.results[Stage.ASSIGN].duration
        await self._shop.events.flush()
        self.job = await persist(
            lambda: self._shop.store.complete(self.job, {Stage.ASSIGN.value: result}, kept, seconds=seconds)
        )
        await self._shop.storage.clear(self.job.id, keep=(result, EDITS))
        if kept is not None and self._shop.cache:
            await self._shop.cache.trim()
        await asyncio.to_thread(self._shop.costs.save)
        started, completed = self.job.started_at, self.job.completed_at
        taken = (completed - started).total_seconds() if started and completed else 0.0
        length = self._stages.duration
        logger.info("task %s is completed: %.1f s of audio, %.1f s after its start", self.job.id, length, taken)

    async def _fail(self, error: str, stage: Stage | None) -> None:
        try:
            self.job = await persist(lambda: self._shop.store.fail(self.job, stage, error))
            await self._tidy()
            logger.error("task %s has failed: %s", self.job.id, error)
        except StaleEpoch:
            logger.info("task %s had moved on before it failed: %s", self.job.id, error)
            await self._tidy()

    async def _hand_back(self) -> None:
        try:
            await self._shop.store.hand_back(self.job, self.progress.reached)
        except StaleEpoch:
            logger.info("task %s: stopped", self.job.id)
            await self._tidy()

    async def _tidy(self) -> None:
        """Delete the files of a task that is not to be run further, all but what a retry goes on with or has made.

        An end may be on record of which this run has not heard, with a file that it does not know as kept.
        """
        there = await persist(lambda: self._shop.store.get(self.job.id))
        kept = (*self.job.kept_files, *(there.kept_files if there else ()), EDITS)
        await self._shop.storage.clear(self.job.id, keep=kept, epoch=self.job.epoch)


class _GivenUp(Exception):
    """A stage has failed for good; the message is the job's error."""

    def __init__(self, reason: str, stage: Stage) -> None:
        super().__init__(reason)
        self.stage = stage


async def side_by_side(*branches: Coroutine[Any, Any, None]) -> None:
    """Run coroutines at the same time. What one raises stops the others, and comes out when they have stopped."""
    tasks = [asyncio.create_task(branch) for branch in branches]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
