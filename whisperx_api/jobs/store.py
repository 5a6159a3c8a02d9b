"""Where jobs live: every change of a job is one committed transaction.

What a run of a job changes names its epoch; when the job has moved on meanwhile, the change is refused with
`StaleEpoch`. Nothing here knows of processes or files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from whisperx_api.engine.protocol import Stage
from whisperx_api.happenings import End, JobEnded, JobSubmitted, Observer, nobody
from whisperx_api.jobs.database import Database
from whisperx_api.jobs.job import Job, JobStatus, KeptResult
from whisperx_api.jobs.live import Live
from whisperx_api.jobs.outbox import add_webhook, forget, post_ends
from whisperx_api.jobs.reading import JobReader, columns_of, job_of, utc_now
from whisperx_api.jobs.tables import JobRow, ResultRow
from whisperx_api.jobs.usage import count_ends
from whisperx_api.jobs.webhooks import Webhook

Admit = Callable[[AsyncSession], Awaitable[None]]
"""Looks whether a job may wait; raises where it may not."""


async def unasked(session: AsyncSession) -> None:
    """Admit every job."""


class StaleEpoch(RuntimeError):
    """The job has moved on: it was cancelled, deleted or started anew since this run of it began."""


class JobStore(JobReader):
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
        admit: Admit = unasked,
    ) -> Job:
        """Store a new job, with a webhook if one is given, and return it with its `seq`.

        One that is completed already has a transcript `kept`, of so many `seconds` of audio. `admit` raises where the
        job is not to go on record, in whose transaction it looks.
        """
        async with self.transaction() as session:
            await admit(session)
            row = await self._insert(session, job)
            if webhook is not None:
                await add_webhook(session, webhook)
            if kept is not None:
                await _offer(session, job.id, kept)
            await count_ends(session, [row], seconds)
            posted = 0 if webhook is None else await post_ends(session, [row])
        return self._submitted(row, posted)

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
                started_at=func.coalesce(JobRow.started_at, utc_now()),
            )
        )

    async def checkpoint(self, job: Job, stage: Stage, file: str, progress: float) -> Job:
        """Record that `file` holds the result of `stage`. Raises `StaleEpoch`.

        `job` must be what the last change of this run has returned, here and in `failed_attempt`.
        """
        checkpoints = {**job.checkpoints, stage.value: file}
        failures = {other: count for other, count in job.failures.items() if other != stage.value}
        return await self._change(job, checkpoints=checkpoints, failures=failures, progress=_at_least(progress))

    async def at(self, job: Job, stage: Stage, progress: float, live: Live | None = None) -> Job:
        """Record how far a run has come, and what else those are to know who don't see it. Raises `StaleEpoch`."""
        known: dict[str, Any] = {} if live is None else {"live": live.as_json()}
        return await self._change(job, stage=stage.value, progress=_at_least(progress), **known)

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
                completed_at=utc_now(),
                **where,
            )
        )

    async def retry(self, task_id: str, admit: Admit = unasked) -> Job | None:
        """Make a failed or cancelled job pending again; None if it is neither. `admit` as in `add`."""
        ended = (JobStatus.FAILED.value, JobStatus.CANCELLED.value)
        values = {"status": JobStatus.PENDING.value, "error": None, "failures": {}, "completed_at": None, "live": None}
        async with self.transaction() as session:
            await admit(session)
            rows = await self._changed(session, and_(JobRow.id == task_id, JobRow.status.in_(ended)), values)
            await self._follow(session, rows)
        return first(self._announce(rows, 0))

    async def delete(self, task_id: str) -> None:
        """Forget a job, with its webhooks."""
        async with self.transaction() as session:
            gone = await session.scalars(delete(JobRow).where(JobRow.id == task_id).returning(JobRow))
            await self._follow(session, gone.all(), deleted=True)  # first, so it gets no further webhook
            await forget(session, task_id)
        self.erased.set()

    async def delete_ended(self, task_id: str, before: datetime) -> bool:
        """Forget a job that ended before a time, with its webhooks; False where it is none, or not any more."""
        async with self.transaction() as session:
            ended = delete(JobRow).where(JobRow.id == task_id, JobRow.completed_at < before)
            if await session.scalar(ended.returning(JobRow.id)) is None:
                return False
            await forget(session, task_id)
        self.erased.set()
        return True

    async def _insert(self, session: AsyncSession, job: Job) -> JobRow:
        row = JobRow(**columns_of(job))
        session.add(row)
        await session.flush()
        return row

    async def _end(
        self, job: Job, status: JobStatus, kept: KeptResult | None = None, seconds: float | None = None, **values: Any
    ) -> Job:
        return await self._change(job, kept, seconds, status=status.value, completed_at=utc_now(), **values)

    async def _change(
        self, job: Job, kept: KeptResult | None = None, seconds: float | None = None, **values: Any
    ) -> Job:
        this_run = and_(JobRow.id == job.id, JobRow.epoch == job.epoch, JobRow.status == JobStatus.PROCESSING.value)
        if (changed := first(await self._update(this_run, kept, seconds, **values))) is None:
            raise stale(job)
        return changed

    async def _update(
        self, where: ColumnElement[bool], kept: KeptResult | None = None, seconds: float | None = None, **values: Any
    ) -> list[Job]:
        """Change the rows that `where` finds and return them: one statement, so nothing comes between.

        What the change brings with it is in the same transaction: messages to webhooks, what is counted, and a
        transcript `kept` for others.
        """
        async with self.transaction() as session:
            rows = await self._changed(session, where, values)
            if kept is not None:
                for row in rows:
                    await _offer(session, row.id, kept)
            posted = await self._ends(session, rows, seconds) if "status" in values else 0
        return self._announce(rows, posted) if "status" in values else [job_of(row) for row in rows]

    async def _changed(
        self, session: AsyncSession, where: ColumnElement[bool], values: dict[str, Any]
    ) -> Sequence[JobRow]:
        changing = update(JobRow).where(where).values(**values).returning(JobRow)
        return (await session.scalars(changing.execution_options(synchronize_session=False))).all()

    async def _ends(self, session: AsyncSession, rows: Sequence[JobRow], seconds: float | None = None) -> int:
        """Write what new states of jobs bring with them; return how many messages of ends those are."""
        await self._follow(session, rows)
        await count_ends(session, rows, seconds)
        return await post_ends(session, rows)

    def _submitted(self, row: JobRow, posted: int) -> Job:
        """Return a new job, and say that it has come. To be called when it is committed."""
        (added,) = self._announce([row], posted)
        self._observer(JobSubmitted(added.id, added.upload.size))
        return added

    def _announce(self, rows: Sequence[JobRow], posted: int) -> list[Job]:
        """Return the jobs, say which of them have ended now, and wake who delivers new messages.

        To be called when all that is committed.
        """
        if posted:
            self.posted.set()
        jobs = [job_of(row) for row in rows]
        for job in jobs:
            if job.status.finished:
                self._observer(JobEnded(job.id, End.CACHED if job.cached else End(job.status.value)))
        return jobs

    # --- for stores whose jobs are in a queue of the database's too ---

    async def _follow(self, session: AsyncSession, rows: Sequence[JobRow], deleted: bool = False) -> None:
        """Do what the new states of jobs bring with them, in the same transaction: here nothing."""


def stale(job: Job) -> StaleEpoch:
    """Return what a run is told whose job has moved on."""
    return StaleEpoch(f"task {job.id}, epoch {job.epoch}")


async def _offer(session: AsyncSession, task_id: str, kept: KeptResult) -> None:
    """Put on record that a task has a transcript for others.

    The one used before it is in use with it: this one's task may be deleted soon.
    """
    now = utc_now()
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
