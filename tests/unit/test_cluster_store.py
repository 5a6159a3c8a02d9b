"""The jobs of a cluster and their tickets, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from anyio import fail_after
from sqlalchemy import NullPool, select, text

from tests.backend import TABLES
from tests.postgres import Postgres
from whisperx_api.clustered import fits
from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs import postgres as postgres_module
from whisperx_api.jobs.admission import QueueFull, QueueLimits
from whisperx_api.jobs.cluster import host as host_module
from whisperx_api.jobs.cluster import store as store_module
from whisperx_api.jobs.cluster.host import Host
from whisperx_api.jobs.cluster.limits import ClusterLimits
from whisperx_api.jobs.cluster.locks import SharedLocks
from whisperx_api.jobs.cluster.notices import TASKS, Assembly, Ear, Kind, Notice, payloads
from whisperx_api.jobs.cluster.store import ClusterStore, Counts
from whisperx_api.jobs.cluster.workers import WorkerBook
from whisperx_api.jobs.database import Database, open_database
from whisperx_api.jobs.job import Job, JobStatus, KeptResult, Upload
from whisperx_api.jobs.live import Live
from whisperx_api.jobs.outbox import add_webhook
from whisperx_api.jobs.queue.tickets import Tickets
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.store import JobStore, StaleEpoch
from whisperx_api.jobs.tables import JobRow
from whisperx_api.jobs.webhooks import Webhook
from whisperx_api.jobs.worker import Worker
from whisperx_api.options import Options
from whisperx_api.settings import load_settings

NOBODY = Worker("w1", "here", 1, (), 2)


def job(owner: str = "ann", priority: int = 0, **options: str) -> Job:
    return Job(owner, replace(Options(), **options), Upload("a.wav", 4, "00", 1.0), priority=priority)


@dataclass
class Office:
    database: Database
    store: ClusterStore
    book: WorkerBook
    url: str
    number: int = 0

    async def took(self, worker: Worker = NOBODY, fit: Callable[[str], bool] | None = None) -> Job | None:
        taken = await self.store.take(worker.id, self.number, fit)
        return None if taken is None else taken[0]

    async def tickets(self) -> list[tuple[str, str]]:
        async with self.database.engine.connect() as connection:
            found = await connection.execute(
                text("SELECT queueing_lock, status::text FROM procrastinate_jobs ORDER BY id")
            )
            return [(row[0], row[1]) for row in found]


Test = Callable[[Office], Awaitable[None]]


@pytest.fixture
def in_office(postgres: Postgres, newest: str) -> Iterator[Callable[[Test], None]]:
    """Run a test with a store that knows one worker."""

    def run(test: Test) -> None:
        async def go() -> None:
            database = await open_database(newest)
            try:
                office = Office(database, ClusterStore(database, "large-v3"), WorkerBook(database), newest)
                office.number = await office.book.register(NOBODY)
                await test(office)
            finally:
                await database.dispose()

        asyncio.run(go())

    yield run
    postgres.empty(newest, TABLES)


def test_key_with_many_jobs_does_not_starve_one_with_a_single_job(in_office) -> None:
    async def test(office: Office) -> None:
        many = [await office.store.add(job("many")) for _ in range(30)]
        for _ in range(3):
            await office.took()
        single = await office.store.add(job("single"))
        others = [await office.store.add(job("other")) for _ in range(2)]
        (seen,) = await office.store.seen([single.id])
        assert seen.position == 1
        taken = [await office.took() for _ in range(6)]
        owners = [one.owner for one in taken if one]
        assert owners == ["many", "single", "other", "many", "other", "many"]
        assert [one.id for one in taken if one and one.owner == "other"] == [one.id for one in others]
        assert [one.id for one in taken if one and one.owner == "many"] == [one.id for one in many[3:6]]

    in_office(test)


def test_higher_priority_goes_first_whoever_waits(in_office) -> None:
    async def test(office: Office) -> None:
        low = await office.store.add(job(priority=-10))
        plain = await office.store.add(job())
        high = await office.store.add(job(priority=10))
        assert [one.id for one in [await office.took() for _ in range(3)] if one] == [high.id, plain.id, low.id]
        assert await office.took() is None

    in_office(test)


def test_every_state_of_a_job_has_its_ticket_or_none(in_office) -> None:
    async def test(office: Office) -> None:
        store = office.store
        one = await store.add(job())
        assert await office.tickets() == [(one.id, "todo")]
        run = await office.took()
        assert run is not None and run.epoch == 1 and run.worker == NOBODY.id
        assert await office.tickets() == [(one.id, "doing")]
        await store.hand_back(run, 0.5)
        assert await office.tickets() == [(one.id, "todo")]
        await store.cancel(one.id)
        assert await office.tickets() == []
        await store.retry(one.id)
        assert await office.tickets() == [(one.id, "todo")]
        run = await office.took()
        assert run is not None
        await store.fail(run, Stage.DECODE, "It can't be read.")
        assert await office.tickets() == []
        await store.retry(one.id)
        run = await office.took()
        assert run is not None
        await store.complete(run, {"assign": "assign.3.json"})
        assert await office.tickets() == []
        gone = await store.add(job())
        await store.delete(gone.id)
        assert await office.tickets() == []

    in_office(test)


def test_transaction_that_fails_leaves_neither_job_nor_ticket(in_office) -> None:
    async def refuse(session: object) -> None:
        raise QueueFull("full", own=False)

    async def test(office: Office) -> None:
        with pytest.raises(QueueFull):
            await office.store.add(job(), admit=refuse)
        assert await office.tickets() == [] and await office.store.ids() == set()

    in_office(test)


async def told_and_kept(office: Office, store: JobStore, begin: Callable[[Job], Awaitable[Job | None]]) -> list[object]:
    """Return what is on record once three jobs of the same work have come, been begun and ended: one is cached, and
    somebody is told of it."""
    for number, seconds in enumerate((60.0, 30.0, None)):
        one = replace(job(prompt="\0 is kept in JSON"), work="w" * 64, trace="00-a-b-01", fingerprint="f" * 64)
        hook = Webhook(one.id, "ann", "https://example.org/", "https://example.org", "whsec_a") if number == 1 else None
        await store.add(one, hook)
        run = await begin(one)
        assert run is not None and run.id == one.id
        run = await store.checkpoint(run, Stage.ASSIGN, f"assign.{number}.json", 0.9)
        kept = KeptResult("w" * 64, f"assign.{number}.json", 4, "s" * 64) if number < 2 else None
        ended = await store.complete(run, {"assign": f"assign.{number}.json"}, kept, number == 1, seconds)
        assert ended == await store.get(one.id)
        assert store.posted.is_set() == (number >= 1)
    tables: list[object] = []
    async with office.database.engine.connect() as connection:
        for table, order in (("jobs", "seq"), ("usage", "day"), ("results", "file"), ("webhook_messages", "seq")):
            rows = await connection.execute(text(f"SELECT * FROM {table} ORDER BY {order}"))
            tables += [
                (
                    table,
                    {name: seen(name, value) for name, value in row._mapping.items() if name not in ("worker", "turn")},
                )
                for row in rows
            ]
        used = (await connection.scalars(text("SELECT used_at FROM results"))).all()
    assert len(used) == 2 and len(set(used)) == 1, "the one before is in use with the newer one"
    return tables


def seen(name: str, value: object) -> object:
    """Return what is to be the same of two jobs that are the same: of a time or an id whether there is one."""
    return value is None if name.endswith("_at") or name in ("id", "seq", "task_id", "webhook_id", "body") else value


def test_usual_way_of_a_job_leaves_on_record_what_the_plain_store_does(in_office) -> None:
    async def test(office: Office) -> None:
        plain = JobStore(office.database)
        wanted = await told_and_kept(office, plain, lambda one: plain.start(one.id))
        async with office.database.engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {', '.join(TABLES)} CASCADE"))
        office.number = await office.book.register(NOBODY)
        ours = await told_and_kept(office, office.store, lambda one: office.took())
        assert ours == wanted
        assert len(ours) == 3 + 1 + 2 + 1
        assert await office.tickets() == []

    in_office(test)


def test_late_end_changes_nothing(in_office) -> None:
    async def test(office: Office) -> None:
        one = await office.store.add(replace(job(), work="w" * 64))
        run = await office.took()
        kept = KeptResult("w" * 64, "assign.1.json", 4, "s" * 64)
        assert run is not None
        await office.store.complete(run, {"assign": kept.file}, kept)
        assert one.id == run.id

        async def record() -> list[str]:
            async with office.database.engine.connect() as connection:
                tables = [(await connection.execute(text(f"SELECT * FROM {name}"))).all() for name in TABLES]
            return [str(rows) for rows in tables]

        before = await record()
        with pytest.raises(StaleEpoch):
            await office.store.complete(run, {"assign": "assign.2.json"}, kept)
        assert await record() == before

    in_office(test)


def test_webhook_that_comes_as_a_job_ends_is_told(in_office) -> None:
    async def test(office: Office) -> None:
        one = await office.store.add(job())
        run = await office.took()
        assert run is not None
        hook = Webhook(one.id, "ann", "https://example.org/", "https://example.org", "whsec_a")
        async with office.store.transaction() as session:
            await add_webhook(session, hook)
            await session.scalar(select(JobRow).where(JobRow.id == one.id).with_for_update())
            ending = asyncio.create_task(office.store.complete(run, {}))
            await waits_for_a_lock(office)
        with fail_after(20):
            await ending
        async with office.database.engine.connect() as connection:
            messages = await connection.scalars(text("SELECT webhook_id FROM webhook_messages"))
            assert messages.all() == [hook.id]

    in_office(test)


async def waits_for_a_lock(office: Office) -> None:
    """Return when somebody waits for a lock."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with fail_after(20):
        async with office.database.engine.connect() as connection:
            while not await connection.scalar(waiting):
                await connection.rollback()
                await asyncio.sleep(0.02)


