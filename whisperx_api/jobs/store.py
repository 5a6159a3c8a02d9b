"""Where jobs live: every change of a job is one committed transaction.

What a run of a job changes names its epoch; when the job has moved on meanwhile, the change is refused with
`StaleEpoch`. Nothing here knows of processes or files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Select, and_, case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from whisperx_api.engine.protocol import Stage
from whisperx_api.happenings import End, JobEnded, JobSubmitted, Observer, nobody
from whisperx_api.jobs.database import Database
from whisperx_api.jobs.job import Job, JobStatus, KeptResult, Upload
from whisperx_api.jobs.outbox import add_webhook, forget, post_ends
from whisperx_api.jobs.sessions import Sessions, StoreUnavailable
from whisperx_api.jobs.tables import JobRow, ResultRow
from whisperx_api.jobs.usage import count_ends
from whisperx_api.jobs.webhooks import Webhook
from whisperx_api.options import Options

IDEMPOTENCY_WINDOW = timedelta(hours=24)
"""How long an idempotency key means the task it was first sent with."""

RETRY_WINDOW = timedelta(minutes=5)
"""How long a failed job is what the same request gets that its client sends again by itself."""

COLUMNS = tuple(column.name for column in JobRow.__table__.columns if column.name != "live")
_options = TypeAdapter(Options)
_upload = TypeAdapter(Upload)


class StaleEpoch(RuntimeError):
    """The job has moved on: it was cancelled, deleted or started anew since this run of it began."""


class JobStore(Sessions):
    """Jobs in a SQL database.

    The end of a job writes the messages of its webhooks and is counted for its owner, in the same transaction.
    """

    def __init__(self, database: Database, observer: Observer = nobody) -> None:
        super().__init__(database, observer=observer)
        self.posted = asyncio.Event()
        """Set when there is a new message to a webhook."""

    async def add(
        self,
        job: Job,
        webhook: Webhook | None = None,
        kept: KeptResult | None = None,
        seconds: float | None = None,
    ) -> Job:
        """Store a new job, with a webhook if one is given, and return it with its `seq`.

        One that is completed already has a transcript `kept`, of so many `seconds` of audio.
        """
        async with self.transaction() as session:
            row = JobRow(**_columns(job))
            session.add(row)
            await session.flush()
            if webhook is not None:
                await add_webhook(session, webhook)
            if kept is not None:
                await _offer(session, job.id, kept)
            await count_ends(session, [row], seconds)
            posted = 0 if webhook is None else await post_ends(session, [row])
        self._tell(posted)
        added = _job(row)
        self._observer(JobSubmitted(added.id, added.upload.size))
        self._observe_ends([added])
        return added

    async def get(self, task_id: str) -> Job | None:
        """Return a job, or None."""
        return await self._first(select(JobRow).where(JobRow.id == task_id))

    async def by_idempotency_key(self, owner: str, key: str) -> Job | None:
        """Return the owner's newest job with this key, if it is not too old."""
        since = _now() - IDEMPOTENCY_WINDOW
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
            .where(JobRow.completed_at > _now() - RETRY_WINDOW, JobRow.status == JobStatus.FAILED.value)
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
        return await self.read(lambda session: [_job(row) for row in session.scalars(newest)])

    async def ids(self) -> set[str]:
        """Return the ids of all jobs."""
        return await self.read(lambda session: set(session.scalars(select(JobRow.id))))

    async def expired(self, before: datetime, task_id: str | None = None) -> Sequence[str]:
        """Return the ids of jobs that ended before a time: of all of them, or of the one named."""
        query = select(JobRow.id).where(JobRow.completed_at < before)
        if task_id is not None:
            query = query.where(JobRow.id == task_id)
        return await self.read(lambda session: session.scalars(query).all())

    async def recover(self) -> Sequence[Job]:
        """Make every unfinished job pending, and return them in the order in which they are to run."""
        unfinished = (JobStatus.PENDING.value, JobStatus.PROCESSING.value)
        jobs = await self._update(JobRow.status.in_(unfinished), status=JobStatus.PENDING.value)
        return sorted(jobs, key=lambda job: job.rank)

    # --- a run ---

    async def start(self, task_id: str) -> Job | None:
        """Begin a run of a pending job: a new epoch. Returns None if it is pending no more."""
        return first(
            await self._update(
                and_(JobRow.id == task_id, JobRow.status == JobStatus.PENDING.value),
                status=JobStatus.PROCESSING.value,
                epoch=JobRow.epoch + 1,
                started_at=func.coalesce(JobRow.started_at, _now()),
            )
        )

    async def checkpoint(self, job: Job, stage: Stage, file: str, progress: float) -> Job:
        """Record that `file` holds the result of `stage`. Raises `StaleEpoch`.

        `job` must be what the last change of this run has returned, here and in `failed_attempt`.
        """
        checkpoints = {**job.checkpoints, stage.value: file}
        failures = {other: count for other, count in job.failures.items() if other != stage.value}
        return await self._change(job, checkpoints=checkpoints, failures=failures, progress=_at_least(progress))

    async def at(self, job: Job, stage: Stage, progress: float) -> Job:
        """Record how far a run has come. Raises `StaleEpoch`."""
        return await self._change(job, stage=stage.value, progress=_at_least(progress))

    async def failed_attempt(self, job: Job, stage: Stage) -> Job:
        """Count a failure of `stage`. Raises `StaleEpoch`."""
        return await self._change(job, failures={**job.failures, stage.value: job.failures.get(stage.value, 0) + 1})

    async def complete(
        self,
        job: Job,
        checkpoints: dict[str, str],
        kept: KeptResult | None = None,
        cached: bool = False,
        seconds: float | None = None,
    ) -> Job:
        """End a run well, its transcript `kept` for others, or `cached`: by another. Raises `StaleEpoch`.

        `seconds` of audio were transcribed; as many as the file states if left out.
        """
        values: dict[str, Any] = {"checkpoints": checkpoints, "progress": 1.0, "stage": None, "cached": cached}
        return await self._end(job, JobStatus.COMPLETED, kept, seconds, **values)

    async def fail(self, job: Job, stage: Stage | None, error: str) -> Job:
        """End a run at `stage` with a sentence that says why. Raises `StaleEpoch`."""
        return await self._end(job, JobStatus.FAILED, stage=stage.value if stage else None, error=error)

    async def hand_back(self, job: Job, progress: float, checkpoints: dict[str, str] | None = None) -> Job:
        """Make a job pending again that could not be finished now. Raises `StaleEpoch`.

        `checkpoints` are those from which it is to go on; its own if left out.
        """
        given: dict[str, Any] = {} if checkpoints is None else {"checkpoints": checkpoints}
        return await self._change(job, status=JobStatus.PENDING.value, progress=_at_least(progress), **given)

    # --- what callers ask for ---

    async def cancel(self, task_id: str, stage: Stage | None = None) -> Job | None:
        """Cancel a job; None if it has ended or is not there. A run that is in work is stale from here on.

        `stage` is where it was, if that is known better than the record knows it.
        """
        unfinished = (JobStatus.PENDING.value, JobStatus.PROCESSING.value)
        where: dict[str, Any] = {} if stage is None else {"stage": stage.value}
        return first(
            await self._update(
                and_(JobRow.id == task_id, JobRow.status.in_(unfinished)),
                status=JobStatus.CANCELLED.value,
                epoch=JobRow.epoch + 1,
                completed_at=_now(),
                **where,
            )
        )

    async def retry(self, task_id: str) -> Job | None:
        """Make a failed or cancelled job pending again; None if it is neither."""
        ended = (JobStatus.FAILED.value, JobStatus.CANCELLED.value)
        return first(
            await self._update(
                and_(JobRow.id == task_id, JobRow.status.in_(ended)),
                status=JobStatus.PENDING.value,
                error=None,
                failures={},
                completed_at=None,
            )
        )

    async def delete(self, task_id: str) -> None:
        """Forget a job, with its webhooks."""
        async with self.transaction() as session:
            await session.execute(delete(JobRow).where(JobRow.id == task_id))  # first, so it gets no further webhook
            await forget(session, task_id)
        self.erased.set()

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
            return None if row is None else _job(row)

        return await self.read(first_of)

    async def _end(
        self, job: Job, status: JobStatus, kept: KeptResult | None = None, seconds: float | None = None, **values: Any
    ) -> Job:
        return await self._change(job, kept, seconds, status=status.value, completed_at=_now(), **values)

    async def _change(
        self, job: Job, kept: KeptResult | None = None, seconds: float | None = None, **values: Any
    ) -> Job:
        this_run = and_(JobRow.id == job.id, JobRow.epoch == job.epoch, JobRow.status == JobStatus.PROCESSING.value)
        if (changed := first(await self._update(this_run, kept, seconds, **values))) is None:
            raise StaleEpoch(f"task {job.id}, epoch {job.epoch}")
        return changed

    async def _update(
        self, where: ColumnElement[bool], kept: KeptResult | None = None, seconds: float | None = None, **values: Any
    ) -> list[Job]:
        """Change the rows that `where` finds and return them: one statement, so nothing comes between.

        What the change brings with it is in the same transaction: messages to webhooks, what is counted, and a
        transcript `kept` for others.
        """
        async with self.transaction() as session:
            rows = (await session.scalars(update(JobRow).where(where).values(**values).returning(JobRow))).all()
            if kept is not None:
                for row in rows:
                    await _offer(session, row.id, kept)
            posted = await _ends(session, rows, seconds) if "status" in values else 0
        self._tell(posted)
        jobs = [_job(row) for row in rows]
        if "status" in values:
            self._observe_ends(jobs)
        return jobs

    def _tell(self, posted: int) -> None:
        """Wake who delivers messages, if there is a new one. To be called when it is committed."""
        if posted:
            self.posted.set()

    def _observe_ends(self, jobs: Sequence[Job]) -> None:
        """Say which of these have ended now. To be called when that is committed."""
        for job in jobs:
            if job.status.finished:
                self._observer(JobEnded(job.id, End.CACHED if job.cached else End(job.status.value)))


