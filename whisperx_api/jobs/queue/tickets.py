"""The queue of a cluster: procrastinate's, in the database of the jobs.

Every job that waits or runs has one ticket there, a job of procrastinate's. What is done with tickets is done in the
transaction that changes the job, so the two can't come to differ. Who holds a ticket has to send heartbeats: the
tickets of a worker that sends none are given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from procrastinate.connector import BaseAsyncConnector
from procrastinate.manager import JobManager as TicketOffice
from psycopg import AsyncConnection
from sqlalchemy.ext.asyncio import AsyncSession

from whisperx_api.jobs.queue.driver import ask, driver_of

TASK = "transcribe"
"""The name under which procrastinate knows what is to be done."""
TURNS = 100_000_000
"""Turns that there are in one priority: a ticket's number there is its priority's share less its turn."""

PUT = f"""procrastinate_defer_jobs_v1(ARRAY[ROW(
    %(queue)s, '{TASK}', waiting.priority * {TURNS} - least(waiting.turn, {TURNS - 1}),
    coalesce(waiting.work, waiting.id), waiting.id, jsonb_build_object('task_id', waiting.id), NULL
)::procrastinate_job_to_defer_v1])"""
"""Puts the ticket of a job that a statement calls `waiting` into a queue. Procrastinate takes the highest number first,
and of tickets with the same lock one at a time: here of jobs of the same work.
"""
TEAR = (
    "SELECT procrastinate_finish_job_v1(id, 'succeeded', true) FROM procrastinate_jobs "
    "WHERE queueing_lock = %(id)s AND status IN ('todo', 'doing')"
)
"""Does away with a job's ticket."""
_TEAR_OF_JOBS_IN_WORK = (
    "SELECT procrastinate_finish_job_v1(ticket.id, 'succeeded', true) FROM procrastinate_jobs AS ticket "
    "JOIN jobs ON jobs.id = ticket.queueing_lock WHERE ticket.status = 'todo' AND jobs.status = 'processing'"
)
_GIVE_BACK = (
    "SELECT procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM procrastinate_jobs "
    "WHERE queueing_lock = %(task_id)s AND status = 'doing'"
)
_QUEUES = """
WITH RECURSIVE queues AS (
    SELECT min(queue_name) AS name FROM procrastinate_jobs
    UNION ALL
    SELECT (SELECT min(queue_name) FROM procrastinate_jobs WHERE queue_name > queues.name) FROM queues
    WHERE name IS NOT NULL
)
SELECT name FROM queues
WHERE (SELECT true FROM procrastinate_jobs WHERE queue_name = queues.name AND status = 'todo' LIMIT 1)"""
"""From one queue's name to the next by the index: with 100,000 tickets DISTINCT takes 38 ms, this 0.1."""


class Tickets:
    """The tickets, within one transaction."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._office = TicketOffice(_WithinTransaction(connection))

    async def take(self, worker: int, queues: Iterable[str] | None) -> str | None:
        """Take the first ticket of these queues, or of any, and return its task's id; None where there is none."""
        ticket = await self._office.fetch_job(None if queues is None else list(queues), worker)
        return None if ticket is None else str(ticket.task_kwargs["task_id"])

    async def give_back(self, task_id: str) -> bool:
        """Have the ticket of a job that was taken wait again, in its old place; False if there is none."""
        return bool(await ask(self._connection, _GIVE_BACK, {"task_id": task_id}))

    async def queues(self) -> Sequence[str]:
        """Return the queues in which tickets wait."""
        return [str(row["name"]) for row in await ask(self._connection, _QUEUES, {})]

    async def tear(self, task_id: str) -> None:
        """Do away with a job's ticket, if it has one."""
        await ask(self._connection, TEAR, {"id": task_id})

    async def tear_those_of_jobs_in_work(self) -> None:
        """Do away with tickets that wait though their jobs are in work: nobody has taken them."""
        await ask(self._connection, _TEAR_OF_JOBS_IN_WORK, {})

    # --- who takes them ---

    async def register(self) -> int:
        """Return the number of a new worker."""
        return await self._office.register_worker()

    async def beat(self, worker: int) -> bool:
        """Note that a worker lives; False where it is not known."""
        await self._office.update_heartbeat(worker)
        known = "SELECT 1 FROM procrastinate_workers WHERE id = %(worker)s"
        return bool(await ask(self._connection, known, {"worker": worker}))

    async def sign_off(self, worker: int) -> None:
        """Forget a worker that takes no more."""
        await self._office.unregister_worker(worker)

    async def vanished(self, seconds: float) -> Sequence[str]:
        """Return the tasks whose tickets are held by workers that sent no heartbeat for so long, or that are gone."""
        stalled = await self._office.get_stalled_jobs(seconds_since_heartbeat=seconds)
        return [str(ticket.task_kwargs["task_id"]) for ticket in stalled]

    async def prune(self, seconds: float) -> None:
        """Forget the workers that sent no heartbeat for so long."""
        await self._office.prune_stalled_workers(seconds)


async def tickets(session: AsyncSession) -> Tickets:
    """Return the tickets, in the transaction of a session on PostgreSQL."""
    return Tickets(await driver_of(await session.connection()))


class _WithinTransaction(BaseAsyncConnector):
    """Has procrastinate ask on a connection that is in a transaction: its own connectors commit each question."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        await ask(self._connection, query, arguments)

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        return (await ask(self._connection, query, arguments))[0]

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        return await ask(self._connection, query, arguments)
