"""Where the jobs of a cluster live: as in `JobStore`, and each that waits or runs has a ticket in the queue.

The ticket, and what other hosts are told, are part of the transaction that changes the job.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, column, delete, func, or_, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from whisperx_api.happenings import Observer, nobody
from whisperx_api.jobs.cluster import statements
from whisperx_api.jobs.cluster.notices import NOTIFY, TASKS, Kind, Notice, channel_of, payloads
from whisperx_api.jobs.database import Database
from whisperx_api.jobs.job import Job, JobStatus, KeptResult
from whisperx_api.jobs.live import Live, live_of
from whisperx_api.jobs.outbox import post_ends
from whisperx_api.jobs.queue.driver import driver_of, transaction
from whisperx_api.jobs.queue.tickets import Tickets, tickets
from whisperx_api.jobs.reading import job_of
from whisperx_api.jobs.store import Admit, JobStore, stale, unasked
from whisperx_api.jobs.tables import JobRow, WorkerRow
from whisperx_api.jobs.webhooks import Webhook

PENDING, PROCESSING, CANCELLED = (
    JobStatus.PENDING.value, JobStatus.PROCESSING.value, JobStatus.CANCELLED.value,
)  # fmt: skip
RESCUE = 0x77785F72
"""Number of the lock under which tickets of vanished workers are given back."""
ADOPTED_AT_ONCE = 500
"""Jobs that come to wait in one transaction, of those that have no ticket."""
QUEUE_NAME = 128
"""Characters that procrastinate keeps of a queue's name."""
TICKETS = table("procrastinate_jobs", column("queueing_lock"))

Fits = Callable[[str], bool]
"""Says of a queue's name whether a worker takes its tickets."""


@dataclass(frozen=True)
class Seen:
    """A job as it is on record, what its run has left there, and how many wait before it where it waits."""

    job: Job
    live: Live | None
    position: int | None = None


@dataclass(frozen=True)
class Counts:
    """How many jobs wait, of each owner, and how many are in work."""

    waiting: dict[str, int]
    running: int


