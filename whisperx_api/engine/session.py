"""One life of an engine process: the stages in work in it, and what becomes of them when it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from anyio import fail_after, move_on_after

from whisperx_api.engine.channel import Channel, ChannelClosed
from whisperx_api.engine.protocol import (
    Attempt,
    CancelStage,
    EngineReady,
    FromEngine,
    ModelsUnloaded,
    RunStage,
    SegmentReady,
    Stage,
    StageCancelled,
    StageDone,
    StageFailed,
    StageProgress,
    UnloadModels,
    to_engine,
)
from whisperx_api.engine.watch import kill_if_stuck, obituary

logger = logging.getLogger(__name__)

CANCEL_GRACE_SECONDS = 1.0
"""How long a stage may take to notice that it is cancelled before its process is killed."""
COMPANY_GRACE_SECONDS = 30.0
"""The same where a kill would take other stages with it."""
UNLOAD_SECONDS = 30.0
"""How long an engine may take to answer that it lets a model go."""
LOOK_SECONDS = 0.1
"""How often is looked whether a cancelled stage has stopped."""


@dataclass(frozen=True)
class EngineStarting:
    """The stage waits for its engine process to come up."""


Listener = Callable[[EngineStarting | StageProgress | SegmentReady], None]


class EngineDied(RuntimeError):
    """The engine process ended while a stage was in work."""


class Disturbed(RuntimeError):
    """The stage came to nothing by what else was in work, or may have.

    `suspect`: it may also be the stage's own fault, which shows when it runs alone. `out_of_memory`: what was lacking
    is memory.
    """

    def __init__(self, reason: str, suspect: bool, out_of_memory: bool = False) -> None:
        super().__init__(reason)
        self.suspect = suspect
        self.out_of_memory = out_of_memory


class StageError(RuntimeError):
    """A stage failed inside the engine. `retryable` is False where trying again can't help."""

    def __init__(self, reason: str, retryable: bool) -> None:
        super().__init__(reason)
        self.retryable = retryable


@dataclass(eq=False)
class _Work:
    """A stage in work. `company`: others were, some of the time. `leaving`: it is cancelled."""

    listener: Listener
    result: asyncio.Future[str]
    sent: bool = False
    company: bool = False
    leaving: bool = False


