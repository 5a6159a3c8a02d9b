"""Builds the service: `create_app` puts its parts together, in a lifespan, and nothing else."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timezone

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from whisperx_api import __version__, confinement, log, tracing
from whisperx_api.api import (
    documents,
    entrance,
    errors,
    events,
    health,
    metrics,
    models,
    results,
    server,
    status,
    transcribe,
    usage,
    webhooks,
)
from whisperx_api.api.limits import RateLimitHeaders
from whisperx_api.api.openai import audio
from whisperx_api.api.parts import Parts
from whisperx_api.api.places import Places
from whisperx_api.api.proxy import RootPath, TrustedProxies
from whisperx_api.api.remembered import Remembered
from whisperx_api.engine import decoder
from whisperx_api.engine.fleet import Fleet
from whisperx_api.engine.process import WORKER, EngineProcess
from whisperx_api.engine.protocol import EngineConfig
from whisperx_api.failures import FailureRate, Failures
from whisperx_api.happenings import Observers
from whisperx_api.jobs.admission import QueueLimits
from whisperx_api.jobs.alone import alone
from whisperx_api.jobs.cache import ResultCache
from whisperx_api.jobs.database import open_database, unusable
from whisperx_api.jobs.delivery import Deliverer
from whisperx_api.jobs.events import Events
from whisperx_api.jobs.key_store import KeyStore
from whisperx_api.jobs.key_watch import KeyWatch
from whisperx_api.jobs.manager import JobManager
from whisperx_api.jobs.outbox import Outbox
from whisperx_api.jobs.progress import StageCosts
from whisperx_api.jobs.retention import expire
from whisperx_api.jobs.sending import Sender
from whisperx_api.jobs.store import JobStore, StoreUnavailable
from whisperx_api.jobs.usage import UsageBook
from whisperx_api.jobs.webhooks import Backoff
from whisperx_api.jobs.workshop import Workshop
from whisperx_api.keys import Caller, KeyRing, StoredKey, first_key, kept_key, parse_key
from whisperx_api.locking import lock
from whisperx_api.metrics import Metrics
from whisperx_api.outgoing.addresses import Allowed
from whisperx_api.outgoing.calls import Calls
from whisperx_api.proxies import Proxies
from whisperx_api.rates import Limiter
from whisperx_api.settings import Auth, Residency, Settings, SettingsError, load_settings
from whisperx_api.storage.opening import open_storage
from whisperx_api.storage.protocol import Storage

logger = logging.getLogger(__name__)

ENDPOINTS = (
    status, transcribe, results, events, webhooks, audio, models, usage, server, health, metrics, documents,
)  # fmt: skip
"""What has endpoints: what is asked most comes first, for they are looked through in this order."""
DELIVERY_GRACE = 1.0
"""Seconds that messages on their way have when the server stops; the next start sends what was not taken."""


def create_app(settings: Settings | None = None, engine: str = WORKER) -> FastAPI:
    """Return the service as an ASGI app.

    The environment gives the settings where none are handed in. `engine` is the module that engine processes run.
    """
    settings = settings or load_settings()
    log.configure(settings.logging_level, settings.log_format, sql=settings.debug)
    counted = Metrics()
    observers = Observers(counted)
    app = FastAPIOffline(
        docs_url=None,  # `documents` has both pages, and this the files that they load
        redoc_url=None,
        title="whisperx-api",
        version=__version__,
        summary="Upload a recording, get a transcript with the right speaker and time on every word.",
        lifespan=functools.partial(lifespan, settings=settings, engine=engine, counted=counted, observers=observers),
    )
    errors.install(app)
    if settings.root_path:
        app.add_middleware(RootPath, root_path=settings.root_path)
    if settings.rate_limits:
        app.add_middleware(RateLimitHeaders)
    if settings.trusted_proxies:
        app.add_middleware(TrustedProxies, proxies=Proxies.read(settings.trusted_proxies))
    for module in ENDPOINTS:
        app.include_router(module.router)
    entrance.install(app, observers, settings.allowed_origins)
    return app


@asynccontextmanager
async def lifespan(
    app: FastAPI, settings: Settings, engine: str, counted: Metrics, observers: Observers
) -> AsyncIterator[None]:
    """Start the parts, and stop them in the opposite order."""
    async with AsyncExitStack() as stack:
        if settings.otel_exporter_otlp_endpoint:
            traced = tracing.start(settings.otel_exporter_otlp_endpoint)
            stack.push_async_callback(traced.stop)
            observers.add(traced)
        storage = open_storage(settings.storage_url, settings.data_dir, settings.uploads)
        prepare(settings, storage)
        for sentence in confinement.lacking():
            logger.warning("%s", sentence)
        stack.enter_context(lock(settings))
        await stack.enter_async_context(alone(settings.database, lost=end_server))
        database = await open_database(settings.database)
        stack.push_async_callback(database.dispose)
        fleet = Fleet([
            EngineProcess(engine_config(settings, device), settings.model_unload_idle_minutes * 60, engine, observers)
            for device in settings.devices
        ])  # fmt: skip
        stack.push_async_callback(fleet.stop)
        store, told = JobStore(database, observers), Events()
        calls = Calls(Allowed.read(settings.outgoing_allow))
        stack.push_async_callback(calls.aclose)
        outbox, sender = Outbox(database, store.posted, store.erased, observers, store.changes), Sender(calls)
        deliverer = Deliverer(outbox, sender, Backoff(first=settings.webhook_retry_seconds), observer=observers)
        stack.push_async_callback(deliverer.stop, DELIVERY_GRACE)
        decode = functools.partial(
            decoder.decode, seconds=settings.decode_timeout_seconds, longest=settings.max_duration_hours * 3600
        )
        one_at_a_time = settings.model_residency is Residency.RELEASE
        costs = StageCosts(settings.data_dir / "stage_costs.json", one_at_a_time)
        cache = result_cache(settings, store, storage)
        workshop = Workshop(store, storage, fleet, decode, costs, told, len(settings.devices), cache, observers)
        limits = QueueLimits(settings.max_queue, settings.max_queue_per_key)
        manager = JobManager(workshop, settings.max_concurrent_tasks, limits)
        counted.watch(manager, fleet.engines)
        limiter = Limiter(settings.rate_limits, settings.rate_limit_storage) if settings.rate_limits else None
        if limiter is not None:
            stack.push_async_callback(limiter.close)
        key_store = KeyStore(database, observer=observers)
        keys = key_ring(settings, await key_store.keys())
        if keys is not None:
            watch = KeyWatch(key_store, keys)
            watch.start()
            stack.push_async_callback(watch.stop)
        failures = Failures(FailureRate.read(settings.auth_failures)) if settings.auth_failures else None
        book = UsageBook(database, observer=observers)
        app.state.parts = Parts(
            settings, keys, store, storage, manager, told, fleet, calls, outbox, sender, book, counted,
            Places(settings.max_uploads), Remembered(store.changes), limiter, failures,
        )  # fmt: skip
        try:
            await manager.start()
        except StoreUnavailable as error:
            raise unusable(settings.database, error.reason) from error
        deliverer.start()
        stack.push_async_callback(manager.drain, settings.shutdown_grace_seconds)
        for background in (fleet.start(), expire(manager, settings.retention_hours)):
            task = asyncio.create_task(background)
            stack.callback(task.cancel)
        yield


def end_server() -> None:
    """Stop in good order, as when Docker asks for it."""
    os.kill(os.getpid(), signal.SIGTERM)


def prepare(settings: Settings, storage: Storage) -> None:
    """Make the folders. Raises `SettingsError` where that is not possible."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        storage.prepare()
    except OSError as error:
        raise SettingsError(f"DATA_DIR, UPLOAD_DIR or STORAGE_URL can't be used: {error}.") from error