class ClusterStore(JobStore):
    """Jobs on PostgreSQL, for several processes at once. `model` is what a job runs on that names none."""

    def __init__(self, database: Database, model: str, observer: Observer = nobody) -> None:
        super().__init__(database, observer)
        self._model = model

    def queue_of(self, job: Job) -> str:
        """Return the queue in which a job waits: MODEL:LANGUAGE, with auto for a language that is to be found."""
        return f"{job.options.model or self._model}:{job.options.language or 'auto'}"[-QUEUE_NAME:]

    async def add(
        self,
        job: Job,
        webhook: Webhook | None = None,
        kept: KeptResult | None = None,
        seconds: float | None = None,
        admit: Admit = unasked,
    ) -> Job:
        if job.status is not JobStatus.PENDING or webhook is not None or admit is not unasked:
            return await super().add(job, webhook, kept, seconds, admit)
        async with self._by_driver() as pooled:
            row = await statements.add(await driver_of(pooled), job, self.queue_of(job))
        return self._submitted(row, 0)

    # --- what a worker does ---

    async def take(self, worker: str, number: int, fits: Fits | None = None) -> tuple[Job, Live | None] | None:
        """Begin a run of the job whose turn it is, of those in queues that fit; None where none waits.

        With it comes what an earlier run has left of it. `number` is the worker's as the tickets know it.
        """
        while True:
            async with self._by_driver() as pooled:
                connection = await driver_of(pooled)
                office = Tickets(connection)
                queues = None if fits is None else [queue for queue in await office.queues() if fits(queue)]
                task_id = None if queues == [] else await office.take(number, queues)
                if task_id is None:
                    return None
                row = await statements.begin(connection, task_id, worker)
                if row is None and await statements.waits(connection, task_id):
                    await connection.rollback()  # somebody changes it just now, and waits for its ticket
                    return None
                if row is None:
                    await office.tear(task_id)
                    continue
            return job_of(row), live_of(row.live)

    async def complete(
        self,
        job: Job,
        checkpoints: dict[str, str],
        kept: KeptResult | None = None,
        cached: bool = False,
        seconds: float | None = None,
    ) -> Job:
        posted = 0
        async with self._by_driver() as pooled:
            connection = await driver_of(pooled)
            row = await statements.complete(connection, job, checkpoints, kept, cached, seconds)
            if row is None:
                raise stale(job)
            if await statements.has_webhooks(connection, job.id):
                async with AsyncSession(pooled) as session, session.begin():
                    posted = await post_ends(session, [row])
        (ended,) = self._announce([row], posted)
        return ended

    async def rescue(self, seconds: float) -> Sequence[Job]:
        """Have the jobs wait again whose workers sent no heartbeat for so long, and return them.

        What such a worker still has to say of them is refused from here on.
        """
        async with self.transaction() as session:
            if not await session.scalar(select(func.pg_try_advisory_xact_lock(RESCUE))):
                return ()  # another does it just now
            office = await tickets(session)
            found = await office.vanished(seconds)
            here = and_(JobRow.id.in_(found), JobRow.status == PROCESSING)
            rows = await self._changed(session, here, {"status": PENDING, "worker": None}) if found else []
            await self._follow(session, rows)
            others = set(found) - {row.id for row in rows}
            unfinished = select(JobRow.id).where(JobRow.id.in_(others), JobRow.status.in_((PENDING, PROCESSING)))
            waiting = set(await session.scalars(unfinished.with_for_update())) if others else set()
            for task_id in others - waiting:  # those wait again meanwhile, by another's doing
                await office.tear(task_id)
            await office.prune(seconds)
            await session.execute(delete(WorkerRow).where(WorkerRow.seen_at < func.now() - timedelta(seconds=seconds)))
        return self._announce(rows, 0)

    async def abandon(self, worker: str) -> Sequence[Job]:
        """Have the jobs wait again that a worker left which has certainly ended, forget it, and return them."""
        here = and_(JobRow.worker == worker, JobRow.status == PROCESSING)
        async with self.transaction() as session:
            await session.execute(select(func.pg_advisory_xact_lock(RESCUE)))
            rows = await self._changed(session, here, {"status": PENDING, "worker": None})
            await self._follow(session, rows)
            await session.execute(delete(WorkerRow).where(WorkerRow.id == worker))
        return self._announce(rows, 0)

    async def adopt(self) -> int:
        """Have the unfinished jobs wait that have no ticket, and return how many those are: they come from where there
        are none. One that a single server had in work may have one that waits, of before that server.
        """
        adopted = 0
        while some := await self._adopt_some():
            adopted += some
        return adopted

    async def _adopt_some(self) -> int:
        ticket = select(TICKETS.c.queueing_lock).where(TICKETS.c.queueing_lock == JobRow.id)
        unfinished = select(JobRow.id).where(JobRow.status.in_((PENDING, PROCESSING)), ~ticket.exists())
        first = unfinished.order_by(JobRow.priority.desc(), JobRow.seq).limit(ADOPTED_AT_ONCE)
        async with self.transaction() as session:
            await session.execute(select(func.pg_advisory_xact_lock(RESCUE)))
            await (await tickets(session)).tear_those_of_jobs_in_work()
            rows = await self._changed(session, JobRow.id.in_(first), {"status": PENDING, "worker": None})
            await self._follow(session, sorted(rows, key=lambda row: (-row.priority, row.seq)))
        return len(self._announce(rows, 0))

    async def held(self, worker: str) -> Sequence[Job]:
        """Return the jobs that are on record as run by a worker."""
        here = select(JobRow).where(JobRow.status == PROCESSING, JobRow.worker == worker)
        return await self.read(lambda session: [job_of(row) for row in session.scalars(here)])

    # --- what a server asks ---

    async def seen(self, task_ids: Iterable[str]) -> Sequence[Seen]:
        """Return how these jobs are, as far as they are there."""
        wanted = tuple(task_ids)

        def look(session: Session) -> list[Seen]:
            rows = session.scalars(select(JobRow).where(JobRow.id.in_(wanted))).all()
            return [Seen(job_of(row), live_of(row.live), _position(session, row)) for row in rows]

        return await self.read(look)

    async def counts(self) -> Counts:
        """Return how many jobs wait and are in work."""
        waiting = select(JobRow.owner, func.count()).where(JobRow.status == PENDING).group_by(JobRow.owner)
        running = select(func.count()).where(JobRow.status == PROCESSING)

        def count(session: Session) -> Counts:
            return Counts(dict(session.execute(waiting).all()), session.scalar(running) or 0)

        return await self.read(count)

    async def say(self, channel: str, notice: Notice) -> None:
        """Tell whoever listens. Raises `StoreUnavailable`."""
        async with self.transaction() as session:
            await notify(session, channel, notice)

    # --- the tickets ---

    async def _changed(
        self, session: AsyncSession, where: ColumnElement[bool], values: dict[str, Any]
    ) -> Sequence[JobRow]:
        rows = await super()._changed(session, where, values)
        if "live" in values:
            for row in rows:
                await notify(session, TASKS, Notice(Kind.TASK, row.id))
        return rows

    @asynccontextmanager
    async def _by_driver(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection for a change that is asked of the driver. Raises `StoreUnavailable`."""
        async with self.change(), transaction(self.database.engine) as pooled:
            yield pooled

    async def _insert(self, session: AsyncSession, job: Job) -> JobRow:
        if job.status is not JobStatus.PENDING:
            return await super()._insert(session, job)
        return await statements.add(await driver_of(await session.connection()), job, self.queue_of(job))

    async def _follow(self, session: AsyncSession, rows: Sequence[JobRow], deleted: bool = False) -> None:
        if not rows:
            return
        connection = await driver_of(await session.connection())
        office = Tickets(connection)
        for row in rows:
            if deleted or row.status not in (PENDING, PROCESSING):
                await office.tear(row.id)
            elif row.status == PENDING and not await office.give_back(row.id):
                await statements.wait_again(connection, row, self.queue_of(job_of(row)))
            await notify(session, TASKS, Notice(Kind.TASK, row.id, row.status))
            if row.worker is not None and (deleted or row.status == CANCELLED):
                await notify(session, channel_of(row.worker), Notice(Kind.TASK, row.id))


async def notify(session: AsyncSession, channel: str, notice: Notice) -> None:
    """Have a notice be told when the transaction is committed."""
    for payload in payloads(notice):
        await session.execute(NOTIFY, {"channel": channel, "payload": payload})


def _position(session: Session, row: JobRow) -> int | None:
    """Return how many jobs wait before one; None if it does not wait."""
    if row.status != PENDING:
        return None
    earlier = or_(
        JobRow.priority > row.priority,
        and_(JobRow.priority == row.priority, or_(
            JobRow.turn < row.turn, and_(JobRow.turn == row.turn, JobRow.seq < row.seq),
        )),
    )  # fmt: skip
    return session.scalar(select(func.count()).where(JobRow.status == PENDING, earlier))
