"""A server that is killed, or stopped, loses nothing: real processes, the fast fake engine."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import psutil
import pytest

from tests.backend import ON_CLUSTER, Files

SLOW = json.dumps({"seconds": 0.5})


def gone(pids: list[int], seconds: float = 3.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.alone
def test_server_answers_within_two_seconds_of_its_start(start_server) -> None:
    server = start_server(fake=True)
    server.kill()
    assert min(server.start(), again(server)) < 2.0


def again(server) -> float:
    server.kill()
    return server.start()


@pytest.mark.parametrize("stage", ["decode", "transcribe", "align", "assign"])
def test_killed_server_goes_on_where_it_was(start_server, tone, stage) -> None:
    server = start_server(fake=True, max_concurrent_tasks=1)
    tasks = [server.upload(tone(), prompt=SLOW) for _ in range(3)]
    if stage != "decode":  # with what else runs at once, decoding is over too soon to be met
        server.wait(tasks[0], until=stage)
    reached = server.status(tasks[0])["progress"]
    children = [child.pid for child in server.children()]
    server.kill()
    assert gone(children), "an engine outlived its server"
    server.start()
    assert server.status(tasks[0])["progress"] >= reached
    ended = [server.wait(task) for task in tasks]
    assert [status["status"] for status in ended] == ["completed"] * 3
    assert [status["completed_at"] for status in ended] == sorted(status["completed_at"] for status in ended)


def test_finished_stages_are_not_run_again_after_a_kill(start_server, tone, files: Files) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt=SLOW)
    server.wait(task, until="assign")
    server.kill()
    server.start()
    server.wait(task, until="assign")
    made = set(files.made(task))
    assert {"decode.1.json", "transcribe.1.json", "align.1.json", "diarize.1.json"} <= made
    assert not {"transcribe.2.json", "align.2.json", "diarize.2.json"} & made
    assert server.wait(task)["status"] == "completed"


def test_restart_costs_no_attempt(start_server, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt=SLOW)
    for _ in range(4):
        server.wait(task, until="transcribe")
        server.kill()
        server.start()
    assert server.wait(task)["status"] == "completed"


def test_engine_killed_from_outside_comes_back(start_server, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt=SLOW)
    server.wait(task, until="transcribe")
    time.sleep(0.2)
    for child in server.children():
        child.kill()
    assert server.wait(task)["status"] == "completed"


def test_sigterm_hands_back_and_the_next_start_goes_on(start_server, tone) -> None:
    server = start_server(fake=True, shutdown_grace_seconds=0.5)
    task = server.upload(tone(), prompt=json.dumps({"seconds": 3}))
    server.wait(task, until="transcribe")
    children = [child.pid for child in server.children()]
    assert server.terminate() < 5
    assert server.process.returncode in (0, -15)
    assert gone(children)
    server.start()
    assert server.wait(task)["status"] == "completed"


def test_sigterm_lets_the_stage_at_work_finish(start_server, tone, files: Files) -> None:
    server = start_server(fake=True, shutdown_grace_seconds=10)
    task = server.upload(tone(), prompt=SLOW)
    server.wait(task, until="transcribe")
    for child in server.children():  # a service manager sends it to every process of the service
        child.terminate()
    assert server.terminate() < 8
    made = files.made(task)
    assert "transcribe.1.json" in made and "align.1.json" not in made


def test_second_server_on_the_same_data_refuses_to_start(start_server) -> None:
    server = start_server(fake=True)
    with pytest.raises(AssertionError, match="is in use by another server"):
        start_server(fake=True)
    assert server.client.get("/ready").status_code == 200


def test_half_received_upload_is_swept_away_at_the_next_start(start_server, tone, tmp_path: Path, files: Files) -> None:
    server = start_server(fake=True)
    task = server.upload(tone())
    server.wait(task)
    server.kill()
    uploads, tasks = tmp_path / "data" / "uploads", tmp_path / "data" / "tasks"
    (uploads / f"{'ab' * 16}.part").write_bytes(b"half")
    if not ON_CLUSTER:  # what is new in a bucket may be another server's, whose task is on record in a moment
        (tasks / "00000000-0000-4000-8000-000000000000").mkdir()
    server.start()
    assert files.recordings() == [task]
    assert ON_CLUSTER or [path.name for path in tasks.iterdir()] == [task]
    assert server.status(task)["status"] == "completed"


def test_broken_checkpoint_is_made_again(start_server, tone, tmp_path: Path, files: Files) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(), prompt=SLOW)
    server.wait(task, until="assign")
    server.kill()
    files.replace(task, "transcribe.1.json", b'{"language": "e')
    if not ON_CLUSTER:  # a worker's decoded sound goes when it starts
        os.truncate(tmp_path / "data" / "tasks" / task / "audio.1.f32", 100)
    server.start()
    status = server.wait(task)
    assert status["status"] == "completed" and status["result"]["text"] == "Hello there."


@pytest.mark.alone
def test_idle_engine_gives_the_device_back(start_server, tone) -> None:
    server = start_server(fake=True, model_unload_idle_minutes=0.5 / 60)
    task = server.upload(tone())
    server.wait(task)
    deadline = time.monotonic() + 5
    while server.client.get("/health").json()["devices"][0]["engine"] != "off":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not server.children()
    assert server.wait(server.upload(tone()))["status"] == "completed"


@pytest.mark.embedded("a server of many makes no first key")
def test_files_are_for_the_service_alone(start_server, tone, tmp_path: Path) -> None:
    server = start_server(fake=True, api_key="")
    key = (tmp_path / "data" / "api_key").read_text().strip()
    server.client.headers["X-API-Key"] = key
    task = server.upload(tone())
    server.wait(task)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.name != "lock"]
    assert {oct(path.stat().st_mode & 0o077) for path in files if "whisperx-api.db" not in path.name} == {"0o0"}
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert key not in server.log.read_text()


@pytest.mark.embedded("is about SQLite's file")
def test_locked_database_stops_no_task_for_good(start_server, tone, tmp_path: Path) -> None:
    server = start_server(fake=True)
    tasks = [server.upload(tone(), prompt=SLOW) for _ in range(3)]
    server.wait(tasks[0], until="transcribe")
    with sqlite3.connect(tmp_path / "data" / "whisperx-api.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(14)  # longer than the server waits for a lock
        other.execute("ROLLBACK")
    for task in tasks:
        status = server.wait(task, seconds=60)
        assert status["status"] == "completed", status["error"]


def test_ctrl_c_in_the_server_s_terminal_does_not_kill_the_stage_at_work(start_server, tone, files: Files) -> None:
    server = start_server(fake=True, shutdown_grace_seconds=10)
    task = server.upload(tone(), prompt=SLOW)
    server.wait(task, until="transcribe")
    groups = {os.getpgid(child.pid) for child in server.children()}
    assert os.getpgid(server.runner.pid) not in groups
    server.runner.send_signal(signal.SIGINT)
    server.runner.wait(30)
    assert "transcribe.1.json" in files.made(task)