def test_vanished_workers_job_waits_again_and_its_late_result_is_refused(in_office) -> None:
    async def test(office: Office) -> None:
        await office.store.add(job())
        run = await office.took()
        assert run is not None
        run = await office.store.at(run, Stage.TRANSCRIBE, 0.4, Live("Transcribing", 9.0, ((None, 12.5),)))
        assert not await office.store.rescue(30)
        (again,) = await office.store.rescue(-1)
        assert again.status is JobStatus.PENDING and again.progress == 0.4
        for late in (office.store.complete(run, {}), office.store.at(run, Stage.ALIGN, 0.9)):
            with pytest.raises(StaleEpoch):
                await late
        assert not await office.book.beat(NOBODY, office.number), "it is not known any more"
        office.number = await office.book.register(NOBODY)
        taken = await office.store.take(NOBODY.id, office.number)
        assert taken is not None and taken[0].epoch == 2
        assert taken[1] == Live("Transcribing", 9.0, ((None, 12.5),))
        with pytest.raises(StaleEpoch):
            await office.store.complete(run, {})

    in_office(test)


def test_ticket_given_back_while_the_vanished_are_looked_for_stays(in_office, monkeypatch) -> None:
    async def test(office: Office) -> None:
        one = await office.store.add(job())
        run = await office.took()
        assert run is not None
        look = Tickets.vanished

        async def meanwhile(tickets: Tickets, seconds: float) -> object:
            found = await look(tickets, seconds)
            await office.store.hand_back(run, 0.5)
            return found

        monkeypatch.setattr(Tickets, "vanished", meanwhile)
        assert not await office.store.rescue(-1)
        assert await office.tickets() == [(one.id, "todo")]

    in_office(test)


