"""One run of one job: its stages in order, a checkpoint after each, another try where one fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from whisperx_api.engine.process import EngineStarting, EngineUnavailable, Listener
from whisperx_api.engine.protocol import (
    RESULT_TYPES,
    Attempt,
    Inputs,
    RunStage,
    SegmentReady,
    Stage,
    StageProgress,
)
from whisperx_api.jobs.events import Event, EventKind, Events
from whisperx_api.jobs.faults import STAGE_FAULTS, can_be_tried_again, persist, sentence
from whisperx_api.jobs.job import Job, Verdict, judge
from whisperx_api.jobs.progress import Progress, StageCosts
from whisperx_api.jobs.store import JobStore, StaleEpoch, StoreUnavailable
from whisperx_api.storage.local import LocalStorage
from whisperx_api.transcript import Alignment, Audio, Diarization, from_json, to_json

logger = logging.getLogger(__name__)

PAUSE_SECONDS = (0.5, 2.0)
"""Pause before the second and the third try of a stage."""
ENGINE_PAUSE_SECONDS = 15.0
"""Pause before an engine is asked for again that could not be started."""

MESSAGES = {
    Stage.DECODE: "Decoding the recording",
    Stage.TRANSCRIBE: "Transcribing speech",
    Stage.ALIGN: "Aligning words",
    Stage.DIARIZE: "Finding speakers",
    Stage.ASSIGN: "Giving words their speakers",
}
WAITING = "Waiting for the device"
STARTING = "Starting the engine"

OF_SILENCE = {Stage.ALIGN: Alignment((), ""), Stage.DIARIZE: Diarization((), ())}
"""Where nothing was said there is nothing to align, and nobody to find: what these stages then make."""

Decode = Callable[[Path, Path, Callable[[float], None]], Awaitable[Audio]]


class Engines(Protocol):
    """Runs a stage on some device, as `engine.fleet.Fleet` does."""

    async def run(self, request: RunStage, listener: Listener) -> str: ...


@dataclass(frozen=True)
class Workshop:
    """What every run works with."""

    store: JobStore
    storage: LocalStorage
    engines: Engines
    decode: Decode
    costs: StageCosts
    events: Events
    devices: int = 1


class JobRun:
    """Takes a job from where it is to its end, or to where it is stopped.

    `job`, `told` and `message` are what a status poll shows; they change as the run goes on.
    """

    def __init__(self, job: Job, workshop: Workshop) -> None:
        self.job = job
        self.message = WAITING
        self.stage: Stage | None = None
        self.stopping = False
        """Set to have the run hand its job back after the stage at work."""
        self._shop = workshop
        self._duration = job.upload.duration or 0.0
        self.progress = Progress(job.stages, workshop.costs, self._duration, job.progress)
        self.told = job.progress
        """The progress that is on record: no more than that is told, so that it can't go back over a crash."""
        self._results: dict[Stage, Any] = {}

    async def __call__(self) -> None:
        """Run what is left to do. Cancelling it hands the job back, unless the job has moved on."""
        try:
            await self._recall()
            for stage in self.job.stages:
                if stage not in self._results:
                    if self.stopping:
                        break
                    await self._do(stage)
            else:
                await self._complete()
                return
            await self._shop.store.hand_back(self.job, self.progress.reached)
        except StaleEpoch:
            logger.info("task %s: the run of epoch %d is not wanted any more", self.job.id, self.job.epoch)
        except _GivenUp as error:
            await self._fail(str(error))
        except asyncio.CancelledError:
            await self._hand_back()
            raise
        except StoreUnavailable:
            raise  # no fault of the job's: the manager runs it again
        except Exception:
            logger.exception("task %s: the run failed", self.job.id)
            await self._fail("The service ran into an error of its own, which is in its log: retry the task.")

    async def save_progress(self) -> None:
        """Write the progress down, for after a restart."""
        if self.stage is not None:
            reached = self.progress.reached
            await self._shop.store.at(self.job, self.stage, reached)
            self._tell(reached)

    # --- the stages ---

    async def _do(self, stage: Stage) -> None:
        """Run a stage until it succeeds or has failed too often, then keep its result."""
        self.stage, self.message = stage, WAITING
        self._shop.events.publish(self.job.id, Event(EventKind.PROGRESS))
        name = f"{stage.value}.{self.job.epoch}.json"
        made: tuple[Any, bytes] | None = None
        while True:
            try:
                made = made or await self._result(stage)
                await self._shop.storage.write(self.job.id, name, made[1])
                break
            except EngineUnavailable as error:  # no fault of the job's: it waits until that is mended
                self._say(str(error))
                await asyncio.sleep(ENGINE_PAUSE_SECONDS)
            except STAGE_FAULTS as error:
                await self._judge(stage, error)
        self._keep(stage, made[0])
        reached = self.progress.reached
        self.job = await persist(lambda: self._shop.store.checkpoint(self.job, stage, name, reached))
        self._tell(self.job.progress)

    async def _judge(self, stage: Stage, error: Exception) -> None:
        self.job = await persist(lambda: self._shop.store.failed_attempt(self.job))
        retryable = can_be_tried_again(error)
        logger.warning("task %s: %s failed (%d): %s", self.job.id, stage.value, self.job.failures, error)
        if judge(self.job.failures, retryable) is Verdict.GIVE_UP:
            raise _GivenUp(sentence(stage, error)) from error
        self.message = WAITING
        await asyncio.sleep(PAUSE_SECONDS[min(self.job.failures, len(PAUSE_SECONDS)) - 1])

    async def _result(self, stage: Stage) -> tuple[Any, bytes]:
        if stage is Stage.DECODE:
            return await self._decode()
        heard = self._results.get(Stage.TRANSCRIBE)
        if stage in OF_SILENCE and heard is not None and not heard.segments:
            return OF_SILENCE[stage], to_json(OF_SILENCE[stage])
        return await self._compute(stage)

    async def _decode(self) -> tuple[Audio, bytes]:
        began = self._begin(Stage.DECODE)
        target = self._shop.storage.audio(self.job.id, self.job.epoch)
        audio = await self._shop.decode(self._shop.storage.upload(self.job.id), target, self.progress.update)
        self._shop.costs.learn(Stage.DECODE, audio.duration, time.monotonic() - began)
        return audio, to_json(audio)

    async def _compute(self, stage: Stage) -> tuple[Any, bytes]:
        began: float | None = None

        def listen(message: EngineStarting | StageProgress | SegmentReady) -> None:
            nonlocal began
            if isinstance(message, SegmentReady):
                self._shop.events.publish(self.job.id, Event(EventKind.SEGMENT, message.segment))
            elif isinstance(message, EngineStarting):
                self._say(STARTING)
            elif message.message is not None:  # what comes before the work, such as loading a model
                began = None
                self._say(message.message)
            else:
                began = began or self._begin(stage)
                self.progress.update(message.fraction)

        inputs = Inputs(
            self._results[Stage.DECODE], self._results.get(Stage.TRANSCRIBE), self._results.get(Stage.ALIGN),
            self._results.get(Stage.DIARIZE),
        )  # fmt: skip
        attempt = Attempt(self.job.id, self.job.epoch)
        data = await self._shop.engines.run(RunStage(attempt, stage, self.job.options, inputs), listen)
        if began is not None:
            self._shop.costs.learn(stage, self._duration, time.monotonic() - began)
        return await asyncio.to_thread(from_json, RESULT_TYPES[stage], data), data.encode()

    # --- what is there already ---

    async def _recall(self) -> None:
        """Read the checkpoints of earlier runs, up to the first that is not whole.

        Decoded audio that is gone is made again, the same, so the stages after it need not be.
        """
        for stage in self.job.stages:
            if (name := self.job.checkpoints.get(stage.value)) is None:
                return
            try:
                data = await self._shop.storage.read(self.job.id, name)
                result = await asyncio.to_thread(from_json, RESULT_TYPES[stage], data)
            except (OSError, ValidationError) as error:
                logger.warning("task %s: checkpoint %s can't be used (%s)", self.job.id, name, error)
                return
            if not isinstance(result, Audio) or _whole(result):
                self._keep(stage, result)

    def _keep(self, stage: Stage, result: Any) -> None:
        if isinstance(result, Audio):
            self._duration = result.duration
            self.progress = Progress(self.job.stages, self._shop.costs, self._duration, self.progress.reached)
            for done in self._results:
                self.progress.finish(done)
        self._results[stage] = result
        self.progress.finish(stage)

    # --- telling ---

    def _begin(self, stage: Stage) -> float:
        self.progress.begin()
        self._say(MESSAGES[stage])
        return time.monotonic()

    def _say(self, message: str) -> None:
        if message != self.message:
            self.message = message
            self._shop.events.publish(self.job.id, Event(EventKind.PROGRESS))

    def _tell(self, progress: float) -> None:
        if progress > self.told:
            self.told = progress
            self._shop.events.publish(self.job.id, Event(EventKind.PROGRESS))

    # --- the end ---

    async def _complete(self) -> None:
        result = self.job.checkpoints[Stage.ASSIGN.value]
        self.job = await persist(lambda: self._shop.store.complete(self.job, {Stage.ASSIGN.value: result}))
        await self._shop.storage.clear(self.job.id, keep=(result,))
        await asyncio.to_thread(self._shop.costs.save)
        started, completed = self.job.started_at, self.job.completed_at
        seconds = (completed - started).total_seconds() if started and completed else 0.0
        logger.info(
            "task %s is completed: %.1f s of audio, %.1f s after its start", self.job.id, self._duration, seconds
        )

    async def _fail(self, error: str) -> None:
        try:
            self.job = await persist(lambda: self._shop.store.fail(self.job, self.stage, error))
            await self._shop.storage.clear(self.job.id, keep=self.job.checkpoints.values())
            logger.error("task %s has failed: %s", self.job.id, error)
        except StaleEpoch:
            logger.info("task %s had moved on before it failed: %s", self.job.id, error)

    async def _hand_back(self) -> None:
        try:
            await self._shop.store.hand_back(self.job, self.progress.reached)
        except StaleEpoch:
            logger.info("task %s: stopped", self.job.id)
            await self._shop.storage.clear(self.job.id, keep=self.job.checkpoints.values())


class _GivenUp(Exception):
    """A stage has failed for good; the message is the job's error."""


def _whole(audio: Audio) -> bool:
    path = Path(audio.path)
    return path.is_file() and path.stat().st_size == audio.samples * 4
