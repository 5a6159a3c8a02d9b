"""The queue of a cluster: procrastinate's, in the database of the jobs.

Every job that waits or runs has one ticket there, a job of procrastinate's. What is done with tickets is done in the
transaction that changes the job, so the two can't come to differ. Who holds a ticket has to send heartbeats: the
tickets of a worker that sends none are given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from procrastinate.connector import BaseAsyncConnector
from procrastinate.jobs import Job as Ticket
from procrastinate.manager import JobManager as TicketOffice
from psycopg import AsyncConnection, Error
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

TASK = "transcribe"
"""The name under which procrastinate knows what is to be done."""
TURNS = 100_000_000
"""Turns that there are in one priority: a ticket's number there is its priority's share less its turn."""

_TEAR = text(
    "SELECT procrastinate_finish_job_v1(id, 'succeeded', true) FROM procrastinate_jobs "
    "WHERE queueing_lock = :task_id AND status IN ('todo', 'doing')"
)
_GIVE_BACK = text(
    "SELECT procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM procrastinate_jobs "
    "WHERE queueing_lock = :task_id AND status = 'doing'"
)
_QUEUES = text("SELECT DISTINCT queue_name FROM procrastinate_jobs WHERE status = 'todo'")


@dataclass(frozen=True)
class Place:
    """Where a job waits: its queue, its priority (-10..10), and its turn among those of the same priority."""

    queue: str
    priority: int
    turn: int

    @property
    def number(self) -> int:
        """The priority that procrastinate sorts by, the highest first."""
        return self.priority * TURNS - min(self.turn, TURNS - 1)


class Tickets:
    """The tickets, within one transaction."""

    def __init__(self, session: AsyncSession, connection: AsyncConnection[Any]) -> None:
        self._session = session
        self._office = TicketOffice(_WithinTransaction(connection))

    async def put(self, task_id: str, place: Place, lock: str) -> None:
        """Have a job wait. Of those with the same lock one runs at a time."""
        ticket = Ticket(
            queue=place.queue, priority=place.number, lock=lock, queueing_lock=task_id, task_name=TASK,
            task_kwargs={"task_id": task_id},
        )  # fmt: skip
        await self._office.defer_job_async(ticket)

    async def take(self, worker: int, queues: Iterable[str] | None) -> str | None:
        """Take the first ticket of these queues, or of any, and return its task's id; None where there is none."""
        ticket = await self._office.fetch_job(None if queues is None else list(queues), worker)
        return None if ticket is None else str(ticket.task_kwargs["task_id"])

    async def give_back(self, task_id: str) -> bool:
        """Have the ticket of a job that was taken wait again, in its old place; False if there is none."""
        return bool((await self._session.execute(_GIVE_BACK, {"task_id": task_id})).all())

    async def queues(self) -> Sequence[str]:
        """Return the queues in which tickets wait."""
        return (await self._session.scalars(_QUEUES)).all()

    async def tear(self, task_id: str) -> None:
        """Do away with a job's ticket, if it has one."""
        await self._session.execute(_TEAR, {"task_id": task_id})

    # --- who takes them ---

    async def register(self) -> int:
        """Return the number of a new worker."""
        return await self._office.register_worker()

    async def beat(self, worker: int) -> None:
        """Note that a worker lives."""
        await self._office.update_heartbeat(worker)

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
    raw = await (await session.connection()).get_raw_connection()
    connection = raw.driver_connection
    assert isinstance(connection, AsyncConnection)
    return Tickets(session, connection)


class _WithinTransaction(BaseAsyncConnector):
    """Has procrastinate ask on a connection that is in a transaction: its own connectors commit each question."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        with _of_the_database(query):
            async with self._connection.cursor() as cursor:
                await cursor.execute(query, _adapted(arguments))

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        rows = await self.execute_query_all_async(query, **arguments)
        return rows[0]

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        with _of_the_database(query):
            async with self._connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(query, _adapted(arguments))
                return await cursor.fetchall()


@contextmanager
def _of_the_database(query: Any) -> Iterator[None]:
    """Raise what the driver raises as SQLAlchemy does, so that it is known as a fault of the database."""
    try:
        yield
    except Error as error:
        raise DBAPIError(str(query), None, error) from error


def _adapted(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as psycopg takes them."""
    return {name: _value(value) for name, value in arguments.items()}


def _value(value: Any) -> Any:
    """Return a value as psycopg takes it: what a ticket carries is JSON, and a ticket itself a tuple."""
    if isinstance(value, dict):
        return Jsonb(value)
    if isinstance(value, list):
        return [_value(inner) for inner in value]
    return tuple(_value(inner) for inner in value) if isinstance(value, tuple) else value
