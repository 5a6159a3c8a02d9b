"""`/api/v1/usage`: what each key's name has had transcribed, by day."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from whisperx_api.api.auth import Admin
from whisperx_api.api.errors import PROBLEMS, ApiError, bad_parameter
from whisperx_api.api.parts import PartsOf

router = APIRouter(prefix="/api/v1/usage", tags=["operations"], responses=PROBLEMS)

DAYS = 31
"""How many days are told of where only the last of them is known."""
MAX_ENTRIES = 10_000
"""In one answer: of a year of thirty keys that are used every day."""


class UsageEntry(BaseModel):
    """What ended on one day of the tasks of one key's name."""

    day: date = Field(description="In UTC.")
    key: str = Field(description="Name of the key, or of several with one name.")
    seconds: float = Field(description="Of audio in the completed tasks.")
    completed: int = Field(description="Tasks that were transcribed.")
    failed: int = Field(description="Tasks that failed; one that was retried and fails again counts again.")
    cached: int = Field(description="Tasks that got a transcript which was there already, or came from another task.")
    cached_seconds: float = Field(description="Of audio in those.")


class UsageReport(BaseModel):
    """What was used from one day to another, both included; days on which nothing ended are left out."""

    first: date = Field(serialization_alias="from")
    last: date = Field(serialization_alias="to")
    usage: list[UsageEntry]


@router.get("", response_model=UsageReport)
async def usage(
    parts: PartsOf,
    caller: Admin,
    first: Annotated[date | None, Query(alias="from")] = None,
    last: Annotated[date | None, Query(alias="to")] = None,
    key: Annotated[str | None, Query(max_length=64)] = None,
) -> UsageReport:
    """Seconds of audio and numbers of tasks, by key and by the day on which they ended; needs the scope admin.

    Without `to` up to today, without `from` about the 31 days up to `to`. Tasks that are deleted stay counted."""
    last = last or datetime.now(timezone.utc).date()
    first = first or last - min(timedelta(DAYS - 1), last - date.min)
    if first > last:
        raise bad_parameter("from", f"from ({first}) must not be later than to ({last}).")
    entries = await parts.usage.days(first, last, key, MAX_ENTRIES + 1)
    if len(entries) > MAX_ENTRIES:
        raise ApiError(
            HTTPStatus.BAD_REQUEST, f"That is more than {MAX_ENTRIES} entries: ask for fewer days, or for one key.",
            param="from",
        )  # fmt: skip
    return UsageReport(
        first=first,
        last=last,
        usage=[
            UsageEntry(
                day=entry.day,
                key=entry.owner,
                seconds=round(entry.seconds, 3),
                completed=entry.completed,
                failed=entry.failed,
                cached=entry.cached,
                cached_seconds=round(entry.cached_seconds, 3),
            )
            for entry in entries
        ],
    )
