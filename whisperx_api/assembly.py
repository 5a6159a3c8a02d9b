"""Makes the parts of the service from the settings, for servers and workers alike."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from whisperx_api import confinement
from whisperx_api.engine import decoder
from whisperx_api.engine.fleet import Devices, Fleet
from whisperx_api.engine.process import EngineProcess
from whisperx_api.engine.protocol import EngineConfig
from whisperx_api.happenings import Observer
from whisperx_api.jobs.admission import QueueLimits
from whisperx_api.jobs.cache import ResultCache
from whisperx_api.jobs.database import Database
from whisperx_api.jobs.desk import Desk
from whisperx_api.jobs.events import Events
from whisperx_api.jobs.locks import LocalLocks, Locks
from whisperx_api.jobs.manager import JobManager
from whisperx_api.jobs.progress import StageCosts
from whisperx_api.jobs.store import JobStore
from whisperx_api.jobs.workshop import Decode, Workshop
from whisperx_api.metrics import Metrics
from whisperx_api.settings import Residency, Settings, SettingsError
from whisperx_api.storage.protocol import Storage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """What a server works with, by how its jobs are run. `alone`: no other process changes what is on record."""

    store: JobStore
    events: Events
    desk: Desk
    devices: Devices
    locks: Locks
    alone: bool
    begin: Callable[[], Coroutine[Any, Any, None]]
    """What is done beside, once it serves."""
    end: Callable[[], Coroutine[Any, Any, None]]


def embedded(
    settings: Settings, engine: str, database: Database, storage: Storage, observer: Observer, counted: Metrics
) -> Served:
    """Return a server that runs its jobs itself; `engine` is the module that its engine processes run."""
    fleet = fleet_of(settings, engine, observer)
    store, told = JobStore(database, observer), Events()
    cache = result_cache(settings, store, storage, settings.devices[0])
    workshop = Workshop(
        store, storage, fleet, decode_of(settings), costs_of(settings), told, len(settings.devices), cache, observer
    )
    limits = QueueLimits(settings.max_queue, settings.max_queue_per_key)
    manager = JobManager(workshop, settings.max_concurrent_tasks, limits)
    counted.watch(manager, fleet.engines)
    return Served(store, told, manager, fleet, LocalLocks(), True, fleet.start, fleet.stop)


def prepare(settings: Settings, storage: Storage) -> None:
    """Make the folders, and say what this machine lacks. Raises `SettingsError` where a folder can't be made."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        storage.prepare()
    except OSError as error:
        raise SettingsError(f"DATA_DIR, UPLOAD_DIR or STORAGE_URL can't be used: {error}.") from error
    for sentence in confinement.lacking():
        logger.warning("%s", sentence)


def fleet_of(settings: Settings, engine: str, observer: Observer) -> Fleet:
    """Return an engine for each device; `engine` is the module that their processes run."""
    idle = settings.model_unload_idle_minutes * 60
    return Fleet([EngineProcess(engine_config(settings, one), idle, engine, observer) for one in settings.devices])


def decode_of(settings: Settings) -> Decode:
    """Return what decodes a recording."""
    longest = settings.max_duration_hours * 3600
    return functools.partial(decoder.decode, seconds=settings.decode_timeout_seconds, longest=longest)


def costs_of(settings: Settings) -> StageCosts:
    """Return what this machine has measured of its stages."""
    return StageCosts(settings.data_dir / "stage_costs.json", settings.model_residency is Residency.RELEASE)


def result_cache(settings: Settings, store: JobStore, storage: Storage, device: str) -> ResultCache | None:
    """Return the result cache for transcripts that are made on `device`; None where it is off."""
    if not settings.result_cache:
        return None
    config = engine_config(settings, device)
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
