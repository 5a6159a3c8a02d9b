"""The workers of a cluster on record, as they report themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import delete, func, select, update

from whisperx_api.jobs.queue.tickets import tickets
from whisperx_api.jobs.sessions import Sessions
from whisperx_api.jobs.tables import WorkerRow
from whisperx_api.jobs.worker import Worker, WorkerDevice

_devices: TypeAdapter[tuple[WorkerDevice, ...]] = TypeAdapter(tuple[WorkerDevice, ...])


class WorkerBook(Sessions):
    """The workers on record. Each method raises `StoreUnavailable` where the database does not do it."""

    async def register(self, worker: Worker) -> int:
        """Put a worker on record, and return the number under which it takes tickets."""
        async with self.transaction() as session:
            await session.execute(delete(WorkerRow).where(WorkerRow.id == worker.id))
            session.add(WorkerRow(**_columns(worker), started_at=func.now(), seen_at=func.now()))
            return await (await tickets(session)).register()

    async def beat(self, worker: Worker, number: int) -> bool:
        """Note that a worker lives, and how it is; False where it was given up: it must register anew."""
        async with self.transaction() as session:
            known = update(WorkerRow).where(WorkerRow.id == worker.id).values(**_columns(worker), seen_at=func.now())
            if await session.scalar(known.returning(WorkerRow.id)) is None:
                return False
            return await (await tickets(session)).beat(number)

    async def sign_off(self, worker: Worker, number: int) -> None:
        """Forget a worker that has ended its work."""
        async with self.transaction() as session:
            await session.execute(delete(WorkerRow).where(WorkerRow.id == worker.id))
            await (await tickets(session)).sign_off(number)

    async def all(self) -> Sequence[Worker]:
        """Return the workers, those that were started first before."""
        query = select(WorkerRow).order_by(WorkerRow.started_at, WorkerRow.id)
        return [_worker(row) for row in await self.read(lambda session: session.scalars(query).all())]

    async def capacity(self) -> int:
        """Return how many jobs all workers run at once."""
        return await self.read(lambda session: session.scalar(select(func.sum(WorkerRow.capacity)))) or 0


def _columns(worker: Worker) -> dict[str, Any]:
    kept = asdict(replace(worker, devices=()))
    kept |= {"queues": list(worker.queues), "task_ids": list(worker.task_ids)}
    kept["devices"] = _devices.dump_python(worker.devices, mode="json")
    return {name: value for name, value in kept.items() if name not in ("started_at", "seen_at")}


def _worker(row: WorkerRow) -> Worker:
    return Worker(
        row.id, row.host, row.pid, tuple(row.queues), row.capacity, _devices.validate_python(row.devices),
        tuple(row.task_ids), row.draining, row.started_at, row.seen_at,
    )  # fmt: skip
