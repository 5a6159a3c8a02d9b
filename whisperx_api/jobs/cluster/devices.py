"""The devices of all workers, as a server of the cluster sees them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from anyio import fail_after
from pydantic import TypeAdapter

from whisperx_api.engine.fleet import Fleet
from whisperx_api.engine.protocol import ModelsUnloaded
from whisperx_api.jobs.cluster.notices import Kind, Notice, channel_of
from whisperx_api.jobs.cluster.store import ClusterStore
from whisperx_api.jobs.cluster.workers import WorkerBook
from whisperx_api.jobs.worker import Worker, WorkerDevice

UNLOAD_SECONDS = 35.0
"""How long workers may take to answer that a model is gone: theirs is 30 s for each engine."""
_unloaded = TypeAdapter(dict[str, ModelsUnloaded])


@dataclass
class _Asked:
    """A model that workers were asked to let go. `left` are those that have not answered."""

    left: set[str]
    answers: dict[str, ModelsUnloaded] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class RemoteDevices:
    """Answers for the devices of all workers what `engine.fleet.Devices` asks. None of them is needed to take jobs in:
    they wait until a worker comes.
    """

    failure: str | None = None
    model_fault: str | None = None
    absent: str | None = None

    def __init__(self, store: ClusterStore, book: WorkerBook) -> None:
        self._store = store
        self._book = book
        self._asked: dict[str, _Asked] = {}
        self.workers: Sequence[Worker] = ()
        """As they were when they were last looked at."""

    async def look(self) -> None:
        """Look at the workers. Raises `StoreUnavailable`."""
        self.workers = await self._book.all()

    @property
    def engines(self) -> Sequence[WorkerDevice]:
        """The devices, each named by its worker's host too."""
        return tuple(
            replace(one, device=f"{worker.host}/{one.device}") for worker in self.workers for one in worker.devices
        )

    @property
    def loaded(self) -> frozenset[str]:
        """The models on any device."""
        return frozenset(name for engine in self.engines for name in engine.models.models)

    async def unload(self, model: str) -> dict[str, ModelsUnloaded]:
        """Let a model go from every device; return by device what came of it, where it was loaded.

        Raises `TimeoutError` where a worker does not answer, and `StoreUnavailable`.
        """
        await self.look()
        request = uuid.uuid4().hex
        asked = self._asked[request] = _Asked({worker.id for worker in self.workers if not worker.draining})
        try:
            for worker in tuple(asked.left):
                await self._store.say(channel_of(worker), Notice(Kind.UNLOAD, request, model))
            with fail_after(UNLOAD_SECONDS):
                while asked.left:
                    await asked.done.wait()
            await self.look()  # that who asks next is told of it
            return asked.answers
        finally:
            del self._asked[request]

    def answered(self, notice: Notice) -> None:
        """Take a worker's answer."""
        if (asked := self._asked.get(notice.about)) is None:
            return
        content: dict[str, Any] = notice.content
        asked.answers |= _unloaded.validate_python(content["devices"])
        asked.left.discard(content["worker"])
        if not asked.left:
            asked.done.set()


@dataclass(frozen=True)
class Unloading:
    """A worker's part of it: lets a model go and returns what is to be said of it."""

    fleet: Fleet
    host: str

    async def __call__(self, notice: Notice, worker: str) -> Notice:
        """Answer a notice. Where an engine does not answer this raises `TimeoutError`: who has asked waits in vain."""
        answers = await self.fleet.unload(str(notice.content))
        devices = {f"{self.host}/{device}": asdict(answer) for device, answer in answers.items()}
        return Notice(Kind.UNLOADED, notice.about, {"worker": worker, "devices": devices})
