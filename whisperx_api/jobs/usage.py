"""What each key's name has used, by day: counted in the transaction that ends a job, so that it outlives the job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timezone
from importlib import import_module
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from whisperx_api.jobs.sessions import Sessions
from whisperx_api.jobs.tables import JobRow, UsageRow

COUNTS = ("completed", "failed", "cached", "seconds", "cached_seconds")


@dataclass(frozen=True)
class Usage:
    """What ended on one day (UTC) of the jobs of one owner.

    `completed` jobs were transcribed here, `seconds` of audio in all; `cached` ones, of `cached_seconds`, got the
    transcript of another. A job that fails, is retried and completed counts as both.
    """

    day: date
    owner: str
    completed: int = 0
    failed: int = 0
    cached: int = 0
    seconds: float = 0.0
    cached_seconds: float = 0.0


async def count_ends(session: AsyncSession, rows: Sequence[JobRow], seconds: float | None = None) -> None:
    """Count the jobs that end in this transaction. Their audio is `seconds` long, or as their files state it."""
    for usage in [_of(row, seconds) for row in rows if row.status in ("completed", "failed")]:
        of_it = (UsageRow.day == usage.day, UsageRow.owner == usage.owner)
        more = {name: getattr(UsageRow, name) + count for name, count in _counts(usage).items()}
        change = update(UsageRow).where(*of_it).values(more).returning(UsageRow.day)
        found = await session.execute(change.execution_options(synchronize_session=False))
        if found.first() is None:  # the first of its day, here at least: SQLAlchemy compiles this one anew each time
            insert = _insert(session)(UsageRow).values(day=usage.day, owner=usage.owner, **_counts(usage))
            await session.execute(insert.on_conflict_do_update(index_elements=["day", "owner"], set_=more))


class UsageBook(Sessions):
    """Reads what was counted."""

    async def days(self, first: date, last: date, owner: str | None, limit: int) -> Sequence[Usage]:
        """Return at most `limit` entries from the day `first` to `last`, in order: of one owner, or of all."""
        of_days = select(UsageRow).where(UsageRow.day >= first, UsageRow.day <= last)
        query = of_days.order_by(UsageRow.day, UsageRow.owner).limit(limit)
        if owner is not None:
            query = query.where(UsageRow.owner == owner)
        rows = await self.read(lambda session: session.scalars(query).all())
        return [Usage(row.day, row.owner, **_counts(row)) for row in rows]


def _of(row: JobRow, seconds: float | None) -> Usage:
    assert row.completed_at is not None
    day = row.completed_at.astimezone(timezone.utc).date()
    length = seconds if seconds is not None else row.upload.get("duration") or 0.0
    if row.status == "failed":
        return Usage(day, row.owner, failed=1)
    if row.cached:
        return Usage(day, row.owner, cached=1, cached_seconds=length)
    return Usage(day, row.owner, completed=1, seconds=length)


def _counts(usage: Usage | UsageRow) -> dict[str, Any]:
    return {name: getattr(usage, name) for name in COUNTS}


def _insert(session: AsyncSession) -> Any:
    """Return the database's own `insert`: SQLite and PostgreSQL both know ON CONFLICT, standard SQL does not."""
    return import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}").insert
