"""What every run of a job works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from whisperx_api.engine.fleet import Device
from whisperx_api.engine.protocol import RunStage
from whisperx_api.engine.session import Listener
from whisperx_api.happenings import Observer, nobody
from whisperx_api.jobs.cache import ResultCache
from whisperx_api.jobs.events import Events
from whisperx_api.jobs.progress import StageCosts
from whisperx_api.jobs.store import JobStore
from whisperx_api.options import Channels
from whisperx_api.storage.protocol import Storage
from whisperx_api.transcript import Audio

Decode = Callable[[Path, Path, Callable[[float], None], Channels], Awaitable[Audio]]


class Engines(Protocol):
    """Runs a stage on some device, as `engine.fleet.Fleet` does."""

    @property
    def engines(self) -> Sequence[Device]: ...

    async def run(self, request: RunStage, listener: Listener) -> str: ...


@dataclass(frozen=True)
class Workshop:
    """What every run works with."""

    store: JobStore
    storage: Storage
    engines: Engines
    decode: Decode
    costs: StageCosts
    events: Events
    devices: int = 1
    cache: ResultCache | None = None
    """Finished transcripts, for jobs that ask for the same; None where nothing is shared."""
    observer: Observer = nobody
    shared: bool = False
    """Whether others than this process look at its runs, and find on record what they are to know."""
