"""`/health` and `/ready`: whether the server lives, whether it can take work, and to a key how it is."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Any, Literal

import psutil
from fastapi import APIRouter
from pydantic import BaseModel

from whisperx_api import __version__
from whisperx_api.api.auth import MaybeCaller
from whisperx_api.api.errors import PROBLEMS, ApiError
from whisperx_api.api.parts import Parts, PartsOf
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.resolve import transcription_folder

router = APIRouter(tags=["operations"], responses=PROBLEMS)

LEAST_FREE = 1024**3
"""Bytes of disk below which no work is taken."""


class Health(BaseModel):
    """`status` is always ok: a server that is not does not answer. The rest is for callers with a key."""

    status: Literal["ok"] = "ok"
    version: str | None = None
    uptime_seconds: float | None = None
    cpu: dict[str, float] | None = None
    memory: dict[str, int] | None = None
    disk: dict[str, int] | None = None
    devices: list[dict[str, Any]] | None = None
    database: str | None = None
    storage: str | None = None
    redis: str | None = None
    queue_depth: int | None = None
    active_tasks: int | None = None
    loaded_models: list[str] | None = None


class Ready(BaseModel):
    status: Literal["ready"] = "ready"


@router.get("/health", response_model=Health, response_model_exclude_none=True)
async def health(parts: PartsOf, caller: MaybeCaller) -> Health:
    """That the server lives; with a key, how it is."""
    if caller is None:
        return Health()
    memory = psutil.virtual_memory()
    engines = parts.fleet.engines
    return Health(
        version=__version__,
        uptime_seconds=round(time.monotonic() - parts.started, 1),
        cpu={"count": psutil.cpu_count() or 1, "load_1m": psutil.getloadavg()[0]},
        memory={"total": memory.total, "available": memory.available, "server": psutil.Process().memory_info().rss},
        disk=await asyncio.to_thread(_disk, parts),
        devices=[
            {
                "device": engine.device,
                "name": engine.ready.device_name if engine.ready else None,
                "memory_total": engine.ready.memory_total if engine.ready else None,
                "memory_used": engine.models.memory_used,
                "engine": engine.state,
                "error": engine.failure or engine.model_fault,
            }
            for engine in engines
        ],
        database=await parts.store.fault() or "ok",
        storage=await _storage(parts),
        redis=await parts.limiter.redis() if parts.limiter else None,
        queue_depth=parts.manager.waiting,
        active_tasks=parts.manager.running,
        loaded_models=sorted(parts.fleet.loaded),
    )


@router.get("/ready", response_model=Ready)
async def ready(parts: PartsOf) -> Ready:
    """Whether work is taken: 503 with the reason when not."""
    reason = (
        ("The server is shutting down." if parts.manager.draining else None)
        or parts.fleet.failure
        or parts.fleet.model_fault
        or await parts.storage.fault()
        or await asyncio.to_thread(_lacking, parts)
        or await parts.store.fault()
    )
    if reason:
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, reason, headers={"Retry-After": "10"})
    return Ready()


async def _storage(parts: Parts) -> str | None:
    """Return ok or what is wrong with a storage on other machines; None where there is none."""
    return await parts.storage.fault() or "ok" if parts.settings.storage_url else None


def _disk(parts: Parts) -> dict[str, int]:
    try:
        return {"free": parts.storage.free()}
    except OSError:  # /ready says why
        return {"free": 0}


def _lacking(parts: Parts) -> str | None:
    settings = parts.settings
    try:
        free = parts.storage.free()
    except OSError as error:
        where = "DATA_DIR or UPLOAD_DIR" if settings.storage_url is None else "DATA_DIR, UPLOAD_DIR or STORAGE_URL"
        return f"{where} can't be read: {error.strerror or error}."
    if free < LEAST_FREE:
        return f"The disk is nearly full: {free / 1e6:.0f} MB are free."
    if settings.whisper_auto_download:
        return None
    try:
        transcription_folder(settings.whisper_model, settings.models, allow_download=False)
    except ModelUnavailable as error:
        return str(error)
    return None