def test_job_that_is_being_changed_is_not_waited_for_with_its_ticket(in_office) -> None:
    async def test(office: Office) -> None:
        one = await office.store.add(job())
        async with office.store.transaction() as session:
            await session.scalar(select(JobRow).where(JobRow.id == one.id).with_for_update())
            with fail_after(5):
                assert await office.took() is None
            assert await office.tickets() == [(one.id, "todo")]
        taken = await office.took()
        assert taken is not None and taken.id == one.id

    in_office(test)


def test_worker_whose_number_is_gone_must_register_anew(in_office) -> None:
    async def test(office: Office) -> None:
        assert await office.book.beat(NOBODY, office.number)
        async with office.database.engine.begin() as connection:
            await connection.execute(text("DELETE FROM procrastinate_workers"))
        assert not await office.book.beat(NOBODY, office.number)

    in_office(test)


def test_retried_job_begins_with_nothing_said(in_office) -> None:
    async def test(office: Office) -> None:
        await office.store.add(job())
        run = await office.took()
        assert run is not None
        await office.store.at(run, Stage.TRANSCRIBE, 0.4, Live("Transcribing", 9.0, ((None, 12.5),)))
        await office.store.cancel(run.id)
        await office.store.retry(run.id)
        taken = await office.store.take(NOBODY.id, office.number)
        assert taken is not None and taken[1] is None

    in_office(test)


