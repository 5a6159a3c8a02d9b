"""Puts together the servers and the workers of a cluster."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from fnmatch import fnmatchcase

from sqlalchemy import NullPool

from whisperx_api import tracing
from whisperx_api.assembly import Served, costs_of, decode_of, fleet_of, prepare, result_cache
from whisperx_api.engine.fleet import Device
from whisperx_api.happenings import Observers
from whisperx_api.jobs import postgres
from whisperx_api.jobs.admission import QueueLimits
from whisperx_api.jobs.alone import refuse_single_server
from whisperx_api.jobs.cluster.devices import RemoteDevices, Unloading
from whisperx_api.jobs.cluster.herald import Herald
from whisperx_api.jobs.cluster.host import Host
from whisperx_api.jobs.cluster.limits import ClusterLimits
from whisperx_api.jobs.cluster.locks import SharedLocks
from whisperx_api.jobs.cluster.replica import Replica
from whisperx_api.jobs.cluster.store import ClusterStore, Fits
from whisperx_api.jobs.cluster.workers import WorkerBook
from whisperx_api.jobs.database import Database, open_database, unusable
from whisperx_api.jobs.events import Events
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.workshop import Workshop
from whisperx_api.locking import lock
from whisperx_api.metrics import Metrics
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.resolve import transcription_folder
from whisperx_api.settings import Queue, Settings, SettingsError
from whisperx_api.storage.opening import open_storage
from whisperx_api.storage.protocol import Storage

ANY_DEVICE = "cluster"
"""Stands for the device in what names a job's work: whichever worker has time runs it."""


def check(settings: Settings) -> None:
    """Raise `SettingsError` where the settings don't do for a cluster."""
    if settings.queue is not Queue.PROCRASTINATE:
        raise SettingsError(
            "QUEUE=embedded has no workers: the server runs its tasks itself. Set QUEUE=procrastinate for it too."
        )
    if not postgres.is_postgres(settings.database):
        raise SettingsError("QUEUE=procrastinate needs PostgreSQL: set DATABASE_URL=postgresql+psycopg://….")
    if settings.storage_url is None:
        raise SettingsError(
            "QUEUE=procrastinate needs a place for recordings and transcripts that every host reaches: set STORAGE_URL."
        )


def server(settings: Settings, database: Database, storage: Storage, observers: Observers, counted: Metrics) -> Served:
    """Return a server whose jobs workers run. Raises `SettingsError`."""
    check(settings)
    store, told, book = ClusterStore(database, settings.whisper_model, observers), Events(), WorkerBook(database)
    alone = postgres.connect(settings.database, poolclass=NullPool)
    locks, devices = SharedLocks(alone), RemoteDevices(store, book)
    cache = result_cache(settings, store, storage, ANY_DEVICE)
    workshop = Workshop(
        store, storage, _NoEngines(), decode_of(settings), costs_of(settings), told, 1, cache, observers, shared=True
    )
    limits = ClusterLimits(QueueLimits(settings.max_queue, settings.max_queue_per_key))
    replica = Replica(workshop, store, alone, locks, limits, devices)
    counted.watch(replica, ())

    async def nothing() -> None:
        pass

    return Served(store, told, replica, devices, locks, False, nothing, alone.dispose)


@asynccontextmanager
async def worker(settings: Settings, engine: str, observers: Observers, counted: Metrics) -> AsyncIterator[Host]:
    """Have a worker take jobs, and drain when it is over. Raises `StartError`."""
    check(settings)
    async with AsyncExitStack() as stack:
        if settings.otel_exporter_otlp_endpoint:
            traced = tracing.start(settings.otel_exporter_otlp_endpoint)
            stack.push_async_callback(traced.stop)
            observers.add(traced)
        storage = open_storage(settings.storage_url, settings.data_dir, settings.data_dir / "uploads")
        prepare(settings, storage)
        stack.enter_context(lock(settings))
        await storage.clean_up()
        await refuse_single_server(settings.database)
        database = await open_database(settings.database)
        stack.push_async_callback(database.dispose)
        alone = postgres.connect(settings.database, poolclass=NullPool)
        stack.push_async_callback(alone.dispose)
        store = ClusterStore(database, settings.whisper_model, observers)
        herald, book, fleet = Herald(store), WorkerBook(database), fleet_of(settings, engine, observers)
        stack.push_async_callback(fleet.stop)
        cache = result_cache(settings, store, storage, ANY_DEVICE)
        workshop = Workshop(
            store, storage, fleet, decode_of(settings), costs_of(settings), herald, len(settings.devices), cache,
            observers, shared=True,
        )  # fmt: skip
        host = Host(
            workshop, store, book, herald, alone, fleet.engines, settings.max_concurrent_tasks,
            settings.worker_queues, fits(settings), fleet.start, Unloading(fleet, socket.gethostname()),
        )  # fmt: skip
        counted.watch(host, fleet.engines)
        record = settings.data_dir / "worker"
        try:
            await host.start(record.read_text() if record.exists() else None)
        except StoreUnavailable as error:
            raise unusable(settings.database, error.reason) from error
        record.write_text(host.worker.id)
        stack.push_async_callback(host.drain, settings.shutdown_grace_seconds)
        await fleet.start()
        await host.tell()
        yield host


def fits(settings: Settings) -> Fits | None:
    """Return what says whether a worker takes a queue's jobs, by its patterns and by the models it can have.

    None where it takes them all.
    """
    if not settings.worker_queues and settings.whisper_auto_download:
        return None
    patterns = [one if ":" in one else f"{one}:*" for one in settings.worker_queues] or ["*"]

    def fit(queue: str) -> bool:
        if not any(fnmatchcase(queue, pattern) for pattern in patterns):
            return False
        if settings.whisper_auto_download:
            return True
        try:
            transcription_folder(queue.rpartition(":")[0], settings.models, allow_download=False)
        except ModelUnavailable:
            return False
        return True

    return fit


class _NoEngines:
    """In place of engines where none are: a server of a cluster runs no stage."""

    engines: Sequence[Device] = ()

    async def run(self, request: object, listener: object) -> str:
        raise AssertionError("a server of a cluster runs no stage")