def key_ring(settings: Settings, stored: Sequence[StoredKey] = ()) -> KeyRing | None:
    """Return the keys that may call; None where authentication is off, which is said aloud.

    With none in the settings, that in `DATA_DIR/api_key` may; it is made where no key ever was on record either.
    """
    if settings.auth is Auth.OFF:
        logger.warning("AUTH=off: everybody who reaches this server can use it and sees every task")
        return None
    keys = [parse_key(entry) for entry in settings.api_keys]
    if settings.api_key:
        keys.append((Caller("default"), settings.api_key))
    path = settings.data_dir / "api_key"
    if not keys and (kept_key(path) is not None or not stored):
        made = not path.exists()
        keys.append((Caller("default"), first_key(path)))
        logger.info("%s API key is in %s", "a first" if made else "the", path)
    now = datetime.now(timezone.utc)
    if not keys and all(key.revoked_at or key.expired(now) for key in stored):
        logger.warning("no API key is in force: make one with `whisperx-api keys create`")
    return KeyRing(keys, stored)


def result_cache(settings: Settings, store: JobStore, storage: Storage) -> ResultCache | None:
    """Return the result cache; None where it is off."""
    if not settings.result_cache:
        return None
    config = engine_config(settings, settings.devices[0])
    return ResultCache(store, storage, config, settings.result_cache_size, settings.result_cache_shared)


def engine_config(settings: Settings, device: str) -> EngineConfig:
    """Return what the engine on `device` is told."""
    return EngineConfig(
        device=device,
        whisper_model=settings.whisper_model,
        align_model=settings.align_model,
        diarization_model=settings.diarization_model,
        model_dir=settings.models,
        auto_download=settings.whisper_auto_download,
        hf_token=settings.hf_token,
        compute_type=settings.compute_type,
        batch_size=settings.batch_size,
        chunk_size=settings.chunk_size_seconds,
        threads=settings.cpu_threads,
        residency=settings.model_residency.value,
        diarization_mode=settings.diarization_mode,
        preload=settings.model_preload,
        log_level=settings.logging_level,
        log_format=settings.log_format,
    )
