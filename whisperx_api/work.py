"""A worker process: runs jobs of a cluster, and answers whether it lives and how it does."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from whisperx_api import __version__, clustered, log
from whisperx_api.engine.process import WORKER
from whisperx_api.happenings import Observers
from whisperx_api.jobs.cluster.host import Host
from whisperx_api.metrics import CONTENT_TYPE, Metrics
from whisperx_api.settings import Settings


def create_worker(settings: Settings, engine: str = WORKER) -> Starlette:
    """Return the worker as an ASGI app, which works as long as it is served.

    `engine` is the module that engine processes run. Its answers hold nothing of any task, and need no key.
    """
    log.configure(settings.logging_level, settings.log_format, sql=settings.debug)
    counted = Metrics()
    routes = [Route("/health", _health), Route("/ready", _ready), Route("/metrics", _metrics)]
    app = Starlette(
        routes=routes, lifespan=functools.partial(_lifespan, settings=settings, engine=engine, counted=counted)
    )
    app.state.counted = counted
    return app


@asynccontextmanager
async def _lifespan(app: Starlette, settings: Settings, engine: str, counted: Metrics) -> AsyncIterator[None]:
    async with clustered.worker(settings, engine, Observers(counted), counted) as host:
        app.state.host = host
        yield


async def _health(request: Request) -> Response:
    """That the worker lives, and what it does."""
    worker = _host(request).worker
    return JSONResponse({
        "status": "ok", "version": __version__, "worker": worker.id, "host": worker.host, "draining": worker.draining,
        "active_tasks": len(worker.task_ids),
        "devices": [{"device": one.device, "engine": one.state, "error": one.failure} for one in worker.devices],
    })  # fmt: skip


async def _ready(request: Request) -> Response:
    """Whether jobs are taken: 503 with the reason when not."""
    worker = _host(request).worker
    faults = [one.failure or one.model_fault for one in worker.devices]
    reason = "The worker is shutting down." if worker.draining else faults[0] if faults and all(faults) else None
    if reason is not None:
        return JSONResponse({"detail": reason}, HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "10"})
    return JSONResponse({"status": "ready"})


async def _metrics(request: Request) -> Response:
    """The worker's own metrics, as Prometheus reads them."""
    return Response(request.app.state.counted.text(), media_type=CONTENT_TYPE)


def _host(request: Request) -> Host:
    return request.app.state.host
