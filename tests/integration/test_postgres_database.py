"""The database on PostgreSQL: starts at once, faults in a sentence, lost connections, two servers' messages."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url, text

from tests.conftest import ROOT
from tests.postgres import PASSWORD, Postgres, running
from whisperx_api.errors import StartError
from whisperx_api.jobs import migrate
from whisperx_api.jobs import postgres as postgres_module
from whisperx_api.jobs.database import DatabaseUnusable, open_database
from whisperx_api.jobs.job import Job, Upload
from whisperx_api.jobs.outbox import LEASE, Outbox
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.store import JobStore
from whisperx_api.jobs.tables import REVISION
from whisperx_api.jobs.webhooks import Answer, Webhook, new_secret
from whisperx_api.options import Options

OPENS = "import asyncio, sys; from whisperx_api.jobs.database import open_database as o; asyncio.run(o(sys.argv[1]))"
MISHAP = "\n\n_sound = upgrade\n\n\ndef upgrade() -> None:\n    _sound()\n    raise RuntimeError('there is no room')\n"


def new_job() -> Job:
    return Job("ann", Options(), Upload("meeting.wav", 32044, "ab" * 32, 1.0))


def tables(postgres: Postgres, url: str) -> list[tuple[str, ...]]:
    """Return every column of every table."""
    with postgres.connect(make_url(url).database or "") as connection:
        return connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
            "ORDER BY 1, 2"
        ).fetchall()


@pytest.fixture
def empty(postgres: Postgres) -> str:
    """A database in which nothing is."""
    return postgres.new_database()


@pytest.fixture
def own():
    """A PostgreSQL for a test that stops it."""
    with running() as server:
        yield server


# --- the schema ---


def test_servers_that_start_at_once_make_one_schema(postgres: Postgres, empty: str) -> None:
    servers = [
        subprocess.Popen([sys.executable, "-c", OPENS, empty], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    said = [server.communicate(timeout=60)[1] for server in servers]
    assert [server.returncode for server in servers] == [0] * 6, said
    with postgres.connect(make_url(empty).database or "") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISION,)]


@pytest.mark.parametrize("earlier", [None, *migrate.revisions()[:-1]])
def test_upgrade_that_fails_leaves_postgres_as_it_was(
    postgres: Postgres, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: str | None
) -> None:
    async def to(revision: str) -> None:
        from alembic import command

        engine = postgres_module.connect(empty)
        async with engine.begin() as connection:
            await connection.run_sync(lambda plain: command.upgrade(migrate.configuration(plain), revision))
        await engine.dispose()

    if earlier:
        asyncio.run(to(earlier))
    before = tables(postgres, empty)
    sound, broken = migrate.migrations, tmp_path / "migrations"
    shutil.copytree(sound(), broken)
    (last,) = (broken / "versions").glob(f"{REVISION}_*.py")
    last.write_text(last.read_text() + MISHAP)
    monkeypatch.setattr(migrate, "migrations", lambda: broken)
    with pytest.raises(
        StartError, match=f"from migration {earlier or 'none'} to .* there is no room .* It is as it was"
    ):
        asyncio.run(open_database(empty))
    assert tables(postgres, empty) == before
    monkeypatch.setattr(migrate, "migrations", sound)
    asyncio.run(open_and_close(empty))
    assert ("workers", "seen_at", "timestamp with time zone") in tables(postgres, empty)


async def open_and_close(url: str) -> None:
    await (await open_database(url)).dispose()


def test_schema_of_a_newer_version_is_refused_by_postgres_too(postgres: Postgres, empty: str) -> None:
    asyncio.run(open_and_close(empty))
    with postgres.connect(make_url(empty).database or "") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StartError, match="made by a newer version"):
        asyncio.run(open_database(empty))


# --- what keeps a server from starting ---


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"password": "a-wrong-one"},
            "password authentication failed .* Put the right user and password into DATABASE_URL",
        ),
        ({"username": "nobody"}, "password authentication failed .* Put the right user and password into DATABASE_URL"),
        ({"database": "missing"}, 'database "missing" does not exist. Make it with `createdb`'),
        ({"port": 9}, "refused.* Start it, or name the right host and port in DATABASE_URL"),
        ({"host": "nowhere.invalid"}, "nowhere.invalid.* Start it, or name the right host and port in DATABASE_URL"),
        ({"query": {"port": "no"}}, "can't be used"),
    ],
)
def test_postgres_that_can_not_be_used_is_told_in_a_sentence(postgres: Postgres, change: dict, sentence: str) -> None:
    parsed = make_url(postgres.url)._replace(**change)
    with pytest.raises(DatabaseUnusable) as refused:
        asyncio.run(open_database(parsed.render_as_string(hide_password=False)))
    said = str(refused.value)
    assert re.search(sentence, said), said
    assert "\n" not in said and PASSWORD not in said and "a-wrong-one" not in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://ann:s3@cr3t@host/name",
        "postgres:s3cr3t",
        "postgresql+psycopg://ann@host:s3cr3t/name",
        "postgresql+x://a:s3cr3t@b/c",
    ],
)
def test_url_that_can_not_be_read_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(DatabaseUnusable, match="DATABASE_URL can't be used") as refused:
        asyncio.run(open_database(url))
    assert "cr3t" not in str(refused.value) and "s3" not in str(refused.value)


def test_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatabaseUnusable, match=r"pip install '\.\[cluster\]'"):
        asyncio.run(open_database("postgresql+psycopg://ann@127.0.0.1/name"))


def test_driver_is_loaded_for_postgres_alone(tmp_path: Path) -> None:
    code = f"{OPENS}; assert 'psycopg' not in sys.modules"
    command = [sys.executable, "-c", code, f"sqlite+aiosqlite:///{tmp_path / 'jobs.db'}"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)


# --- lost connections ---


def test_store_goes_on_when_postgres_is_back(own: Postgres) -> None:
    """Nobody who asks after it is back meets a connection from before."""

    async def test() -> None:
        opened = await open_database(own.new_database())
        store = JobStore(opened)
        try:
            for end in (own.stop, own.kill):
                stored = await asyncio.gather(*(store.add(new_job()) for _ in range(4)))
                await asyncio.gather(*(store.get(job.id) for job in stored))
                end()
                with pytest.raises(StoreUnavailable, match="did not take a change"):
                    await store.add(new_job())
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    await store.get(stored[0].id)
                assert "refused" in (await store.fault() or "")
                own.start()
                assert await asyncio.gather(*(store.get(job.id) for job in stored)) == stored
                await asyncio.gather(*(store.add(new_job()) for _ in range(4)))
            for _ in range(2):  # restarted while nobody asked
                own.stop()
                own.start()
                await asyncio.gather(*(store.add(new_job()) for _ in range(4)))
                assert len(await store.ids()) > 0
        finally:
            await opened.dispose()

    asyncio.run(test())


def test_postgres_that_hangs_holds_nobody_for_ever(own: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "ANSWER_SECONDS", 0.5)

    async def test() -> None:
        opened = await open_database(own.new_database())
        store = JobStore(opened)
        stored = await store.add(new_job())
        assert await store.get(stored.id) == stored
        backends = [process.pid for process in psutil.Process(own.process and own.process.pid).children()]
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match=r"did not take a change within 0.5 s"):
                await store.add(new_job())
            with pytest.raises(StoreUnavailable, match=r"does not answer within 0.5 s"):
                await store.get(stored.id)
            assert time.monotonic() - began < 8
        finally:
            for pid in backends:
                os.kill(pid, signal.SIGCONT)
        assert await store.get(stored.id) == stored
        await opened.dispose()

    asyncio.run(test())


def test_connection_is_asked_only_when_it_has_rested(
    postgres: Postgres, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings: list[object] = []
    see = postgres_module._see
    monkeypatch.setattr(postgres_module, "_see", lambda *of: pings.append(of) or see(*of))

    async def test() -> None:
        opened = await open_database(empty)
        store = JobStore(opened)
        stored = await store.add(new_job())
        for _ in range(5):
            assert await store.get(stored.id) == stored
        assert pings == []
        monkeypatch.setattr(postgres_module, "RESTED_SECONDS", 0.0)
        assert await store.get(stored.id) == stored
        assert len(pings) == 1
        await opened.dispose()

    asyncio.run(test())


def test_every_connection_has_its_limits(postgres: Postgres, empty: str) -> None:
    async def test() -> None:
        opened = await open_database(empty + "?connect_timeout=7")
        store = JobStore(opened)

        def shown(session) -> list[str]:
            return [session.scalar(text(f"SHOW {name}")) for name in ("statement_timeout", "lock_timeout")]

        assert await store.read(shown) == ["15s", "10s"]
        async with store.transaction() as session:
            assert await session.run_sync(shown) == ["15s", "10s"]
        async with opened.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            told = raw.info.get_parameters()
        assert (told["connect_timeout"], told["keepalives_idle"], told["tcp_user_timeout"]) == ("7", "10", "20000")
        await opened.dispose()

    asyncio.run(test())


def test_nul_in_a_text_keeps_nothing_from_being_written(empty: str) -> None:
    async def test() -> None:
        opened = await open_database(empty)
        store = JobStore(opened)
        assert await store.get("no\0body") is None
        run = await store.start((await store.add(new_job())).id)
        assert run is not None
        assert (await store.fail(run, None, "a\0b")).error == "a\N{REPLACEMENT CHARACTER}b"
        await opened.dispose()

    asyncio.run(test())


def test_times_are_given_as_utc_wherever_postgres_is(empty: str) -> None:
    async def test() -> None:
        opened = await open_database(empty)
        stored = await JobStore(opened).add(new_job())
        found = await JobStore(opened).get(stored.id)
        assert found is not None and found.created_at.isoformat() == stored.created_at.isoformat()
        await opened.dispose()

    asyncio.run(test())


# --- the outbox of two servers ---


async def with_messages(store: JobStore, outbox: Outbox, count: int) -> None:
    stored = await store.add(new_job())
    for number in range(count):
        await outbox.add(Webhook(stored.id, "ann", f"https://r{number}/", f"r{number}", new_secret()))
    assert await store.cancel(stored.id)


def test_message_goes_to_one_of_two_servers(empty: str) -> None:
    async def test() -> None:
        one, other = await open_database(empty), await open_database(empty)
        store = JobStore(one)
        ours, theirs = Outbox(one, store.posted), Outbox(other, asyncio.Event())
        await with_messages(store, ours, 10)
        now = datetime.now(timezone.utc)
        found = await asyncio.gather(*(box.due(now, (), (), 3) for box in (ours, theirs, ours, theirs, ours, theirs)))
        taken = [due.message for some in found for due in some]
        assert len(taken) == len({message.id for message in taken}) == 10
        assert await theirs.due(now, (), (), 10) == []
        assert await theirs.next_due((), ()) == now + LEASE
        await ours.tried(taken[0], Answer(500), now, again_at=now)  # ends the claim
        await ours.put_back(taken[1:2])
        again = {due.message.id for due in await theirs.due(now, (), (), 10)}
        assert again == {message.id for message in taken[:2]}
        later = await theirs.due(now + LEASE, (), (), 20)  # whoever had them has died
        assert {due.message.id for due in later} == {message.id for message in taken}
        for opened in (one, other):
            await opened.dispose()

    asyncio.run(test())
