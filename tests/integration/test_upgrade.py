"""Databases of every earlier version: brought to the newest with all that is in them, or left as they were."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from alembic import command
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, inspect, text
from standardwebhooks import Webhook as Verifier

from tests.backend import Folder
from tests.conftest import KEY
from tests.databases import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    PROCESSING,
    dump,
    filled_at,
    rows_of,
    write_files,
)
from tests.receiver import Receiver, eventually, receiving
from tests.waiting import transcript_of, wait
from whisperx_api.errors import StartError
from whisperx_api.jobs import database as database_module
from whisperx_api.jobs import migrate
from whisperx_api.jobs.database import open_database
from whisperx_api.jobs.job import JobStatus
from whisperx_api.jobs.outbox import Outbox
from whisperx_api.jobs.store import JobStore

REVISIONS = migrate.revisions()
API = "/api/v1/transcribe"
MADE_ANOTHER = {("0001", "jobs", "failures")}
"""Columns that a later migration writes in another form, by the migration that the database was at."""
HALF_WAY = """

_sound = upgrade


def upgrade() -> None:
    _sound()
    {mishap}
"""


@pytest.mark.parametrize("revision", REVISIONS)
def test_upgrade_keeps_every_row(tmp_path: Path, revision: str) -> None:
    database = tmp_path / "jobs.db"
    filled_at(revision, database)
    before = rows_of(database)

    async def go() -> None:
        opened = await open_database(f"sqlite+aiosqlite:///{database}")
        store = JobStore(opened)
        outbox = Outbox(opened, store.posted)
        jobs = {task_id: await store.get(task_id) for task_id in (PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED)}
        assert [job and job.status for job in jobs.values()] == list(JobStatus)
        waiting, running, done, failed = (jobs[one] for one in (PENDING, PROCESSING, COMPLETED, FAILED))
        assert waiting and running and done and failed
        assert (waiting.priority, waiting.options.prompt, waiting.upload.name) == (3, "Ann & Bob", "Köln, 5 €.wav")
        assert running.failures == {"transcribe": 2} and list(running.checkpoints) == ["decode", "transcribe"]
        assert done.completed_at and done.completed_at.isoformat() == "2024-01-03T08:00:09.500000+00:00"
        assert (failed.error, failed.failures, failed.cached) == ("The model is out of reach.", {}, False)
        for webhook in before.get("webhooks", []):
            view = await outbox.get("default", str(webhook["id"]))
            assert view is not None and view.webhook.secret == webhook["secret"]
            sent = [row for row in before["webhook_messages"] if row["webhook_id"] == webhook["id"]]
            assert [message.status.value for message in view.messages] == [row["status"] for row in sent]
        await opened.dispose()

    asyncio.run(go())
    after = rows_of(database)
    for table in before.keys() - {"alembic_version"}:
        assert len(before[table]) == len(after[table]) > 0
        for old, new in zip(before[table], after[table], strict=True):
            kept = [name for name in old if (revision, table, name) not in MADE_ANOTHER]
            assert [new[name] for name in kept] == [old[name] for name in kept], table
    assert after["alembic_version"] == [{"version_num": REVISIONS[-1]}]


@pytest.mark.parametrize("revision", REVISIONS)
def test_server_goes_on_with_the_tasks_of_an_earlier_version(
    make_client: Callable[..., TestClient], tone: Callable[..., Path], tmp_path: Path, revision: str
) -> None:
    recording = tone().read_bytes()
    write_files(tmp_path / "data", recording)
    with receiving(Receiver()) as receiver:
        filled_at(revision, tmp_path / "data" / "whisperx-api.db", recording, receiver.port)
        client = make_client(api_keys="somebody:other-key", outgoing_allow="127.0.0.1")
        for task_id in (PENDING, PROCESSING):
            status = wait(client, task_id)
            assert (status["status"], status["result"]["text"]) == ("completed", "Hello there."), status
        assert transcript_of(Folder(tmp_path / "data"), PROCESSING) == "assign.2.json"
        assert client.get(f"{API}/result/{COMPLETED}").json()["text"] == "It was kept."
        assert client.get(f"{API}/result/{COMPLETED}?format=srt").text.endswith("It was kept.\n")
        assert client.get(f"{API}/audio/{COMPLETED}").content == recording
        failed = client.get(f"{API}/status/{FAILED}").json()
        assert (failed["status"], failed["error"]) == ("failed", "The model is out of reach.")
        assert client.post(f"{API}/retry/{FAILED}").status_code == 200
        assert wait(client, FAILED)["status"] == "completed"
        assert client.get(f"{API}/status/{CANCELLED}").status_code == 404
        others = client.get(f"{API}/status/{CANCELLED}", headers={"X-API-Key": "other-key"}).json()
        assert others["status"] == "cancelled"
        listed = [task["task_id"] for task in client.get(f"{API}/tasks").json()["tasks"]]
        assert listed == [FAILED, COMPLETED, PROCESSING, PENDING]
        if revision >= "0003":
            check_webhooks(client, receiver)
        assert client.delete(f"{API}/task/{COMPLETED}").status_code == 204
        assert client.get(f"{API}/result/{COMPLETED}").status_code == 404
        assert client.get("/v1/webhooks", params={"task_id": COMPLETED}).json()["data"] == []


def check_webhooks(client: TestClient, receiver: Receiver) -> None:
    (sent,) = receiver.wait(1)
    assert sent.headers["webhook-id"] == "msg_00000000000000000000000000000002"
    headers = {name: value for name, value in sent.headers.items() if name.startswith("webhook-")}
    Verifier("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").verify(sent.body, headers)
    (webhook,) = client.get("/v1/webhooks", params={"task_id": COMPLETED}).json()["data"]

    def told() -> bool:
        shown = client.get(f"/v1/webhooks/{webhook['id']}").json()
        return [message["status"] for message in shown["messages"]] == ["delivered", "delivered"]

    eventually(told)


# --- what fails half-way ---


async def opened(database: Path) -> None:
    """Open a database as a server does, and let it go."""
    await (await open_database(f"sqlite+aiosqlite:///{database}")).dispose()


def broken_at(revision: str, folder: Path, mishap: str) -> Path:
    """Return migrations of which one does all its work and then fails."""
    copied = folder / "migrations"
    shutil.copytree(migrate.migrations(), copied)
    (script,) = (copied / "versions").glob(f"{revision}_*.py")
    script.write_text(script.read_text() + HALF_WAY.format(mishap=mishap))
    return copied


@pytest.mark.parametrize("earlier, broken", list(pairwise(REVISIONS)))
def test_upgrade_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: str, broken: str
) -> None:
    database = tmp_path / "jobs.db"
    filled_at(earlier, database)
    before = dump(database)
    sound = migrate.migrations
    changed = broken_at(broken, tmp_path, "raise RuntimeError('there is no room')")
    monkeypatch.setattr(migrate, "migrations", lambda: changed)
    with pytest.raises(StartError, match=f"from migration {earlier} to .* there is no room .* It is as it was"):
        asyncio.run(open_database(f"sqlite+aiosqlite:///{database}"))
    assert dump(database) == before
    monkeypatch.setattr(migrate, "migrations", sound)
    asyncio.run(opened(database))
    assert rows_of(database)["alembic_version"] == [{"version_num": REVISIONS[-1]}]


def test_upgrade_in_which_the_process_dies_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    database = tmp_path / "jobs.db"
    filled_at(REVISIONS[-2], database)
    before = dump(database)
    changed = broken_at(REVISIONS[-1], tmp_path, "__import__('os')._exit(7)")
    code = (
        "import asyncio, pathlib, sys\n"
        "from whisperx_api.jobs import database, migrate\n"
        "migrate.migrations = lambda: pathlib.Path(sys.argv[1])\n"
        "asyncio.run(database.open_database(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", code, str(changed), f"sqlite+aiosqlite:///{database}"]
    died = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert died.returncode == 7, died.stderr
    assert dump(database) == before


def test_table_that_is_made_anew_takes_no_other_rows_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "jobs.db"
    filled_at("0004", database)
    copied = tmp_path / "migrations"
    shutil.copytree(migrate.migrations(), copied)
    (copied / "versions" / "9999_anew.py").write_text(
        f"revision, down_revision, branch_labels, depends_on = '9999', '{REVISIONS[-1]}', None, None\n"
        "def upgrade():\n"
        "    from alembic import op\n"
        "    with op.batch_alter_table('jobs', recreate='always', table_kwargs={'sqlite_autoincrement': True}):\n"
        "        pass\n"
    )
    monkeypatch.setattr(migrate, "migrations", lambda: copied)
    monkeypatch.setattr(database_module, "REVISION", "9999")

    async def go() -> None:
        opened = await open_database(f"sqlite+aiosqlite:///{database}")
        async with opened.engine.begin() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM results")) == 1
            assert await connection.scalar(text("PRAGMA foreign_keys")) == 1
        await opened.dispose()

    asyncio.run(go())
    assert rows_of(database)["alembic_version"] == [{"version_num": "9999"}]


def test_server_refuses_a_database_of_a_newer_version_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    database = tmp_path / "data" / "whisperx-api.db"
    filled_at(REVISIONS[-1], database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9998'")
        connection.commit()
    before = dump(database)
    said = subprocess.run(
        [sys.executable, "-m", "whisperx_api", "serve", "--data-dir", "data", "--port", "0", "--api-key", KEY],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.returncode == 3
    assert "made by a newer version of this service (it is at migration 9998" in said.stderr
    assert "Traceback" not in said.stderr
    assert dump(database) == before


def test_every_migration_is_taken_back_and_made_again(database_url: str) -> None:
    engine = create_engine(database_url.replace("+aiosqlite", ""))
    newest = REVISIONS[-1]
    with engine.begin() as connection:
        command.upgrade(migrate.configuration(connection), newest)
    for revision in (*REVISIONS[-2::-1], "base"):
        with engine.begin() as connection:
            command.downgrade(migrate.configuration(connection), revision)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
        command.upgrade(migrate.configuration(connection), newest)
    engine.dispose()
