"""What each key's name has used, by day: counted in the transaction that ends a job, so that it outlives the job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, timezone
from typing import Any

from sqlalchemy import Date, bindparam, select, text
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


def add_to_usage(source: str, parameter: str) -> str:
    """Return the statement that counts what was used, as both SQLite and PostgreSQL have it.

    `source` is where the values come from, `parameter` how the driver writes one, each with {} for what it is.
    """
    names = [field.name for field in fields(Usage)]
    more = ", ".join(f"{name} = usage.{name} + excluded.{name}" for name in COUNTS)
    values = source.format(", ".join(parameter.format(name) for name in names))
    return f"INSERT INTO usage ({', '.join(names)}) {values} ON CONFLICT (day, owner) DO UPDATE SET {more}"  # nosec B608  # names of columns


_ADD = text(add_to_usage("VALUES ({})", ":{}")).bindparams(bindparam("day", type_=Date))


async def count_ends(session: AsyncSession, rows: Sequence[JobRow], seconds: float | None = None) -> None:
    """Count the jobs that end in this transaction. Their audio is `seconds` long, or as their files state it."""
    for row in rows:
        if row.status not in ("completed", "failed"):
            continue
        assert row.completed_at is not None
        length = seconds if seconds is not None else row.upload.get("duration")
        usage = usage_of(row.status, row.completed_at, row.owner, row.cached, length)
        await session.execute(_ADD, asdict(usage))


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


def usage_of(status: str, ended: datetime, owner: str, cached: bool, seconds: float | None) -> Usage:
    """Return what one job counts that is completed, or has failed."""
    day = ended.astimezone(timezone.utc).date()
    if status == "failed":
        return Usage(day, owner, failed=1)
    if cached:
        return Usage(day, owner, cached=1, cached_seconds=seconds or 0.0)
    return Usage(day, owner, completed=1, seconds=seconds or 0.0)


def _counts(usage: Usage | UsageRow) -> dict[str, Any]:
    return {name: getattr(usage, name) for name in COUNTS}
