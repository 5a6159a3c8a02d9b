"""What is counted of the jobs that end, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone

import pytest
from sqlalchemy import event

from whisperx_api.jobs import store as store_module
from whisperx_api.jobs.database import Database, open_database
from whisperx_api.jobs.job import Job, JobStatus, Upload
from whisperx_api.jobs.store import JobStore, StaleEpoch
from whisperx_api.jobs.usage import Usage, UsageBook
from whisperx_api.options import Options

UPLOAD = Upload("meeting.wav", 32044, "ab" * 32, 30.0)
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
TODAY = NOON.date()


@dataclass
class Office:
    database: Database
    store: JobStore
    book: UsageBook

    async def job(self, owner: str = "ann", upload: Upload = UPLOAD) -> Job:
        """Put a job on record that is in work."""
        started = await self.store.start((await self.store.add(Job(owner, Options(), upload))).id)
        assert started is not None
        return started

    async def used(self, owner: str | None = None, first: date = TODAY, last: date = date.max) -> list[Usage]:
        return list(await self.book.days(first, last, owner, 100))


@pytest.fixture
def in_office(database_url: str, monkeypatch) -> Callable[[Callable[[Office], Awaitable[None]]], None]:
    def run(test: Callable[[Office], Awaitable[None]]) -> None:
        async def go() -> None:
            database = await open_database(database_url)
            await test(Office(database, JobStore(database), UsageBook(database)))
            await database.dispose()

        asyncio.run(go())

    monkeypatch.setattr(store_module, "utc_now", lambda: NOON)
    return run


def test_ends_of_jobs_add_up_by_owner_and_cached_ones_apart(in_office) -> None:
    async def test(office: Office) -> None:
        await office.store.complete(await office.job(), {}, seconds=29.5)
        await office.store.complete(await office.job(), {})  # as long as its file states
        await office.store.complete(await office.job(), {}, seconds=0.0)
        await office.store.complete(await office.job(), {}, cached=True, seconds=29.5)
        await office.store.fail(await office.job(), None, "no luck")
        await office.store.cancel((await office.job()).id)
        await office.store.hand_back(await office.job(), 0.5)
        await office.store.complete(await office.job("ben", replace(UPLOAD, duration=None)), {})
        ann, ben = Usage(TODAY, "ann", 3, 1, 1, 59.5, 29.5), Usage(TODAY, "ben", 1, 0, 0, 0.0, 0.0)
        assert await office.used() == [ann, ben]
        assert await office.used("ben") == [ben]

    in_office(test)


def test_job_that_is_completed_from_the_start_is_counted(in_office) -> None:
    async def test(office: Office) -> None:
        job = Job("ann", Options(), UPLOAD, status=JobStatus.COMPLETED, cached=True, completed_at=NOON)
        await office.store.add(job, seconds=29.5)
        assert await office.used() == [Usage(TODAY, "ann", cached=1, cached_seconds=29.5)]

    in_office(test)


def test_failed_job_that_is_retried_and_completed_is_both(in_office) -> None:
    async def test(office: Office) -> None:
        failed = await office.store.fail(await office.job(), None, "no luck")
        await office.store.retry(failed.id)
        again = await office.store.start(failed.id)
        assert again is not None
        await office.store.complete(again, {})
        assert await office.used() == [Usage(TODAY, "ann", 1, 1, 0, 30.0)]

    in_office(test)


def test_deleted_jobs_stay_counted(in_office) -> None:
    async def test(office: Office) -> None:
        job = await office.store.complete(await office.job(), {})
        await office.store.delete(job.id)
        assert await office.store.ids() == set()
        assert await office.used() == [Usage(TODAY, "ann", 1, seconds=30.0)]

    in_office(test)


def test_end_and_its_count_are_written_together_or_not_at_all(in_office) -> None:
    async def test(office: Office) -> None:
        job = await office.job()

        def cut(connection, cursor, statement: str, *rest: object) -> None:
            if statement == "COMMIT" or statement.startswith("INSERT INTO usage"):
                raise RuntimeError("the power is cut")

        event.listen(office.database.engine.sync_engine, "after_cursor_execute", cut)
        with pytest.raises(RuntimeError, match="the power is cut"):
            await office.store.complete(job, {})
        event.remove(office.database.engine.sync_engine, "after_cursor_execute", cut)
        assert await office.store.get(job.id) == job and await office.used() == []
        await office.store.complete(job, {})
        with pytest.raises(StaleEpoch):
            await office.store.complete(job, {})
        assert await office.used() == [Usage(TODAY, "ann", 1, seconds=30.0)]

    in_office(test)


def test_ends_at_once_are_all_counted(in_office) -> None:
    async def test(office: Office) -> None:
        jobs = [await office.job() for _ in range(20)]
        await asyncio.gather(*(office.store.complete(job, {}) for job in jobs))
        assert await office.used() == [Usage(TODAY, "ann", 20, seconds=600.0)]

    in_office(test)


def test_day_is_that_of_the_end_in_utc(in_office, monkeypatch) -> None:
    async def test(office: Office) -> None:
        east = timezone(timedelta(hours=9))
        for moment in (
            datetime(2026, 3, 1, 23, 59, 59, tzinfo=timezone.utc), datetime(2026, 3, 2, tzinfo=timezone.utc),
            datetime(2026, 3, 4, 8, 59, tzinfo=east),  # of the third, in UTC
        ):  # fmt: skip
            job = await office.job()
            monkeypatch.setattr(store_module, "utc_now", lambda moment=moment: moment)
            await office.store.complete(job, {})
        days = [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]
        assert [usage.day for usage in await office.used()] == days
        assert [usage.day for usage in await office.used(first=days[1], last=days[1])] == [days[1]]
        assert len(await office.book.days(days[0], days[2], None, 2)) == 2

    in_office(test)
