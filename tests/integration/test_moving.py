"""`whisperx-api db upgrade` and `db migrate-to`: a stopped service goes on with PostgreSQL, with all that it had."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from filelock import FileLock
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from tests.databases import CANCELLED, COMPLETED, FAILED, PENDING, PROCESSING, dump, empty_at, filled_at, write_files
from tests.postgres import PASSWORD, Postgres
from tests.receiver import Receiver, receiving
from tests.waiting import send, wait
from whisperx_api.cli import app
from whisperx_api.jobs import moving
from whisperx_api.jobs.alone import alone
from whisperx_api.jobs.tables import REVISION, Base

API = "/api/v1/transcribe"
DATABASE = Path("data/whisperx-api.db")


@pytest.fixture
def url(postgres: Postgres) -> str:
    """An empty PostgreSQL."""
    return postgres.new_database()


def db(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["db", *arguments])


def count(postgres: Postgres, url: str) -> dict[str, int]:
    """Return how many rows each table has."""
    with postgres.connect(make_url(url).database or "") as connection:
        found = {}
        for table in Base.metadata.tables:
            (found[table],) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,)
        return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook's receiver."""
    with receiving(Receiver()) as listening:
        yield listening


@pytest.fixture
def stopped(tone: Callable[..., Path], receiver: Receiver) -> bytes:
    """What a service leaves that was stopped at work; returns its recording."""
    recording = tone().read_bytes()
    write_files(Path("data"), recording)
    filled_at(REVISION, DATABASE, recording, receiver.port)
    return recording


def test_service_goes_on_with_postgres(
    make_client, tone, receiver: Receiver, stopped: bytes, url: str, postgres: Postgres
) -> None:
    before = dump(DATABASE)
    moved = db("migrate-to", url.replace("+psycopg", ""))
    assert moved.exit_code == 0, moved.output
    assert "5 tasks are moved, 17 rows in all" in moved.stdout and PASSWORD not in moved.output
    assert dump(DATABASE) == before
    assert count(postgres, url) == {
        "jobs": 5, "webhooks": 2, "webhook_messages": 3, "results": 1, "keys": 3, "usage": 2, "workers": 0,
        "secrets": 1,
    }  # fmt: skip
    DATABASE.unlink()
    client: TestClient = make_client(database_url=url, api_keys="somebody:other-key", outgoing_allow="127.0.0.1")
    for task_id in (PENDING, PROCESSING):
        status = wait(client, task_id)
        assert (status["status"], status["result"]["text"]) == ("completed", "Hello there."), status
    assert client.get(f"{API}/result/{COMPLETED}").json()["text"] == "It was kept."
    assert client.get(f"{API}/audio/{COMPLETED}").content == stopped
    (webhook,) = client.get("/v1/webhooks", params={"task_id": COMPLETED}).json()["data"]
    assert webhook["url"].endswith("/done")
    assert client.post(f"{API}/retry/{FAILED}").status_code == 200
    assert wait(client, FAILED)["status"] == "completed"
    others = client.get(f"{API}/status/{CANCELLED}", headers={"X-API-Key": "other-key"}).json()
    assert others["status"] == "cancelled" and others["created_at"].startswith("2024-01-05T08:00:00")
    assert receiver.wait(1)[0].headers["webhook-id"] == "msg_00000000000000000000000000000002"
    fresh = send(client, tone(), webhook_url=receiver.url).json()["task_id"]
    listed = [task["task_id"] for task in client.get(f"{API}/tasks").json()["tasks"]]
    assert listed[0] == fresh and listed[-4:] == [FAILED, COMPLETED, PROCESSING, PENDING]
    assert wait(client, fresh)["status"] == "completed"
    assert fresh.encode() in receiver.wait(2)[1].body


def test_move_that_fails_half_way_leaves_nothing(
    stopped: bytes, url: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(DATABASE)) as connection:  # which PostgreSQL does not take
        connection.execute("UPDATE webhooks SET receiver = ? WHERE seq = 2", ("x" * 301,))
        connection.commit()
    monkeypatch.setattr(moving, "BATCH", 1)
    failed = db("migrate-to", url)
    assert failed.exit_code == 3 and "value too long" in failed.stderr and "Nothing was moved." in failed.stderr
    assert set(count(postgres, url).values()) == {0}


def test_database_with_rows_is_not_moved_to(stopped: bytes, url: str) -> None:
    assert db("migrate-to", url).exit_code == 0
    again = db("migrate-to", url)
    assert again.exit_code == 3 and "has rows in jobs already: name an empty one." in again.stderr


def test_nothing_is_moved_while_a_server_runs_here_or_there(stopped: bytes, url: str) -> None:
    with FileLock("data/lock"):
        here = db("migrate-to", url)
    assert here.exit_code == 3 and "is in use by another server: stop that one" in here.stderr

    async def there() -> Result:
        async with alone(url):
            return await asyncio.to_thread(db, "migrate-to", url)

    result = asyncio.run(there())
    assert result.exit_code == 3 and "is in use by another server: stop that one" in result.stderr


def test_what_can_not_be_moved_is_said(url: str) -> None:
    nothing = db("migrate-to", url)
    assert nothing.exit_code == 1 and "there is nothing to move" in nothing.stderr
    DATABASE.parent.mkdir(exist_ok=True)
    empty_at("0004", DATABASE)
    old = db("migrate-to", url)
    assert old.exit_code == 3 and "run `whisperx-api db upgrade` first" in old.stderr
    assert db("upgrade").stdout == f"The database is at migration {REVISION}.\n"
    elsewhere = db("migrate-to", "sqlite+aiosqlite:///other.db")
    assert elsewhere.exit_code == 3 and "Name a PostgreSQL to move to" in elsewhere.stderr
    assert "0 tasks are moved" in db("migrate-to", url).stdout


def test_upgrade_makes_the_schema_and_ends(postgres: Postgres, url: str) -> None:
    for _ in range(2):
        result = db("upgrade", "--database-url", url)
        assert result.exit_code == 0 and result.stdout == f"The database is at migration {REVISION}.\n"
    assert set(count(postgres, url).values()) == {0}
    unknown = db("upgrade", "--database-url", url.rpartition("/")[0] + "/missing")
    assert unknown.exit_code == 3 and "Make it with `createdb`" in unknown.stderr