class Session:
    """A process, from its start to its end, with its channel."""

    def __init__(self, process: Process, channel: Channel, on_death: Callable[[], None] = lambda: None) -> None:
        """`on_death` is called when a process that was up has ended though nobody has told it to."""
        self.process = process
        self.channel = channel
        self.ready: asyncio.Future[EngineReady] = asyncio.get_running_loop().create_future()
        """What the engine says of its device when it is up. Raises `EngineDied` where it does not come up."""
        self._work: dict[tuple[Attempt, Stage], _Work] = {}
        self._unloading: deque[tuple[tuple[str, ...], asyncio.Future[ModelsUnloaded]]] = deque()
        self._on_death = on_death
        self._excused = False  # the process ends, or has ended, for a reason that is known
        self._hung_up = False
        self._ear = asyncio.create_task(self._listen())
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> bool:
        """Whether the process can be given stages."""
        return self._was_up and self.process.returncode is None and not self.channel.closed and not self._excused

    @property
    def _was_up(self) -> bool:
        return self.ready.done() and not self.ready.cancelled() and self.ready.exception() is None

    async def run(self, request: RunStage, listener: Listener) -> str:
        """Run one stage and return its result as JSON; `listener` hears what comes before it.

        Raises `StageError`, `EngineDied` and `Disturbed`. Cancelling the call stops the stage, if need be with the
        process.
        """
        key = (request.attempt, request.stage)
        work = self._work[key] = _Work(listener, asyncio.get_running_loop().create_future())
        if len(self._work) > 1:
            for some in self._work.values():
                some.company = True
        watch = asyncio.create_task(kill_if_stuck(self.process, self.channel))
        try:
            message = await asyncio.to_thread(to_engine.dump_json, request)  # an hour's words take a while
            work.sent = True
            await self.channel.write(message)
            await asyncio.wait({work.result})
            return work.result.result()
        except asyncio.CancelledError:
            if work.sent and not work.result.done():
                await self._stop(key, work)
            raise
        finally:
            watch.cancel()
            if not work.leaving:
                del self._work[key]

    async def unload(self, models: tuple[str, ...]) -> ModelsUnloaded:
        """Have the engine let models go. Raises `TimeoutError` where it does not answer."""
        answer: asyncio.Future[ModelsUnloaded] = asyncio.get_running_loop().create_future()
        self._unloading.append((models, answer))
        await self.channel.write(to_engine.dump_json(UnloadModels(models)))
        with fail_after(UNLOAD_SECONDS):
            return await asyncio.shield(answer)

    def let_go(self) -> None:
        """Hang up on a process that nobody needs now: it ends when it notices."""
        self._hung_up = True
        self.channel.close()

    async def end(self, grace: float) -> None:
        """Hang up, wait for the end of the process, and kill it after `grace` seconds."""
        self._hung_up = self._hung_up or not self.channel.closed  # else it has ended by itself
        self._excused = self._excused or self._hung_up
        if grace:
            self.channel.close()
            with move_on_after(grace):
                await self.process.wait()
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        self.channel.close()

    # --- what the engine says ---

    async def _listen(self) -> None:
        try:
            while True:
                self._hear(await self.channel.receive())
        except ChannelClosed:
            reason = await obituary(self.process)
        if self._was_up and not self._hung_up:
            self._on_death()
        if not self.ready.done():
            self._fail_to_start(reason)
        for models, answer in self._unloading:
            answer.set_result(ModelsUnloaded(models))  # the process took them all with it
        self._unloading.clear()
        staying = [work for work in self._work.values() if not work.result.done() and not work.leaving]
        for work in self._work.values():
            if not work.result.done():
                disturbed = self._excused or len(staying) > 1
                work.result.set_exception(Disturbed(reason, not self._excused) if disturbed else EngineDied(reason))
                work.result.exception()  # of a stage that is cancelled nobody asks

    def _fail_to_start(self, reason: str) -> None:
        self.ready.set_exception(EngineDied(reason))
        self.ready.exception()  # where the start was given up nobody asks

    def _hear(self, message: FromEngine) -> None:
        if not self.ready.done():
            if isinstance(message, EngineReady):
                self.ready.set_result(message)
            elif isinstance(message, StageFailed):
                self._fail_to_start(message.reason)
            return
        if isinstance(message, ModelsUnloaded) and self._unloading:
            self._unloading.popleft()[1].set_result(message)  # answers come in the order of what was asked
            return
        named = isinstance(message, StageProgress | SegmentReady | StageDone | StageFailed | StageCancelled)
        work = self._work.get((message.attempt, message.stage)) if named else None
        if work is None or work.result.done():
            logger.warning("the engine said what nobody waits for: %s", type(message).__name__)
        elif isinstance(message, StageProgress | SegmentReady):
            try:
                if not work.leaving:
                    work.listener(message)
            except Exception as error:  # the others are still to be heard
                work.result.set_exception(error)
        elif isinstance(message, StageDone):
            work.result.set_result(message.result)
        elif isinstance(message, StageFailed):
            self._excused = self._excused or message.fatal
            if message.out_of_memory and work.company:
                work.result.set_exception(Disturbed(message.reason, suspect=True, out_of_memory=True))
            else:
                work.result.set_exception(StageError(message.reason, message.retryable))
            work.result.exception()
        else:
            work.result.set_exception(StageError("The stage was stopped.", retryable=True))
            work.result.exception()

    # --- cancelling ---

    async def _stop(self, key: tuple[Attempt, Stage], work: _Work) -> None:
        """See to the end of a stage; who does not wait for it, being cancelled again, does not keep it from coming."""
        work.leaving = True
        stopping = asyncio.create_task(self._stopped(key, work))
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)
        await asyncio.shield(stopping)

    async def _stopped(self, key: tuple[Attempt, Stage], work: _Work) -> None:
        """Ask for the end of a stage and wait for it; a process that does not answer is killed."""
        asking = asyncio.create_task(self.channel.write(to_engine.dump_json(CancelStage(*key))))
        began = time.monotonic()
        try:
            while not work.result.done():
                company = any(not other.leaving for other in self._work.values())
                if time.monotonic() - began > (COMPANY_GRACE_SECONDS if company else CANCEL_GRACE_SECONDS):
                    await self.end(grace=0)
                await asyncio.wait({work.result}, timeout=LOOK_SECONDS)
        finally:
            asking.cancel()
            del self._work[key]
