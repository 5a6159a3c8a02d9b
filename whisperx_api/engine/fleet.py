"""The engines of this host, one a device."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from whisperx_api.engine.nodes import device_absent
from whisperx_api.engine.process import EngineProcess, EngineUnavailable
from whisperx_api.engine.protocol import EngineReady, ModelsLoaded, ModelsUnloaded, RunStage, Stage
from whisperx_api.engine.session import Listener

AVOID_SECONDS = 60.0
"""How long a device whose engine could not be started is the last that is asked."""


class Device(Protocol):
    """What is told of a device and of what computes on it."""

    @property
    def device(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def ready(self) -> EngineReady | None: ...

    @property
    def models(self) -> ModelsLoaded: ...

    @property
    def failure(self) -> str | None: ...

    @property
    def model_fault(self) -> str | None: ...


class Devices(Protocol):
    """What the API asks of the devices, wherever they are: as `Fleet` answers it."""

    @property
    def engines(self) -> Sequence[Device]: ...

    @property
    def loaded(self) -> frozenset[str]: ...

    @property
    def failure(self) -> str | None: ...

    @property
    def model_fault(self) -> str | None: ...

    @property
    def absent(self) -> str | None: ...

    async def unload(self, model: str) -> dict[str, ModelsUnloaded]: ...


class Fleet:
    """Gives each stage to the engine with the least to do, and to another where that one can't be started."""

    def __init__(self, engines: Sequence[EngineProcess]) -> None:
        self.engines = engines
        self._load: Counter[tuple[int, Stage]] = Counter()
        self._failed: dict[int, float] = {}
        """When an engine last could not be started, by its place."""

    async def start(self) -> None:
        """Start every engine. What fails shows in `failure`, and is tried again with the next stage."""
        await asyncio.gather(*(engine.start() for engine in self.engines), return_exceptions=True)

    async def run(self, request: RunStage, listener: Listener) -> str:
        """Run one stage, as `EngineProcess.run` does."""
        order = sorted(range(len(self.engines)), key=lambda one: (self._fails(one), *self._load_of(one, request.stage)))
        for index in order:
            self._load[index, request.stage] += 1
            try:
                return await self.engines[index].run(request, listener)
            except EngineUnavailable:
                self._failed[index] = time.monotonic()
                if index == order[-1]:
                    raise
            finally:
                self._load[index, request.stage] -= 1
        raise AssertionError("there is at least one engine")

    def _fails(self, index: int) -> bool:
        """Whether an engine could not be started lately: others go first then, or it would take all that is to do."""
        return time.monotonic() - self._failed.get(index, -AVOID_SECONDS) < AVOID_SECONDS

    def _load_of(self, index: int, stage: Stage) -> tuple[int, int]:
        """Return how many stages an engine has to run: of this kind, which wait for each other, and of all."""
        return self._load[index, stage], sum(self._load[index, other] for other in Stage)

    async def unload(self, model: str) -> dict[str, ModelsUnloaded]:
        """Let a model go from every device; return by device what came of it, where it was loaded.

        Raises `TimeoutError` where an engine does not answer.
        """
        answers = await asyncio.gather(*(engine.unload(model) for engine in self.engines))
        return {
            engine.device: answer
            for engine, answer in zip(self.engines, answers, strict=True)
            if answer.models or answer.in_use
        }

    @property
    def loaded(self) -> frozenset[str]:
        """The models on any device, as `ModelsLoaded` names them."""
        return frozenset(name for engine in self.engines for name in engine.models.models)

    async def stop(self) -> None:
        """End every engine."""
        await asyncio.gather(*(engine.stop() for engine in self.engines))

    @property
    def failure(self) -> str | None:
        """Why no engine can be started; None if one can."""
        failures = [engine.failure for engine in self.engines]
        return failures[0] if all(failures) else None

    @property
    def model_fault(self) -> str | None:
        """Why a model that every task needs can't be loaded anywhere; None where it can, or where that is not known."""
        faults = [engine.model_fault for engine in self.engines]
        return faults[0] if all(faults) else None

    @property
    def absent(self) -> str | None:
        """Why no device can be there, however long one waits; None if one can."""
        reasons = [device_absent(engine.config.device) for engine in self.engines]
        return reasons[0] if all(reasons) else None
