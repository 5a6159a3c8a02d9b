"""Reads jobs from the database, and says how a job is written there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs.job import Job, JobStatus, Upload
from whisperx_api.jobs.sessions import Sessions, StoreUnavailable
from whisperx_api.jobs.tables import JobRow
from whisperx_api.options import Options

IDEMPOTENCY_WINDOW = timedelta(hours=24)
"""How long an idempotency key means the task it was first sent with."""

RETRY_WINDOW = timedelta(minutes=5)
"""How long a failed job is what the same request gets that its client sends again by itself."""

BESIDE = ("live", "turn")
"""Columns that are none of a job's own."""
COLUMNS = tuple(column.name for column in JobRow.__table__.columns if column.name not in BESIDE)
_options = TypeAdapter(Options)
_upload = TypeAdapter(Upload)


class JobReader(Sessions):
    """Looks jobs up. Each method raises `StoreUnavailable` where the database does not answer."""

    async def get(self, task_id: str) -> Job | None:
        """Return a job, or None."""
        return await self._first(select(JobRow).where(JobRow.id == task_id))

    async def by_idempotency_key(self, owner: str, key: str) -> Job | None:
        """Return the owner's newest job with this key, if it is not too old."""
        since = utc_now() - IDEMPOTENCY_WINDOW
        query = (
            select(JobRow)
            .where(JobRow.owner == owner, JobRow.idempotency_key == key, JobRow.created_at > since)
            .order_by(JobRow.seq.desc())
            .limit(1)
        )
        return await self._first(query)

    async def failed(self, owner: str, fingerprint: str) -> Job | None:
        """Return the owner's newest job of the same request that has failed within `RETRY_WINDOW`."""
        query = (
            select(JobRow)
            .where(JobRow.completed_at > utc_now() - RETRY_WINDOW, JobRow.status == JobStatus.FAILED.value)
            .where(JobRow.owner == owner, JobRow.fingerprint == fingerprint)
            .order_by(JobRow.seq.desc())
            .limit(1)
        )
        return await self._first(query)

    async def page(self, owner: str, status: JobStatus | None, limit: int, before: int | None) -> Sequence[Job]:
        """Return at most `limit` of the owner's jobs, newest first, older than the one with the seq `before`."""
        query = select(JobRow).where(JobRow.owner == owner)
        if status is not None:
            query = query.where(JobRow.status == status.value)
        if before is not None:
            query = query.where(JobRow.seq < before)
        newest = query.order_by(JobRow.seq.desc()).limit(limit)
        return await self.read(lambda session: [job_of(row) for row in session.scalars(newest)])

    async def ids(self) -> set[str]:
        """Return the ids of all jobs."""
        return await self.read(lambda session: set(session.scalars(select(JobRow.id))))

    async def expired(self, before: datetime, task_id: str | None = None) -> Sequence[str]:
        """Return the ids of jobs that ended before a time: of all of them, or of the one named."""
        query = select(JobRow.id).where(JobRow.completed_at < before)
        if task_id is not None:
            query = query.where(JobRow.id == task_id)
        return await self.read(lambda session: session.scalars(query).all())

    async def fault(self) -> str | None:
        """Return what is wrong with the database; None if it answers."""
        try:
            await self.read(lambda session: session.scalar(select(1)))
        except StoreUnavailable as error:
            return str(error)
        return None

    async def _first(self, query: Select[JobRow]) -> Job | None:
        """Return the job that a query finds, or None."""

        def first_of(session: Session) -> Job | None:
            row = session.scalar(query)
            return None if row is None else job_of(row)

        return await self.read(first_of)


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(timezone.utc)


def columns_of(job: Job) -> dict[str, Any]:
    """Return a job as its row has it, but for `seq`, which the database gives."""
    values = {name: getattr(job, name) for name in COLUMNS if name != "seq"}
    return values | {
        "status": job.status.value,
        "stage": job.stage.value if job.stage else None,
        "options": _options.dump_python(job.options, mode="json"),
        "upload": asdict(job.upload),
    }


def job_of(row: JobRow) -> Job:
    """Return the job of a row."""
    values = {name: getattr(row, name) for name in COLUMNS}
    return Job(**values | {
        "status": JobStatus(row.status),
        "stage": Stage(row.stage) if row.stage else None,
        "options": _options.validate_python(row.options),
        "upload": _upload.validate_python(row.upload),
        "checkpoints": dict(row.checkpoints),
        "failures": dict(row.failures),
    })  # fmt: skip
