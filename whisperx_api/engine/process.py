"""The engine process of one device, seen from the server: start it, give it stages, stop it. Imports no torch.

The process may die at any moment. Whoever waits for a stage then gets `EngineDied`, and the next stage starts a new
process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextvars import Context

from anyio import fail_after

from whisperx_api import happenings
from whisperx_api.engine.channel import Channel, News
from whisperx_api.engine.nodes import device_absent
from whisperx_api.engine.protocol import (
    EngineConfig,
    EngineReady,
    MemoryShort,
    ModelsLoaded,
    ModelsUnloaded,
    Retry,
    RunStage,
    model_name,
)
from whisperx_api.engine.session import Disturbed, EngineDied, EngineStarting, Listener, Session
from whisperx_api.engine.turns import Turns
from whisperx_api.happenings import EngineStarted, MemoryRetry, ModelLoaded, ModelReleased, Observer, nobody
from whisperx_api.lifeline import python_module

logger = logging.getLogger(__name__)

START_SECONDS = 180.0
"""Longest time for an engine to import its libraries and find its device."""
END_SECONDS = 1.0
"""How long a process may take to notice that the server has hung up."""
WORKER = "whisperx_api.engine.worker"


class EngineUnavailable(EngineDied):
    """The engine process could not be started: no stage's fault. The message says why."""


class EngineProcess:
    """Keeps at most one process alive and gives it at most one stage of each kind at a time."""

    def __init__(
        self, config: EngineConfig, idle_seconds: float = 0, module: str = WORKER, observer: Observer = nobody
    ) -> None:
        """`idle_seconds`: let the process go after so long without work; 0 keeps it. `module` is what it runs."""
        self.config = config
        self.ready: EngineReady | None = None
        """What the engine said of its device when it last came up."""
        self.failure: str | None = None
        """Why the last start failed; None when it did not."""
        self._idle_seconds = idle_seconds
        self._module = module
        self._observer = observer
        self._turns = Turns(one_at_a_time=config.residency == "release")
        self._start_turn = asyncio.Lock()
        self._session: Session | None = None
        self._held: set[str] = set()
        self._idle: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a stage is in work."""
        return self._turns.busy

    @property
    def state(self) -> str:
        """What the engine does, in a word: off, starting, idle or busy."""
        return "starting" if self._starting else "off" if self._live is None else "busy" if self.busy else "idle"

    @property
    def pid(self) -> int | None:
        """Process id of the engine; None while there is none."""
        return self._live.process.pid if self._live else None

    @property
    def device(self) -> str:
        """The device: as the engine has told it, and before that as it is set."""
        return self.ready.device if self.ready else self.config.device

    @property
    def models(self) -> ModelsLoaded:
        """The models on the device now."""
        return self._live.channel.models if self._live else ModelsLoaded()

    @property
    def model_fault(self) -> str | None:
        """Why a model that the settings name can't be loaded; None if none is known to be so."""
        return next(iter(self._live.channel.faults.values()), None) if self._live else None

    @property
    def _starting(self) -> bool:
        return self._start_turn.locked()

    @property
    def _live(self) -> Session | None:
        return self._session if self._session and self._session.live else None

    async def start(self) -> None:
        """Start the process unless it runs. Raises `EngineUnavailable` when it does not come up."""
        await self._started()
        self._rest()

    async def run(self, request: RunStage, listener: Listener) -> str:
        """Run one stage and return its result as JSON; `listener` hears what comes before it.

        A stage that came to nothing by another's fault is run again; one that may have been at fault itself, alone.
        Raises `StageError`, `EngineDied` and `EngineUnavailable`. Cancelling the call stops the stage, if need be with
        its process.
        """
        alone = False
        try:
            while True:
                try:
                    return await self._in_turn(request, listener, alone)
                except Disturbed as error:
                    alone = alone or error.suspect
                    if error.out_of_memory:
                        self._observer(MemoryRetry(self.device, Retry.ALONE))
                    how = "alone" if alone else "again"
                    logger.warning(
                        "task %s: %s is run %s: %s", request.attempt.task_id, request.stage.value, how, error
                    )
        finally:
            self._rest()

    async def _in_turn(self, request: RunStage, listener: Listener, alone: bool) -> str:
        async with self._turns.take(request.stage, alone, request.rank):
            self._wake()
            if self._live is None:
                listener(EngineStarting())
            session = await self._started()
            return await session.run(request, listener)

    async def unload(self, model: str) -> ModelsUnloaded:
        """Let the model that is called `model` go, of whatever kind. Raises `TimeoutError` without an answer."""
        names = tuple(name for name in self.models.models if model_name(name) == model)
        return await self._live.unload(names) if self._live and names else ModelsUnloaded()

    async def stop(self) -> None:
        """End the process: by closing its socket first, then by a kill."""
        self._wake()
        await self._ended()

    # --- the process ---

    async def _started(self) -> Session:
        async with self._start_turn:
            if (live := self._live) is not None:
                return live
            await self._ended()
            return await self._start()

    async def _start(self) -> Session:
        if (absent := device_absent(self.config.device)) is not None:
            raise self._failed(f"The engine can't start. {absent}")
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *python_module(self._module), str(os.getpid()), str(theirs.fileno()), start_new_session=True,
                    stdin=asyncio.subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                )  # fmt: skip
        except OSError as error:  # no more processes or files, or no more Python where it was
            raise self._failed(f"The engine can't start: {error}") from error
        self._held = set()
        channel = await Channel.open(ours, self._hear)
        # It outlives the task for which it is started: what it logs is not about that one.
        session = self._session = Context().run(Session, process, channel, self._died)
        try:
            await session.channel.configure(self.config)
            with fail_after(START_SECONDS):
                self.ready = ready = await asyncio.shield(session.ready)
        except BaseException as error:  # a start that nobody waits for any more would pass for one that is done
            await session.end(grace=0)
            if not isinstance(error, EngineDied | TimeoutError):
                raise
            raise self._failed(str(error) or f"The engine did not start within {START_SECONDS:.0f} s.") from None
        self.failure = None
        self._observer(EngineStarted(self.device))
        logger.info("engine %d is up on %s (%s)", process.pid, ready.device, ready.device_name)
        return session

    def _failed(self, reason: str) -> EngineUnavailable:
        if reason != self.failure:
            logger.error("%s", reason)
        self.failure = reason
        self._observer(EngineStarted(self.device, failed=True))
        return EngineUnavailable(reason)

    async def _ended(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.end(grace=END_SECONDS)

    def _died(self) -> None:
        self._observer(happenings.EngineDied(self.device))

    def _hear(self, news: News) -> None:
        """Pass on what an engine says of itself; of its models, what has changed since it said so last."""
        if isinstance(news, MemoryShort):
            self._observer(MemoryRetry(self.device, news.retry))
        elif isinstance(news, ModelsLoaded):
            before, now = self._held, set(news.models)
            self._held = now
            for model in sorted(now - before):
                self._observer(ModelLoaded(self.device, model))
            for model in sorted(before - now):
                self._observer(ModelReleased(self.device, model))

    # --- idleness ---

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _rest(self) -> None:
        self._wake()
        if self._idle_seconds and self._live is not None and not self.busy:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._idle_seconds, self._give_back, context=Context())

    def _give_back(self) -> None:
        if self._live is not None and not self.busy:
            logger.info("engine %s was idle for %.0f s and gives the device back", self.pid, self._idle_seconds)
            self._live.let_go()
