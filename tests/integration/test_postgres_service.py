"""The service with PostgreSQL as its only database: its whole life, PostgreSQL away and back, one server at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from tests.conftest import KEY
from tests.postgres import Postgres, running
from tests.receiver import Receiver, receiving
from tests.server import Gone
from tests.waiting import send, wait
from whisperx_api.app import create_app
from whisperx_api.cli import app as commands
from whisperx_api.jobs import alone as alone_module
from whisperx_api.jobs.alone import Alone, alone
from whisperx_api.jobs.database import DatabaseUnusable
from whisperx_api.settings import load_settings

API = "/api/v1/transcribe"
REFUSE, SLOW = '{"stage": "transcribe", "what": "refuse"}', '{"seconds": 30}'


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A PostgreSQL for a test that stops it."""
    with running() as server:
        yield server


@pytest.fixture
def url(postgres: Postgres) -> str:
    """An empty database."""
    return postgres.new_database()


def until(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_task_lives_on_postgres_alone(make_client, tone, tmp_path: Path, url: str) -> None:
    made = CliRunner().invoke(commands, ["keys", "create", "--name", "ann", "--database-url", url])
    assert made.exit_code == 0, made.output
    with receiving(Receiver()) as receiver:
        client = make_client(database_url=url.replace("+psycopg", ""), outgoing_allow="127.0.0.1", result_cache=True)
        client.headers["X-API-Key"] = made.stdout.strip()
        assert client.get("/health").json()["database"] == "ok"
        task = send(client, tone(), webhook_url=receiver.url).json()
        status = wait(client, task["task_id"])
        assert (status["status"], status["result"]["text"]) == ("completed", "Hello there.")
        assert task["task_id"].encode() in receiver.wait(1)[0].body
        again = send(client, tone()).json()
        assert wait(client, again["task_id"])["cached"] is True
        refused = send(client, tone(), prompt=REFUSE).json()["task_id"]
        assert wait(client, refused)["status"] == "failed"
        assert client.post(f"{API}/retry/{refused}").status_code == 200
        assert wait(client, refused)["status"] == "failed"
        slow = send(client, tone(), prompt=SLOW).json()["task_id"]
        wait(client, slow, "processing")
        assert client.post(f"{API}/cancel/{slow}").status_code == 200
        assert wait(client, slow)["status"] == "cancelled"
        listed = [one["task_id"] for one in client.get(f"{API}/tasks").json()["tasks"]]
        assert listed == [slow, refused, again["task_id"], task["task_id"]]
        assert client.delete(f"{API}/task/{task['task_id']}").status_code == 204
        assert client.get(f"{API}/result/{task['task_id']}").status_code == 404
        assert client.get(f"{API}/status/a%00b").status_code == 404
    assert not (tmp_path / "data" / "whisperx-api.db").exists()


def test_killed_server_goes_on_from_postgres(start_server, tone, url: str) -> None:
    server = start_server(fake=True, database_url=url)
    tasks = [server.upload(tone(name=f"{n}.wav"), prompt='{"seconds": 0.3}') for n in range(4)]
    server.wait(tasks[0], until="transcribe")
    server.kill()
    server.start()
    assert [server.wait(task)["status"] for task in tasks] == ["completed"] * 4


def test_service_waits_for_postgres_and_goes_on_by_itself(make_client, tone, own: Postgres) -> None:
    client: TestClient = make_client(database_url=own.new_database())
    done = send(client, tone()).json()["task_id"]
    wait(client, done)
    slow = send(client, tone(), prompt='{"seconds": 1}').json()["task_id"]
    wait(client, slow, "processing")
    own.stop()
    until(lambda: client.get("/ready").status_code == 503)
    assert "The database does not answer" in client.get("/ready").json()["detail"]
    assert "refused" in client.get("/health").json()["database"]
    polled = client.get(f"{API}/result/{done}")
    assert polled.status_code == 503 and polled.headers["retry-after"]
    assert send(client, tone()).status_code == 503
    own.start()
    assert client.get(f"{API}/status/{done}").status_code == 200
    assert wait(client, slow)["status"] == "completed"
    assert client.get("/health").json()["database"] == "ok"
    until(lambda: client.get("/ready").status_code == 200)
    assert wait(client, send(client, tone()).json()["task_id"])["status"] == "completed"


def test_second_server_on_the_same_postgres_refuses_to_start(make_client, tmp_path: Path, url: str) -> None:
    make_client(database_url=url)
    second = TestClient(create_app(load_settings(database_url=url, data_dir=tmp_path / "other", api_key=KEY)))
    with pytest.raises(DatabaseUnusable, match="is in use by another server: stop that one") as refused, second:
        pass
    assert "@" not in str(refused.value)


def test_server_that_can_not_reach_postgres_ends_with_a_sentence(start_server, postgres: Postgres) -> None:
    with pytest.raises(Gone, match="Start it, or name the right host and port in DATABASE_URL") as gone:
        start_server(database_url=f"postgres://{KEY}:s3cr3t@127.0.0.1:9/name")
    assert "Traceback" not in str(gone.value) and "s3cr3t" not in str(gone.value)


def test_right_to_the_database_is_taken_up_again(own: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone_module, "LOOK_SECONDS", 0.05)

    async def test() -> None:
        url = own.new_database()

        async def taken() -> bool:
            try:
                async with alone(url):
                    return False
            except DatabaseUnusable as error:
                return "in use by another server" in str(error)

        async with alone(url, lost=lambda: pytest.fail("nobody else wants it")):
            assert await taken()
            own.kill()
            own.start()
            for _ in range(100):
                if await taken():
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError("it was not taken up")
        assert not await taken()

    asyncio.run(test())


def test_server_ends_when_another_has_taken_its_place(own: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone_module, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(alone_module, "GIVE_UP_SECONDS", 0.5)

    async def test() -> None:
        url, lost = own.new_database(), asyncio.Event()
        first, second = Alone(url, lost.set), Alone(url, lambda: pytest.fail("it has the right"))
        await first.start()
        own.stop()
        own.start()
        await second.start()
        await asyncio.wait_for(lost.wait(), 10)
        await first.stop()
        await second.stop()

    asyncio.run(test())
