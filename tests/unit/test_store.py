"""Jobs in the database: who may change what, and what an older run may not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from whisperx_api.engine.protocol import Stage
from whisperx_api.errors import StartError
from whisperx_api.jobs.database import Database, DatabaseUnusable, open_database
from whisperx_api.jobs.job import Job, JobStatus, Upload
from whisperx_api.jobs.store import JobStore, StaleEpoch
from whisperx_api.jobs.tables import REVISION, Base
from whisperx_api.options import Options, Task

UPLOAD = Upload("meeting.wav", 32044, "ab" * 32, 1.0)


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    opened = await open_database(url)
    yield opened
    await opened.dispose()


@pytest.fixture
def on_store(database_url: str) -> Callable[[Callable[[JobStore], Awaitable[None]]], None]:
    def run(test: Callable[[JobStore], Awaitable[None]]) -> None:
        async def go() -> None:
            async with database(database_url) as opened:
                await test(JobStore(opened))

        asyncio.run(go())

    return run


def sqlite(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'jobs.db'}"


def job(**values) -> Job:
    return Job(**{"owner": "ann", "options": Options(), "upload": UPLOAD} | values)


def test_job_is_read_as_it_was_stored(on_store) -> None:
    async def test(store: JobStore) -> None:
        options = Options(language="de", task=Task.TRANSLATE, num_speakers=2, prompt="Köln, 5 €")
        stored = await store.add(job(options=options, idempotency_key="k", fingerprint="f", priority=3))
        assert await store.get(stored.id) == stored
        assert stored.options == options
        assert stored.created_at.tzinfo is not None
        assert await store.get("nobody") is None

    on_store(test)


def test_start_makes_a_new_epoch_and_only_pending_jobs_start(on_store) -> None:
    async def test(store: JobStore) -> None:
        stored = await store.add(job())
        first = await store.start(stored.id)
        assert first is not None
        assert (first.status, first.epoch) == (JobStatus.PROCESSING, 1)
        assert await store.start(stored.id) is None
        second = await store.start((await store.hand_back(first, 0.5)).id)
        assert second is not None
        assert second.epoch == 2
        assert second.started_at == first.started_at

    on_store(test)


def test_what_an_older_run_says_is_refused(on_store) -> None:
    async def test(store: JobStore) -> None:
        old = await store.start((await store.add(job())).id)
        assert old is not None
        await store.hand_back(old, 0.5)
        new = await store.start(old.id)
        assert new is not None
        for late in (
            store.checkpoint(old, Stage.DECODE, "decode.1.json", 0.5), store.complete(old, {}),
            store.fail(old, None, "no"), store.hand_back(old, 0.5), store.at(old, Stage.ALIGN, 0.9),
            store.failed_attempt(old, Stage.ALIGN),
        ):  # fmt: skip
            with pytest.raises(StaleEpoch):
                await late
        assert await store.get(new.id) == new

    on_store(test)


def test_cancelled_job_takes_nothing_more_from_its_run(on_store) -> None:
    async def test(store: JobStore) -> None:
        running = await store.start((await store.add(job())).id)
        assert running is not None
        cancelled = await store.cancel(running.id)
        assert cancelled is not None
        assert cancelled.status is JobStatus.CANCELLED
        assert cancelled.completed_at is not None
        with pytest.raises(StaleEpoch):
            await store.complete(running, {})
        assert await store.cancel(running.id) is None

    on_store(test)


def test_deleted_job_takes_nothing_more_either(on_store) -> None:
    async def test(store: JobStore) -> None:
        running = await store.start((await store.add(job())).id)
        assert running is not None
        await store.delete(running.id)
        with pytest.raises(StaleEpoch):
            await store.checkpoint(running, Stage.DECODE, "decode.1.json", 0.5)
        assert await store.ids() == set()

    on_store(test)


def test_checkpoints_add_up_and_clear_the_failures_of_their_stage(on_store) -> None:
    async def test(store: JobStore) -> None:
        running = await store.start((await store.add(job())).id)
        assert running is not None
        for stage in (Stage.TRANSCRIBE, Stage.DIARIZE, Stage.TRANSCRIBE):
            running = await store.failed_attempt(running, stage)
        assert running.failures == {"transcribe": 2, "diarize": 1}
        running = await store.checkpoint(running, Stage.DECODE, "decode.1.json", 0.5)
        running = await store.checkpoint(running, Stage.TRANSCRIBE, "transcribe.1.json", 0.5)
        assert running.failures == {"diarize": 1}
        assert running.checkpoints == {"decode": "decode.1.json", "transcribe": "transcribe.1.json"}

    on_store(test)


def test_retry_takes_failed_and_cancelled_jobs_only_and_keeps_checkpoints(on_store) -> None:
    async def test(store: JobStore) -> None:
        running = await store.start((await store.add(job())).id)
        assert running is not None
        assert await store.retry(running.id) is None
        running = await store.checkpoint(running, Stage.DECODE, "decode.1.json", 0.5)
        await store.fail(await store.failed_attempt(running, Stage.TRANSCRIBE), Stage.TRANSCRIBE, "no luck")
        again = await store.retry(running.id)
        assert again is not None
        assert (again.status, again.error, again.failures) == (JobStatus.PENDING, None, {})
        assert again.checkpoints == {"decode": "decode.1.json"}

    on_store(test)


def test_recover_gives_back_the_unfinished_in_their_order(on_store) -> None:
    async def test(store: JobStore) -> None:
        low = await store.add(job(priority=-1))
        first, second = await store.add(job()), await store.add(job())
        high = await store.add(job(priority=5))
        ended = await store.add(job())
        await store.cancel(ended.id)
        await store.start(second.id)
        recovered = await store.recover()
        assert [found.id for found in recovered] == [high.id, first.id, second.id, low.id]
        assert {found.status for found in recovered} == {JobStatus.PENDING}

    on_store(test)


def test_idempotency_key_is_the_owners_and_ends_after_a_day(on_store) -> None:
    async def test(store: JobStore) -> None:
        now = datetime.now(timezone.utc)
        await store.add(job(idempotency_key="old", created_at=now - timedelta(hours=25)))
        fresh = await store.add(job(idempotency_key="new", created_at=now - timedelta(hours=23)))
        assert await store.by_idempotency_key("ann", "old") is None
        assert await store.by_idempotency_key("ann", "new") == fresh
        assert await store.by_idempotency_key("ben", "new") is None

    on_store(test)


def test_expired_are_those_that_ended_before(on_store) -> None:
    async def test(store: JobStore) -> None:
        waiting, ended = await store.add(job()), await store.add(job())
        await store.cancel(ended.id)
        soon = datetime.now(timezone.utc) + timedelta(seconds=1)
        assert await store.expired(soon) == [ended.id]
        assert await store.expired(soon - timedelta(hours=1)) == []
        assert waiting.id in await store.ids()

    on_store(test)


def test_many_at_once_start_a_job_once(on_store) -> None:
    async def test(store: JobStore) -> None:
        stored = await store.add(job())
        started = await asyncio.gather(*(store.start(stored.id) for _ in range(20)))
        assert sum(run is not None for run in started) == 1

    on_store(test)


def test_migrations_make_the_tables_that_the_code_uses(database_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    ours = {"include_name": lambda name, kind, parents: not str(name).startswith("procrastinate_")}

    async def go() -> None:
        async with database(database_url) as opened, opened.engine.connect() as connection:
            differences = await connection.run_sync(
                lambda plain: compare_metadata(MigrationContext.configure(plain, opts=ours), Base.metadata)
            )
            assert differences == []

    asyncio.run(go())


def test_what_sqlite_has_committed_survives_a_power_cut(tmp_path: Path) -> None:
    async def go() -> None:
        async with database(sqlite(tmp_path)) as opened, opened.engine.connect() as connection:
            pragmas = {
                name: (await connection.execute(text(f"PRAGMA {name}"))).scalar()
                for name in ("journal_mode", "synchronous")
            }
            assert pragmas == {"journal_mode": "wal", "synchronous": 2}

    asyncio.run(go())


def test_failures_counted_before_stages_ran_side_by_side_are_those_of_the_stage_at_work(tmp_path: Path) -> None:
    from alembic import command

    from whisperx_api.jobs import migrate

    def old_schema(connection: Connection) -> None:
        command.upgrade(migrate.configuration(connection), "0001")
        for number, failures in ((1, 2), (2, 0)):
            connection.execute(
                text(
                    "INSERT INTO jobs (id, owner, status, priority, epoch, options, upload, checkpoints, stage, "
                    "progress, failures, created_at) VALUES (:id, 'ann', 'pending', 0, 1, '{}', '{}', '{}', 'align', "
                    "0.5, :failures, '2026-01-01')"
                ),
                {"id": f"job-{number}", "failures": failures},
            )
        connection.commit()

    async def go() -> None:
        plain = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'jobs.db'}")
        async with plain.connect() as connection:
            await connection.run_sync(old_schema)
        await plain.dispose()
        async with database(sqlite(tmp_path)) as opened, opened.engine.connect() as connection:
            found = (await connection.execute(text("SELECT id, failures FROM jobs ORDER BY seq"))).all()
            assert [(row.id, json.loads(row.failures)) for row in found] == [("job-1", {"align": 2}), ("job-2", {})]
            made = await connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = 'jobs'"))
            assert "AUTOINCREMENT" in made  # a number is never given twice, so pages of the list stay right

    asyncio.run(go())


def test_database_of_the_newest_schema_is_opened_without_alembic(tmp_path: Path, monkeypatch) -> None:
    from alembic.script import ScriptDirectory

    from whisperx_api.jobs import migrate

    async def go() -> None:
        async with database(sqlite(tmp_path)) as opened, opened.engine.connect() as connection:
            configuration = await connection.run_sync(migrate.configuration)
            assert ScriptDirectory.from_config(configuration).get_current_head() == REVISION
        monkeypatch.setattr(migrate, "upgrade", lambda connection: pytest.fail("there is nothing to upgrade"))
        async with database(sqlite(tmp_path)):
            pass

    asyncio.run(go())


def test_database_of_a_newer_version_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async def go() -> None:
        async with database(sqlite(tmp_path)) as opened, opened.engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StartError, match="made by a newer version"):
            await open_database(f"sqlite+aiosqlite:///{tmp_path / 'jobs.db'}")

    asyncio.run(go())


@pytest.mark.parametrize("url", ["mongodb://127.0.0.1", "sqlite:///jobs.db", "nothing", "nodriver+x:///y"])
def test_database_url_that_means_nothing_is_refused_with_its_name(url: str) -> None:
    with pytest.raises(DatabaseUnusable, match="DATABASE_URL can't be used"):
        asyncio.run(open_database(url))


def test_file_that_is_no_database_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(b"this is not a database" * 100)

    async def go() -> None:
        with pytest.raises(DatabaseUnusable, match=f"The database {path} can't be used: file is not a database. It is"):
            await open_database(f"sqlite+aiosqlite:///{path}")

    asyncio.run(go())


def replace_by_folder(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    path.mkdir()


def test_database_that_is_gone_is_told(tmp_path: Path) -> None:
    async def go() -> None:
        async with database(sqlite(tmp_path)) as opened:
            store = JobStore(opened)
            assert await store.fault() is None
            await opened.dispose()
            replace_by_folder(tmp_path / "jobs.db")
            assert "unable to open" in (await store.fault() or "")

    asyncio.run(go())


def test_cancellation_is_heard_at_any_moment_of_a_change(on_store) -> None:
    async def test(store: JobStore) -> None:
        async def work() -> None:
            while True:
                async with store.transaction():
                    await asyncio.sleep(0)
                await asyncio.sleep(0)

        for steps in range(60):
            worker = asyncio.create_task(work())
            for _ in range(steps):
                await asyncio.sleep(0)
            worker.cancel()
            await asyncio.wait([worker], timeout=5)
            assert worker.cancelled(), f"not after {steps} steps"

    on_store(test)
