"""What each job of a cluster costs most often: a statement as it comes, one as it is begun, and two as it ends well.

Each does at once what `JobStore` does with several, and is asked of the driver itself: statement by statement, with
SQLAlchemy between, a job takes several times as long.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from psycopg import AsyncConnection

from whisperx_api.jobs.cluster.notices import TASKS, Kind, Notice, payloads
from whisperx_api.jobs.job import Job, JobStatus, KeptResult
from whisperx_api.jobs.queue.driver import ask
from whisperx_api.jobs.queue.tickets import PUT, TEAR
from whisperx_api.jobs.reading import BESIDE, COLUMNS, columns_of, utc_now
from whisperx_api.jobs.tables import JobRow
from whisperx_api.jobs.usage import add_to_usage, usage_of

ROW = frozenset((*COLUMNS, *BESIDE))
GIVEN = tuple(name for name in COLUMNS if name != "seq")
"""What a new job brings with it: its number is the database's to give, and its turn is found as it comes."""

_TURN = """greatest(0,
    (SELECT min(turn) FROM jobs WHERE status = 'pending' AND priority = %(priority)s AND id <> %(id)s),
    (SELECT max(turn) + 1 FROM jobs
        WHERE status = 'pending' AND priority = %(priority)s AND owner = %(owner)s AND id <> %(id)s)
)"""
"""When a job is to run among those of its priority.

Owners take turns (start-time fair queueing): of each, one job is done before the second of any. Who comes anew is where
those are that wait longest, and not before them.
"""

_ADD = f"""
WITH waiting AS (
    INSERT INTO jobs ({", ".join(GIVEN)}, turn) VALUES ({", ".join(f"%({name})s" for name in GIVEN)}, {_TURN})
    RETURNING *
)
SELECT waiting.*, {PUT} FROM waiting"""  # noqa: S608  # nosec B608  # names of columns

_WAIT_AGAIN = f"""
WITH waiting AS (UPDATE jobs SET turn = {_TURN} WHERE id = %(id)s RETURNING *)
SELECT {PUT} FROM waiting"""  # noqa: S608  # nosec B608  # names of columns

_BEGIN = """
WITH begun AS (
    UPDATE jobs SET status = 'processing', epoch = epoch + 1, worker = %(worker)s,
        started_at = coalesce(started_at, %(now)s)
    WHERE id = (SELECT id FROM jobs WHERE id = %(id)s AND status = 'pending' FOR UPDATE SKIP LOCKED)
    RETURNING *
)
SELECT begun.*, pg_notify(%(channel)s, %(notice)s) FROM begun"""

_KEPT = tuple(field.name for field in fields(KeptResult))
_KEEP = f""", used AS (
    UPDATE results SET used_at = %(now)s
    WHERE task_id = (SELECT task_id FROM results WHERE work = %(work)s ORDER BY used_at DESC LIMIT 1)
), kept AS (
    INSERT INTO results (task_id, used_at, {", ".join(_KEPT)})
    SELECT id, %(now)s, {", ".join(f"%({name})s" for name in _KEPT)} FROM ended
)"""  # noqa: S608  # nosec B608  # names of columns
"""Puts on record that a task has a transcript for others; the one used before it is in use with it."""


def _completing(besides: str = "") -> str:
    return f"""
WITH ended AS (
    UPDATE jobs SET status = 'completed', checkpoints = %(checkpoints)s, cached = %(is_cached)s, progress = 1.0,
        stage = NULL, completed_at = %(now)s
    WHERE id = %(id)s AND epoch = %(epoch)s AND status = 'processing'
    RETURNING *
), counted AS ({add_to_usage("SELECT {} FROM ended", "%({})s")}){besides}
SELECT ended.*, pg_notify(%(channel)s, %(notice)s), (SELECT count(*) FROM ({TEAR}) AS torn) FROM ended"""  # noqa: S608  # nosec B608  # names of columns


_COMPLETE, _COMPLETE_AND_KEEP = _completing(), _completing(_KEEP)
_WAITS = "SELECT 1 FROM jobs WHERE id = %(id)s AND status = 'pending'"
_HAS_WEBHOOKS = "SELECT 1 FROM webhooks WHERE task_id = %(id)s LIMIT 1"


async def add(connection: AsyncConnection[Any], job: Job, queue: str) -> JobRow:
    """Put a job on record that is to wait, with its ticket in a queue, and return its row."""
    row = await _row(connection, _ADD, columns_of(job) | {"queue": queue})
    assert row is not None
    return row


async def wait_again(connection: AsyncConnection[Any], row: JobRow, queue: str) -> None:
    """Give a job that is on record a turn and a ticket."""
    await ask(connection, _WAIT_AGAIN, {"id": row.id, "owner": row.owner, "priority": row.priority, "queue": queue})


async def begin(connection: AsyncConnection[Any], task_id: str, worker: str) -> JobRow | None:
    """Begin a run of a job that waits; None if it waits no more, or another transaction has it just now.

    That one may wait for the ticket that the caller has: waiting for the job would be a deadlock.
    """
    values = {"id": task_id, "worker": worker, "now": utc_now()}
    return await _row(connection, _BEGIN, values | _told(task_id, JobStatus.PROCESSING))


async def waits(connection: AsyncConnection[Any], task_id: str) -> bool:
    """Return whether a job waits."""
    return bool(await ask(connection, _WAITS, {"id": task_id}))


async def complete(
    connection: AsyncConnection[Any],
    job: Job,
    checkpoints: dict[str, str],
    kept: KeptResult | None,
    cached: bool,
    seconds: float | None,
) -> JobRow | None:
    """End a run well, do away with its ticket, count it and keep its result; None if the job has moved on."""
    now = utc_now()
    values = {"id": job.id, "epoch": job.epoch, "checkpoints": checkpoints, "is_cached": cached, "now": now}
    length = seconds if seconds is not None else job.upload.duration
    usage = asdict(usage_of(JobStatus.COMPLETED.value, now, job.owner, cached, length))
    values |= usage | _told(job.id, JobStatus.COMPLETED)
    if kept is None:
        return await _row(connection, _COMPLETE, values)
    return await _row(connection, _COMPLETE_AND_KEEP, values | asdict(kept))


async def has_webhooks(connection: AsyncConnection[Any], task_id: str) -> bool:
    """Return whether somebody is to be told of a job's end.

    To be asked once that is written: a webhook that comes meanwhile waits for this transaction, and one that came
    before is seen only by a statement that begins after that of the end.
    """
    return bool(await ask(connection, _HAS_WEBHOOKS, {"id": task_id}))


def _told(task_id: str, status: JobStatus) -> dict[str, str]:
    (notice,) = payloads(Notice(Kind.TASK, task_id, status.value))
    return {"channel": TASKS, "notice": notice}


async def _row(connection: AsyncConnection[Any], statement: str, values: dict[str, Any]) -> JobRow | None:
    found = await ask(connection, statement, values)
    return JobRow(**{name: value for name, value in found[0].items() if name in ROW}) if found else None
