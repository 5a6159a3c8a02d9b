"""One engine process, seen from the server: start it, give it stages, watch it, stop it. Imports no torch.

The process may die at any moment. Whoever waits for a stage then gets `EngineDied`, and the next stage starts a new
process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from whisperx_api.engine.channel import Channel, ChannelClosed
from whisperx_api.engine.nodes import device_absent
from whisperx_api.engine.protocol import (
    Attempt,
    CancelStage,
    EngineConfig,
    EngineReady,
    FromEngine,
    ModelsLoaded,
    RunStage,
    SegmentReady,
    StageCancelled,
    StageDone,
    StageFailed,
    StageProgress,
)
from whisperx_api.engine.watch import kill_if_stuck, obituary
from whisperx_api.lifeline import python_module

logger = logging.getLogger(__name__)

CANCEL_GRACE_SECONDS = 1.0
"""How long a stage may take to notice that it is cancelled before its process is killed."""
START_SECONDS = 180.0
"""Longest time for an engine to import its libraries and find its device."""
WORKER = "whisperx_api.engine.worker"


@dataclass(frozen=True)
class EngineStarting:
    """The stage waits for its engine process to come up."""


Listener = Callable[[EngineStarting | StageProgress | SegmentReady], None]


class EngineDied(RuntimeError):
    """The engine process ended while a stage was in work."""


class EngineUnavailable(EngineDied):
    """The engine process could not be started: no stage's fault. The message says why."""


class StageError(RuntimeError):
    """A stage failed inside the engine. `retryable` is False where trying again can't help."""

    def __init__(self, reason: str, retryable: bool) -> None:
        super().__init__(reason)
        self.retryable = retryable


class EngineProcess:
    """Keeps at most one process alive and gives it one stage at a time."""

    def __init__(self, config: EngineConfig, idle_seconds: float = 0, module: str = WORKER) -> None:
        """`idle_seconds`: let the process go after so long without work; 0 keeps it. `module` is what it runs."""
        self.config = config
        self.ready: EngineReady | None = None
        """What the engine said of its device when it last came up."""
        self.failure: str | None = None
        """Why the last start failed; None when it did not."""
        self._idle_seconds = idle_seconds
        self._module = module
        self._turn = asyncio.Lock()
        self._starting = False
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None
        self._idle: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a stage is in work."""
        return self._turn.locked()

    @property
    def state(self) -> str:
        """What the engine does, in a word: off, starting, idle or busy."""
        return "starting" if self._starting else "off" if self._live is None else "busy" if self.busy else "idle"

    @property
    def pid(self) -> int | None:
        """Process id of the engine; None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def models(self) -> ModelsLoaded:
        """The models on the device now."""
        return self._live.models if self._live else ModelsLoaded()

    @property
    def _live(self) -> Channel | None:
        """The channel to a process that is up; None without one."""
        return self._channel if self._channel and self.pid is not None and not self._channel.closed else None

    async def start(self) -> None:
        """Start the process unless it runs. Raises `EngineUnavailable` when it does not come up."""
        async with self._turn:
            await self._started()
            self._rest()

    async def run(self, request: RunStage, listener: Listener) -> str:
        """Run one stage and return its result as JSON; `listener` hears what comes before it.

        Raises `StageError`, `EngineDied` and `EngineUnavailable`. Cancelling the call stops the stage, if need be with
        its process.
        """
        if self._starting:
            listener(EngineStarting())
        async with self._turn:
            self._wake()
            if self._live is None:
                listener(EngineStarting())
            channel = await self._started()
            watch = asyncio.create_task(kill_if_stuck(self._process, channel))
            try:
                await channel.send(request)
                return await self._result(channel, request.attempt, listener)
            except asyncio.CancelledError:
                await self._cancel(channel, request.attempt)
                raise
            finally:
                watch.cancel()
                self._rest()

    async def stop(self) -> None:
        """End the process: by closing its socket first, then by a kill."""
        self._wake()
        if self._channel is not None:
            self._channel.close()
        await self._ended(grace=1.0)

    # --- the process ---

    async def _started(self) -> Channel:
        if (live := self._live) is not None:
            return live
        await self._ended(grace=1.0)
        self._starting = True
        try:
            return await self._start()
        finally:
            self._starting = False

    async def _start(self) -> Channel:
        if (absent := device_absent(self.config.device)) is not None:
            raise self._failed(f"The engine can't start. {absent}")
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *python_module(self._module), str(os.getpid()), str(theirs.fileno()), start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip
        self._channel = channel = await Channel.open(ours)
        try:
            await channel.configure(self.config)
            message = await asyncio.wait_for(self._receive(channel), START_SECONDS)
            if isinstance(message, StageFailed):
                raise EngineDied(message.reason)
            assert isinstance(message, EngineReady), message
        except asyncio.CancelledError:
            await self._ended(grace=0)  # a start that nobody waits for would pass for one that is done
            raise
        except (EngineDied, asyncio.TimeoutError, TimeoutError) as error:
            await self._ended(grace=0)
            raise self._failed(str(error) or f"The engine did not start within {START_SECONDS:.0f} s.") from None
        self.ready, self.failure = message, None
        logger.info("engine %d is up on %s (%s)", self._process.pid, message.device, message.device_name)
        return channel

    def _failed(self, reason: str) -> EngineUnavailable:
        if reason != self.failure:
            logger.error("%s", reason)
        self.failure = reason
        return EngineUnavailable(reason)

    async def _ended(self, grace: float) -> None:
        """Wait for the end of the process, if there is one, and kill it after `grace` seconds."""
        process, self._process = self._process, None
        channel, self._channel = self._channel, None
        if process is not None and process.returncode is None:
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(process.wait(), grace)
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if channel is not None:
            channel.close()

    # --- a stage ---

    async def _receive(self, channel: Channel) -> FromEngine:
        try:
            return await channel.receive()
        except ChannelClosed:
            raise EngineDied(await obituary(self._process)) from None

    async def _result(self, channel: Channel, attempt: Attempt, listener: Listener) -> str:
        while True:
            message = await self._receive(channel)
            if isinstance(message, StageProgress | SegmentReady) and message.attempt == attempt:
                listener(message)
            elif isinstance(message, StageDone) and message.attempt == attempt:
                return message.result
            elif isinstance(message, StageFailed) and message.attempt == attempt:
                raise StageError(message.reason, message.retryable)
            else:
                logger.warning("the engine said what nobody waits for: %s", type(message).__name__)

    async def _cancel(self, channel: Channel, attempt: Attempt) -> None:
        """Ask for the end of the stage, then see to it."""
        try:
            await asyncio.wait_for(self._asked_to_stop(channel, attempt), CANCEL_GRACE_SECONDS)
        except (asyncio.TimeoutError, TimeoutError, EngineDied):
            await self._ended(grace=0)
        except asyncio.CancelledError:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
            raise

    async def _asked_to_stop(self, channel: Channel, attempt: Attempt) -> None:
        await channel.send(CancelStage(attempt))
        while not isinstance(await self._receive(channel), StageCancelled | StageDone | StageFailed):
            pass

    # --- idleness ---

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _rest(self) -> None:
        self._wake()
        if self._idle_seconds and self.pid is not None:
            self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._give_back)

    def _give_back(self) -> None:
        if self._channel is not None and not self.busy:
            logger.info("engine %s was idle for %.0f s and gives the device back", self.pid, self._idle_seconds)
            self._channel.close()
