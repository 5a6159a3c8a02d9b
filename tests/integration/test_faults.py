"""Faults of the machine around the service: full disks, databases that don't take a change, and clocks set back.

A full disk is a real one: `/dev/full` answers every write as a disk does that has no room, and needs no right to mount.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, insert

from tests.backend import Files
from tests.receiver import Receiver, eventually, receiving
from tests.server import free_port
from tests.waiting import ENDED, on_server, send, wait
from whisperx_api.api import multipart
from whisperx_api.api.parts import Parts
from whisperx_api.app import create_app
from whisperx_api.engine import decoder
from whisperx_api.jobs import database, faults, run
from whisperx_api.jobs.database import DatabaseUnusable, open_database
from whisperx_api.jobs.job import Job, JobStatus, Upload
from whisperx_api.jobs.reading import columns_of
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.store import JobStore
from whisperx_api.jobs.tables import JobRow
from whisperx_api.options import Channels, Options
from whisperx_api.settings import load_settings
from whisperx_api.storage import local

JOB = Job("default", Options(), Upload("a.wav", 4, "00", 1.0))
FULL = Path("/dev/full")
MANY = 10_000


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PAUSE_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(faults, "RETRY_SECONDS", 0.05)


# --- the disk is full ---


def test_disk_that_fills_up_during_an_upload_is_507_and_leaves_no_file(
    client: TestClient, tone, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "create", lambda target: FULL.open("wb"))  # it is closed there
    answer = send(client, tone())
    assert answer.status_code == 507 and "disk is full" in answer.json()["detail"]
    assert files.recordings() == []
    assert client.get("/api/v1/transcribe/tasks").json()["tasks"] == []


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> Iterator[list[str]]:
    """Have no room so many times for files that begin with `name`; give the names of those that found none."""
    really, refused = local._write, []

    def write(path: Path, data: bytes) -> None:
        if path.name.startswith(name) and len(refused) < times:
            refused.append(path.name)
            with FULL.open("wb") as file:
                file.write(data)
        really(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(local, "_write", write)
        yield refused


@pytest.mark.embedded("a bucket has no disk that could be full")
def test_checkpoint_that_finds_no_room_is_written_as_soon_as_there_is(client: TestClient, tone, monkeypatch) -> None:
    with full_disk(monkeypatch, "transcribe.", times=2) as refused:
        status = wait(client, send(client, tone()).json()["task_id"])
    assert status["status"] == "completed" and refused == ["transcribe.1.json"] * 2


@pytest.mark.embedded("a bucket has no disk that could be full")
def test_task_whose_results_find_no_room_fails_with_a_sentence_and_is_not_lost(
    client: TestClient, tone, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_disk(monkeypatch, "align.", times=1000):
        task = send(client, tone()).json()["task_id"]
        status = wait(client, task)
    assert status["status"] == "failed"
    assert status["error"] == "The disk does not take the result of the align stage: No space left on device."
    assert files.recordings() == [task]
    assert client.post(f"/api/v1/transcribe/retry/{task}").status_code == 200
    assert wait(client, task)["status"] == "completed"
    assert "transcribe.2.json" not in files.made(task)


# --- the database takes no change ---


@contextmanager
def full_database(client: TestClient) -> Iterator[None]:
    """Let the database become no larger than it is, and fill it up: SQLite itself says then that it is full."""
    most = 1

    def bound(connection: Any, *_: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count={most}")  # no smaller than it is
        cursor.close()

    async def fill(parts: Parts) -> None:
        event.listen(parts.store.database.engine.sync_engine.pool, "checkout", bound)
        filler = replace(JOB, owner="somebody", status=JobStatus.FAILED, completed_at=JOB.created_at)
        with suppress(StoreUnavailable):
            while True:
                await parts.store.add(replace(filler, id=str(uuid.uuid4())))

    on_server(client, fill)
    yield
    most = 2**30


@pytest.mark.embedded("is about SQLite's file")
def test_full_database_is_503_and_leaves_no_file(client: TestClient, tone, files: Files) -> None:
    with full_database(client):
        answer = send(client, tone(), prompt="a long prompt " * 250)
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert "database is busy or full" in answer.json()["detail"]
        assert files.recordings() == []
        assert client.get("/api/v1/transcribe/tasks").json()["tasks"] == []
    assert send(client, tone()).status_code == 202


@pytest.mark.embedded("is about SQLite's file")
def test_tasks_at_work_wait_until_a_full_database_has_room(make_client, tone, tmp_path: Path, caplog) -> None:
    """What they have done is written down again and again: several grow by more than a page has left."""
    client, jobs = make_client(max_concurrent_tasks=6), [replace(JOB, id=str(uuid.uuid4())) for _ in range(6)]

    async def submit(parts: Parts) -> None:
        for job in jobs:
            incoming = parts.storage.incoming()
            incoming.write_bytes(recording)
            await parts.storage.keep_upload(incoming, job.id)
            await parts.manager.submit(replace(job, options=Options(prompt=json.dumps({"seconds": 0.2}))))

    recording = tone().read_bytes()
    on_server(client, submit)
    with full_database(client):
        eventually(lambda: "database or disk is full" in caplog.text)
        time.sleep(0.3)
        assert any(wait(client, job.id, "processing", *ENDED)["status"] == "processing" for job in jobs)
    assert {wait(client, job.id)["status"] for job in jobs} == {"completed"}


@pytest.mark.embedded("is about SQLite's file")
def test_upload_while_another_program_locks_the_database_is_503(
    make_client, tone, tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database.SQLITE_PRAGMAS, "busy_timeout", "300")
    client = make_client()
    with closing(sqlite3.connect(tmp_path / "data" / "whisperx-api.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = send(client, tone())
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert files.recordings() == []
        other.execute("ROLLBACK")
    assert wait(client, send(client, tone()).json()["task_id"])["status"] == "completed"


def refusal(tmp_path: Path) -> str:
    """Start the service, and return why it does not."""
    app = create_app(load_settings(data_dir=tmp_path / "data", whisper_model="tiny"), engine="tests.fake_engine")
    with pytest.raises(DatabaseUnusable) as caught, TestClient(app):
        pass
    return str(caught.value)


@pytest.mark.embedded("is about SQLite's file")
def test_server_that_finds_the_database_locked_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(database.SQLITE_PRAGMAS, "busy_timeout", "100")
    path = tmp_path / "data" / "whisperx-api.db"
    made(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sentence = refusal(tmp_path)
    assert sentence.startswith(f"The database {path} can't be used: ") and "Another program has it locked" in sentence


# --- the database is damaged ---


def made(path: Path) -> None:
    """Make a database that holds jobs."""

    async def go() -> None:
        opened = await open_database(f"sqlite+aiosqlite:///{path}")
        store = JobStore(opened)
        for _ in range(50):
            await store.add(replace(JOB, id=str(uuid.uuid4())))
        await opened.dispose()

    path.parent.mkdir(exist_ok=True)
    asyncio.run(go())


def damage(path: Path, table: str) -> None:
    """Overwrite the page that a table or index of the database begins with."""
    with closing(sqlite3.connect(path)) as open_one:
        open_one.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = open_one.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = open_one.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


@pytest.mark.embedded("is about SQLite's file")
@pytest.mark.parametrize("table", ["jobs", "alembic_version", "ix_jobs_status_completed_at"])
def test_damaged_database_is_refused_with_its_name_and_the_way_out(tmp_path: Path, table: str) -> None:
    path = tmp_path / "data" / "whisperx-api.db"
    made(path)
    recording = tmp_path / "data" / "uploads" / str(uuid.uuid4())
    recording.parent.mkdir()
    recording.write_bytes(b"precious")
    damage(path, table)
    sentence = refusal(tmp_path)
    assert sentence.startswith(f"The database {path} can't be used: database disk image is malformed.")
    assert "put a backup in its place" in sentence and ".recover" in sentence
    assert recording.exists()  # nothing is swept that a mended database may know of


@pytest.mark.embedded("is about SQLite's file")
def test_server_on_a_damaged_database_ends_with_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "data" / "whisperx-api.db"
    made(path)
    damage(path, "jobs")
    command = [sys.executable, "-m", "whisperx_api", "serve", "--port", str(free_port()), "--data-dir", "data"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert f"The database {path} can't be used" in done.stderr and "Traceback" not in done.stderr


# --- the clock is set back ---


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Give a function that sets the clock of the whole service."""
    ahead = timedelta()
    really = time.time

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + ahead

    for name, module in tuple(sys.modules.items()):
        if name.startswith("whisperx_api.") and getattr(module, "datetime", None) is datetime:
            monkeypatch.setattr(module, "datetime", Shifted)
    monkeypatch.setattr(time, "time", lambda: really() + ahead.total_seconds())

    def set_by(change: timedelta) -> None:
        nonlocal ahead
        ahead = change

    return set_by


