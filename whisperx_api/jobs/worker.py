"""Who runs jobs: a process, with its devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from whisperx_api.engine.fleet import Device
from whisperx_api.engine.protocol import EngineReady, ModelsLoaded


@dataclass(frozen=True)
class WorkerDevice:
    """A device of a worker, as its engine is. It answers what `engine.fleet.Device` asks."""

    device: str
    state: str
    ready: EngineReady | None = None
    models: ModelsLoaded = field(default_factory=ModelsLoaded)
    failure: str | None = None
    model_fault: str | None = None


@dataclass(frozen=True)
class Worker:
    """One worker process. `id` is its own making; `queues` are the patterns of those that it takes, all if empty."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    capacity: int
    """How many jobs it runs at once."""
    devices: tuple[WorkerDevice, ...] = ()
    task_ids: tuple[str, ...] = ()
    """The jobs in work."""
    draining: bool = False
    started_at: datetime | None = None
    seen_at: datetime | None = None
    """When it last sent a heartbeat, by the database's clock."""


def devices_of(engines: Sequence[Device]) -> tuple[WorkerDevice, ...]:
    """Return what engines tell of their devices."""
    return tuple(
        WorkerDevice(one.device, one.state, one.ready, one.models, one.failure, one.model_fault) for one in engines
    )
