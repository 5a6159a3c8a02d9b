"""`/api/v1/workers`: who runs the tasks, on which hosts and devices."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from whisperx_api.api.auth import Admin
from whisperx_api.api.errors import PROBLEMS
from whisperx_api.api.parts import PartsOf

router = APIRouter(prefix="/api/v1/workers", tags=["operations"], responses=PROBLEMS)


class WorkerDeviceOut(BaseModel):
    device: str
    name: str | None = Field(description="What the device calls itself; null until its engine has started.")
    engine: str
    memory_total: int | None = Field(description="Bytes.")
    memory_used: int | None = Field(description="Bytes, as measured last.")
    models: list[str] = Field(description="Those it holds now.")
    error: str | None = Field(description="Why it can't work; null where it can.")


class WorkerOut(BaseModel):
    id: str
    host: str
    pid: int
    queues: list[str] = Field(description="Those of which it takes tasks, MODEL:LANGUAGE; empty: all of them.")
    capacity: int = Field(description="Tasks that it runs at once.")
    tasks: list[str] = Field(description="Those in work.")
    draining: bool = Field(description="Whether it ends, and takes no more.")
    started_at: datetime | None
    last_heartbeat: datetime | None
    devices: list[WorkerDeviceOut]


class WorkerList(BaseModel):
    workers: list[WorkerOut]


@router.get("", response_model=WorkerList)
async def workers(parts: PartsOf, caller: Admin) -> WorkerList:
    """Who runs the tasks; one that told nothing for half a minute is not listed any more. Needs the scope admin."""
    return WorkerList(
        workers=[
            WorkerOut(
                id=worker.id, host=worker.host, pid=worker.pid, queues=list(worker.queues), capacity=worker.capacity,
                tasks=list(worker.task_ids), draining=worker.draining, started_at=worker.started_at,
                last_heartbeat=worker.seen_at,
                devices=[
                    WorkerDeviceOut(
                        device=one.device, name=one.ready.device_name if one.ready else None, engine=one.state,
                        memory_total=one.ready.memory_total if one.ready else None,
                        memory_used=one.models.memory_used, models=list(one.models.models),
                        error=one.failure or one.model_fault,
                    )
                    for one in worker.devices
                ],
            )
            for worker in await parts.manager.workers()
        ]
    )  # fmt: skip