async def _ends(session: AsyncSession, rows: Sequence[JobRow], seconds: float | None) -> int:
    """Write what the ends of jobs bring with them; return how many messages those are."""
    await count_ends(session, rows, seconds)
    return await post_ends(session, rows)


async def _offer(session: AsyncSession, task_id: str, kept: KeptResult) -> None:
    """Put on record that a task has a transcript for others.

    The one used before it is in use with it: this one's task may be deleted soon.
    """
    now = _now()
    same = select(ResultRow.task_id).where(ResultRow.work == kept.work).order_by(ResultRow.used_at.desc()).limit(1)
    before = update(ResultRow).where(ResultRow.task_id == same.scalar_subquery()).values(used_at=now)
    await session.execute(before.execution_options(synchronize_session=False))
    session.add(ResultRow(task_id=task_id, used_at=now, **asdict(kept)))


def first(jobs: Sequence[Job]) -> Job | None:
    """Return the first of at most one job."""
    return jobs[0] if jobs else None


def _at_least(progress: float) -> ColumnElement[float]:
    """Return the progress on record or `progress`, whichever is more: two changes may come in either order."""
    return case((JobRow.progress > progress, JobRow.progress), else_=progress)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _columns(job: Job) -> dict[str, Any]:
    values = {name: getattr(job, name) for name in COLUMNS if name != "seq"}
    return values | {
        "status": job.status.value,
        "stage": job.stage.value if job.stage else None,
        "options": _options.dump_python(job.options, mode="json"),
        "upload": asdict(job.upload),
    }


def _job(row: JobRow) -> Job:
    values = {name: getattr(row, name) for name in COLUMNS}
    return Job(**values | {
        "status": JobStatus(row.status),
        "stage": Stage(row.stage) if row.stage else None,
        "options": _options.validate_python(row.options),
        "upload": _upload.validate_python(row.upload),
        "checkpoints": dict(row.checkpoints),
        "failures": dict(row.failures),
    })  # fmt: skip