def test_job_whose_beginning_was_not_heard_of_waits_again(in_office, monkeypatch) -> None:
    monkeypatch.setattr(host_module, "BEAT_SECONDS", 0.05)

    async def test(office: Office) -> None:
        one = await office.store.add(job())
        host = host_of(office.store, office.book)
        await host.tell()
        assert await office.store.take(host.worker.id, office.number) is not None  # nobody was told of it
        assert await office.tickets() == [(one.id, "doing")]
        beating = asyncio.create_task(host.beat())
        with fail_after(10):
            while await office.tickets() != [(one.id, "todo")]:  # noqa: ASYNC110  # no ticket tells that it is there
                await asyncio.sleep(0.02)
        beating.cancel()

    in_office(test)


def test_workers_are_given_up_only_where_ones_own_beats_came_through(monkeypatch) -> None:
    monkeypatch.setattr(host_module, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(host_module, "VANISHED_SECONDS", 0.3)

    class Database:
        """What a worker asks of one that may be away."""

        away, judged = False, 0

        async def beat(self, worker: Worker, number: int) -> bool:
            if self.away:
                raise StoreUnavailable("away")
            return True

        async def rescue(self, seconds: float) -> list[Job]:
            self.judged += 1
            return []

        async def held(self, worker: str) -> list[Job]:
            return []

        async def capacity(self) -> int:
            return 1

    async def test() -> None:
        there = Database()
        beating = asyncio.create_task(host_of(there, there).beat())
        await asyncio.sleep(0.2)
        assert not there.judged
        there.away = True
        await asyncio.sleep(0.2)
        there.away = False
        await asyncio.sleep(0.2)
        assert not there.judged, "0.4 s after its first beat and 0.2 after the last one that failed"
        await asyncio.sleep(0.3)
        assert there.judged
        beating.cancel()

    asyncio.run(test())


def host_of(store: Any, book: Any) -> Host:
    """Return a worker that runs nothing."""
    nothing: Any = SimpleNamespace(moved=None)
    return Host(nothing, store, book, nothing, nothing, (), 1)


def test_ticket_of_a_worker_that_signed_off_in_the_middle_is_given_back(in_office) -> None:
    async def test(office: Office) -> None:
        one = await office.store.add(job())
        await office.took()
        await office.book.sign_off(NOBODY, office.number)
        assert [again.id for again in await office.store.rescue(30)] == [one.id]

    in_office(test)


def test_jobs_from_before_there_was_a_queue_are_adopted_in_their_order(in_office, monkeypatch) -> None:
    monkeypatch.setattr(store_module, "ADOPTED_AT_ONCE", 2)

    async def test(office: Office) -> None:
        plain = JobStore(office.database)
        jobs = [await plain.add(job()), await plain.add(job(priority=3)), await plain.add(job())]
        await plain.start(jobs[2].id)
        ended = await plain.add(job())
        await plain.cancel(ended.id)
        assert await office.took() is None
        assert await office.store.adopt() == 3
        assert await office.store.adopt() == 0
        order = [one.id for one in [await office.took() for _ in range(3)] if one]
        assert order == [jobs[1].id, jobs[0].id, jobs[2].id]

    in_office(test)


def test_worker_takes_jobs_of_queues_that_fit_alone(in_office, tmp_path) -> None:
    def fit(*queues: str, **settings: object) -> Callable[[str], bool] | None:
        return fits(load_settings(worker_queues=queues, model_dir=tmp_path, **settings))

    async def test(office: Office) -> None:
        plain = await office.store.add(job())
        german = await office.store.add(job(language="de"))
        tiny = await office.store.add(job(model="tiny", language="en"))
        assert fit() is None
        assert await office.took(fit=fit("base")) is None
        assert await office.took(fit=fit(whisper_auto_download=False)) is None, "it has no model"
        for queue, wanted in (("*:de", german), ("tiny", tiny), ("large-v3:auto", plain)):
            taken = await office.took(fit=fit(queue))
            assert taken is not None and taken.id == wanted.id

    in_office(test)


def test_job_that_a_single_server_had_in_work_meanwhile_blocks_nobody_and_is_adopted(in_office) -> None:
    async def test(office: Office) -> None:
        jobs = [await office.store.add(job()) for _ in range(3)]
        plain = JobStore(office.database)
        for one in jobs[:2]:
            await plain.start(one.id)
        taken = await office.took()
        assert taken is not None and taken.id == jobs[2].id
        await plain.cancel(jobs[0].id)
        await plain.retry(jobs[0].id)
        await plain.start(jobs[0].id)
        assert await office.store.adopt() == 2
        again = [one.id for one in [await office.took() for _ in range(2)] if one]
        assert again == [jobs[0].id, jobs[1].id]
        assert await office.took() is None

    in_office(test)


def test_single_servers_job_with_a_ticket_of_before_is_adopted(in_office) -> None:
    async def test(office: Office) -> None:
        one = await office.store.add(job())
        await JobStore(office.database).start(one.id)
        assert await office.store.adopt() == 1
        assert await office.tickets() == [(one.id, "todo")]
        assert await office.took() is not None

    in_office(test)


def test_fifty_at_once_take_each_job_once(in_office) -> None:
    async def test(office: Office) -> None:
        jobs = {(await office.store.add(job(f"owner{number % 5}"))).id for number in range(40)}
        taken = await asyncio.gather(*(office.took() for _ in range(50)))
        assert sorted(one.id for one in taken if one) == sorted(jobs)

    in_office(test)


def test_queue_that_is_nearly_full_is_counted_exactly(in_office) -> None:
    async def test(office: Office) -> None:
        limits = ClusterLimits(QueueLimits(5, 3))

        async def send(owner: str) -> bool:
            try:
                await office.store.add(job(owner), admit=limits.admit(owner))
            except QueueFull:
                return False
            return True

        sent = await asyncio.gather(*(send("ann") for _ in range(8)), *(send("bob") for _ in range(8)))
        assert sum(sent[:8]) <= 3 and sum(sent) == 5
        limits.counts = await office.store.counts()
        assert limits.counts == Counts({"ann": sum(sent[:8]), "bob": sum(sent[8:])}, 0)
        with pytest.raises(QueueFull):
            limits.check("eve")

    in_office(test)


def test_lock_is_held_by_one_of_two_servers(in_office) -> None:
    async def test(office: Office) -> None:
        alone = postgres_module.connect(office.url, poolclass=NullPool)
        first, second, order = SharedLocks(alone), SharedLocks(alone), []

        async def late() -> None:
            async with second.held("a key"):
                order.append("second")

        async with first.held("a key"):
            waiting = asyncio.create_task(late())
            async with second.held("another key"):
                await asyncio.sleep(0.2)
            order.append("first")
        await waiting
        assert order == ["first", "second"]

    in_office(test)


def test_notice_is_heard_by_who_listens_long_ones_too(in_office) -> None:
    async def test(office: Office) -> None:
        alone, there = postgres_module.connect(office.url, poolclass=NullPool), asyncio.Event()
        heard: asyncio.Queue[Notice] = asyncio.Queue()
        ear = asyncio.create_task(Ear(alone, TASKS, heard.put_nowait, there.set)())
        with fail_after(20):
            await there.wait()
            long = Notice(Kind.SEGMENT, "task", {"text": 'é"\\' * 20_000})
            await office.store.say(TASKS, long)
            one = await office.store.add(job())
            await office.store.cancel(one.id)
            assert await heard.get() == long
            assert await heard.get() == Notice(Kind.TASK, one.id, "cancelled")
        ear.cancel()
        await asyncio.gather(ear, return_exceptions=True)

    in_office(test)


def test_notice_in_parts_is_put_together_whatever_comes_between() -> None:
    long = [Notice(Kind.SEGMENT, name, {"text": name * 9000}) for name in ("x", "ü")]
    parts = [list(payloads(notice)) for notice in long]
    assert all(len(part.encode()) < 8000 for whole in parts for part in whole) and all(len(p) > 1 for p in parts)
    assembly, whole = Assembly(), []
    mixed = [part for pair in zip(*parts, strict=False) for part in pair] + parts[1][len(parts[0]) :]
    for part in [*mixed, *payloads(Notice(Kind.TASK, "t"))]:
        if (notice := assembly.take(part)) is not None:
            whole.append(notice)
    assert sorted(notice.about for notice in whole) == ["t", "x", "ü"]
    assert [notice for notice in whole if notice.about == "x"] == [long[0]]
