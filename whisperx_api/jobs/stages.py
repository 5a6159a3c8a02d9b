"""The stages of one run: what each is given and makes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from whisperx_api.engine.protocol import (
    RESULT_TYPES,
    Attempt,
    Inputs,
    RunStage,
    SegmentReady,
    Stage,
    StageProgress,
)
from whisperx_api.engine.session import EngineStarting
from whisperx_api.happenings import StageEnded
from whisperx_api.jobs.job import Job
from whisperx_api.jobs.progress import Progress
from whisperx_api.jobs.queue.embedded import Rank
from whisperx_api.jobs.telling import AT_WORK, STARTING, Telling
from whisperx_api.jobs.workshop import Workshop
from whisperx_api.transcript import Alignment, Audio, Diarization, Segment, Transcription, Voice, from_json, to_json

OF_SILENCE = {Stage.ALIGN: Alignment((), ""), Stage.DIARIZE: Diarization((), ())}
"""Where nothing was said there is nothing to align, and nobody to find: what these stages then make."""


class Stages:
    """Makes what the stages of a run make, and has it for those that follow.

    `results` are those of stages that are done. `progress` says how far all have come.
    """

    def __init__(
        self, job: Job, workshop: Workshop, telling: Telling, hear: Callable[[Segment], None], rank: Callable[[], Rank]
    ) -> None:
        """`hear` is given each stretch of text; `rank` says which place the run has among those for the device."""
        self._job = job
        self._shop = workshop
        self._telling = telling
        self._hear = hear
        self._rank = rank
        self._silent = asyncio.Event()
        self.results: dict[Stage, Any] = {}
        self.duration = job.upload.duration or 0.0
        """Seconds of the recording: as its file states it, until it is decoded."""
        self.progress = Progress(job.stages, workshop.costs, self.duration, job.progress)

    async def make(self, stage: Stage) -> tuple[Any, bytes]:
        """Return what a stage makes, and as it is kept. Raises what the stage raises."""
        if stage is Stage.DECODE:
            return await self._decode()
        if stage in OF_SILENCE:
            return await self._unless_silent(stage)
        return await self._compute(stage)

    def keep(self, stage: Stage, result: Any) -> None:
        """Have a stage's result for those that follow."""
        if isinstance(result, Audio):
            self.duration = result.sound
            self.progress = Progress(self._job.stages, self._shop.costs, self.duration, self.progress.reached)
            for done in self.results:
                self.progress.finish(done)
        self.results[stage] = result
        self.progress.finish(stage)
        if isinstance(result, Transcription) and not result.segments:
            self._silent.set()

    async def _decode(self) -> tuple[Audio, bytes]:
        target = self._shop.storage.audio(self._job.id, self._job.epoch)
        report = partial(self.progress.update, Stage.DECODE)
        async with self._shop.storage.recording(self._job.id) as recording:
            began = self._begin(Stage.DECODE)
            audio = await self._shop.decode(recording, target, report, self._job.options.channels)
        self._measured(Stage.DECODE, audio.sound, began)
        return audio, to_json(audio)

    async def _unless_silent(self, stage: Stage) -> tuple[Any, bytes]:
        """Compute a stage, unless or until it is known that nothing was said."""
        if not self._silent.is_set():
            computing = asyncio.create_task(self._compute(stage))
            silence = asyncio.create_task(self._silent.wait())
            try:
                await asyncio.wait({computing, silence}, return_when=asyncio.FIRST_COMPLETED)
                if computing.done():
                    return computing.result()
            finally:
                silence.cancel()
                computing.cancel()
                await asyncio.gather(computing, silence, return_exceptions=True)
        return OF_SILENCE[stage], to_json(OF_SILENCE[stage])

    async def _compute(self, stage: Stage) -> tuple[Any, bytes]:
        began: float | None = None

        def listen(message: EngineStarting | StageProgress | SegmentReady) -> None:
            nonlocal began
            if not isinstance(message, EngineStarting):
                self._telling.begins(stage)
            if isinstance(message, SegmentReady):
                self._hear(message.segment)
            elif isinstance(message, EngineStarting):
                self._telling.say(stage, STARTING)
            elif message.message is not None:  # what comes before the work, such as loading a model
                began = None
                self._telling.say(stage, message.message)
            else:
                began = began or self._begin(stage)
                self.progress.update(stage, message.fraction)

        async with AsyncExitStack() as copies:
            inputs = Inputs(
                self.results[Stage.DECODE], self.results.get(Stage.TRANSCRIBE), self.results.get(Stage.ALIGN),
                self.results.get(Stage.DIARIZE), await self._voices(copies) if stage is Stage.DIARIZE else (),
            )  # fmt: skip
            attempt = Attempt(self._job.id, self._job.epoch)
            request = RunStage(attempt, stage, self._job.options, inputs, self._rank())
            data = await self._shop.engines.run(request, listen)
        if began is not None:
            self._measured(stage, self.duration, began)
        return await asyncio.to_thread(from_json, RESULT_TYPES[stage], data), data.encode()

    async def _voices(self, copies: AsyncExitStack) -> tuple[Voice, ...]:
        """Return the voices of the speakers that are to be named, whose files are there as long as `copies`."""
        voices: list[Voice] = []
        for one in self._job.options.known_speakers:
            path = await copies.enter_async_context(self._shop.storage.local(self._job.id, one.file))
            voices.append(Voice(one.name, str(path)))
        return tuple(voices)

    def _begin(self, stage: Stage) -> float:
        """Note that a stage begins to work, and return when."""
        self.progress.begin(stage)
        self._telling.begins(stage)
        self._telling.say(stage, AT_WORK[stage])
        return time.monotonic()

    def _measured(self, stage: Stage, sound: float, began: float) -> None:
        """A stage is done that began to work at `began`, on so many seconds of sound."""
        seconds = time.monotonic() - began
        self._shop.costs.learn(stage, sound, seconds)
        self._shop.observer(StageEnded(self._job.id, self._job.epoch, stage, seconds, sound))