def test_clock_set_back_by_a_day_stops_nothing_and_keeps_the_order(
    make_client, tone, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taken(path: Path, channels: Channels) -> float:
        return 1.0

    monkeypatch.setattr(decoder, "probe", taken)
    client = make_client(
        max_concurrent_tasks=1, rate_limits="6/minute", outgoing_allow="127.0.0.1", shutdown_grace_seconds=0
    )
    with receiving(Receiver()) as receiver:
        hook: dict[str, Any] = {"webhook_url": receiver.url}
        first = send(client, tone(), prompt=json.dumps({"seconds": 0.2}), **hook).json()["task_id"]
        wait(client, first, "processing")
        tasks = [first, *(send(client, tone(), **hook).json()["task_id"] for _ in range(2))]
        clock(timedelta(days=-1))
        tasks += [send(client, tone(), **hook).json()["task_id"] for _ in range(2)]
        ended = [wait(client, task) for task in tasks]
        assert [status["status"] for status in ended] == ["completed"] * 5
        told = [json.loads(request.body)["data"]["task_id"] for request in receiver.wait(5)]
        assert sorted(told) == sorted(tasks)
    listed = client.get("/api/v1/transcribe/tasks").json()["tasks"]
    assert [task["task_id"] for task in listed] == tasks[::-1]
    for _ in range(3):  # the minute's submissions are counted anew, not for a day
        answer = send(client, tone())
        assert answer.status_code == 202, answer.text


# --- many tasks wait ---


@pytest.mark.embedded("is about SQLite's file")
def test_ten_thousand_tasks_that_wait_cost_little(start_server, tone, tmp_path: Path) -> None:
    long = Options(prompt=json.dumps({"seconds": 300}))
    jobs = [replace(JOB, id=str(uuid.uuid4()), work=uuid.uuid4().hex) for _ in range(MANY)]
    jobs[0] = replace(jobs[0], options=long, priority=1)

    async def fill() -> None:
        opened = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'data' / 'whisperx-api.db'}")
        async with opened.engine.begin() as connection:
            await connection.execute(insert(JobRow), [columns_of(job) for job in jobs])
        await opened.dispose()

    (tmp_path / "data" / "uploads").mkdir(parents=True)
    asyncio.run(fill())
    (tmp_path / "data" / "uploads" / jobs[0].id).write_bytes(tone().read_bytes())
    began = time.monotonic()
    server = start_server(fake=True, max_concurrent_tasks=1, result_cache=True)
    assert time.monotonic() - began < 15
    server.wait(jobs[0].id, until="transcribe")
    assert server.client.get("/health").json()["queue_depth"] == MANY - 1
    taken: list[float] = []
    for job in (jobs[1], jobs[MANY // 2], jobs[-1]) * 20:
        began = time.perf_counter()
        assert server.status(job.id)["status"] == "pending"
        taken.append(time.perf_counter() - began)
    assert statistics.median(taken) < 0.1
    assert server.status(jobs[-1].id)["queue_position"] == MANY - 2
    assert psutil.Process(server.process.pid).memory_info().rss < 200 * 1024**2
