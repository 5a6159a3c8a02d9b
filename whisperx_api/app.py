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

from whisperx_api import __version__, log, tracing
from whisperx_api.api import (
    documents,
    entrance,
    errors,
    events,
    health,
    metrics,
    models,
    page,
    recordings,
    results,
    server,
    status,
    transcribe,
    usage,
    webhooks,
    workers,
)
from whisperx_api.api.limits import RateLimitHeaders
from whisperx_api.api.links import Links
from whisperx_api.api.openai import audio
from whisperx_api.api.parts import Parts
from whisperx_api.api.places import Places
from whisperx_api.api.proxy import RootPath, TrustedProxies
from whisperx_api.api.remembered import Remembered
from whisperx_api.assembly import Served, embedded, prepare
from whisperx_api.engine.process import WORKER
from whisperx_api.extras import how_to_install
from whisperx_api.failures import FailureRate, Failures
from whisperx_api.happenings import Observers
from whisperx_api.jobs.alone import alone, refuse_single_server
from whisperx_api.jobs.database import Database, open_database, unusable
from whisperx_api.jobs.delivery import Deliverer
from whisperx_api.jobs.key_store import KeyStore
from whisperx_api.jobs.key_watch import KeyWatch
from whisperx_api.jobs.outbox import Outbox
from whisperx_api.jobs.retention import expire
from whisperx_api.jobs.secret_store import SecretStore
from whisperx_api.jobs.sending import Sender
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.usage import UsageBook
from whisperx_api.jobs.webhooks import Backoff
from whisperx_api.keys import Caller, KeyRing, StoredKey, first_key, kept_key, parse_key
from whisperx_api.locking import lock
from whisperx_api.metrics import Metrics
from whisperx_api.outgoing.addresses import Allowed
from whisperx_api.outgoing.calls import Calls
from whisperx_api.proxies import Proxies
from whisperx_api.rates import Limiter
from whisperx_api.settings import Auth, Queue, Settings, SettingsError, load_settings
from whisperx_api.storage.opening import open_storage
from whisperx_api.storage.protocol import Storage

logger = logging.getLogger(__name__)

ENDPOINTS = (
    status, transcribe, recordings, results, events, webhooks, audio, models, usage, workers, server, health, metrics,
    documents,
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
    page.install(app)
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
        stack.enter_context(lock(settings))
        if settings.queue is Queue.EMBEDDED:
            await stack.enter_async_context(alone(settings.database, lost=end_server))
        else:
            await refuse_single_server(settings.database)
        await storage.clean_up()
        database = await open_database(settings.database)
        stack.push_async_callback(database.dispose)
        served = _served(settings, engine, database, storage, observers, counted)
        stack.push_async_callback(served.end)
        store = served.store
        calls = Calls(Allowed.read(settings.outgoing_allow))
        stack.push_async_callback(calls.aclose)
        outbox, sender = Outbox(database, store.posted, store.erased, observers, store.changes), Sender(calls)
        deliverer = Deliverer(outbox, sender, Backoff(first=settings.webhook_retry_seconds), observer=observers)
        stack.push_async_callback(deliverer.stop, DELIVERY_GRACE)
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
        links = Links(SecretStore(database, observer=observers).secret)
        remembered = Remembered(store.changes) if served.alone else Remembered(store.changes, largest=0)
        app.state.parts = Parts(
            settings, keys, store, storage, served.desk, served.events, served.devices, calls, outbox, sender, book,
            counted, Places(settings.max_uploads), links, remembered, limiter, failures, served.locks,
        )  # fmt: skip
        try:
            await served.desk.start()
        except StoreUnavailable as error:
            raise unusable(settings.database, error.reason) from error
        deliverer.start()
        stack.push_async_callback(served.desk.drain, settings.shutdown_grace_seconds)
        for background in (served.begin(), expire(served.desk, settings.retention_hours)):
            task = asyncio.create_task(background)
            stack.callback(task.cancel)
        yield


def _served(
    settings: Settings, engine: str, database: Database, storage: Storage, observers: Observers, counted: Metrics
) -> Served:
    """Return what serves: this process with engines of its own, or one of many in front of workers."""
    if settings.queue is Queue.EMBEDDED:
        return embedded(settings, engine, database, storage, observers, counted)
    try:
        from whisperx_api import clustered
    except ImportError as error:
        raise SettingsError(
            f"QUEUE=procrastinate needs what is not installed ({error.name}): run {how_to_install('cluster')}."
        ) from None
    return clustered.server(settings, database, storage, observers, counted)


def end_server() -> None:
    """Stop in good order, as when Docker asks for it."""
    os.kill(os.getpid(), signal.SIGTERM)


def key_ring(settings: Settings, stored: Sequence[StoredKey] = ()) -> KeyRing | None:
    """Return the keys that may call; None where authentication is off, which is said aloud.

    With none in the settings, that in `DATA_DIR/api_key` may; it is made where no key ever was on record either. Not
    so where there are several servers, which would each make one of their own.
    """
    if settings.auth is Auth.OFF:
        logger.warning("AUTH=off: everybody who reaches this server can use it and sees every task")
        return None
    keys = [parse_key(entry) for entry in settings.api_keys]
    if settings.api_key:
        keys.append((Caller("default"), settings.api_key))
    path = settings.data_dir / "api_key"
    if not keys and settings.queue is Queue.EMBEDDED and (kept_key(path) is not None or not stored):
        made = not path.exists()
        keys.append((Caller("default"), first_key(path)))
        logger.info("%s API key is in %s", "a first" if made else "the", path)
    now = datetime.now(timezone.utc)
    if not keys and all(key.revoked_at or key.expired(now) for key in stored):
        logger.warning("no API key is in force: make one with `whisperx-api keys create`")
    return KeyRing(keys, stored)
