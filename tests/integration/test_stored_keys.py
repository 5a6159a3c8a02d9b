"""Keys that are made and revoked while servers run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from typer.testing import CliRunner

from tests.backend import ON_CLUSTER, Backend
from tests.conftest import KEY
from tests.server import Server
from tests.waiting import send, wait
from whisperx_api.cli import app as command_line
from whisperx_api.jobs import key_watch

TASKS = "/api/v1/transcribe/tasks"
SOON = 15.0
"""Seconds: what is known within two on a quiet machine."""


@pytest.fixture
def keys(own_backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run `whisperx-api keys` on the data of the test's apps, and return its stdout."""
    for name, value in own_backend.environment(tmp_path / "data").items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(command_line, ["keys", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    return run


def status_of(client: TestClient, key: str, path: str = TASKS) -> int:
    return client.get(path, headers={"X-API-Key": key}).status_code


def until(client: TestClient, key: str, status: int) -> None:
    """Wait until a key gets an answer."""
    deadline = time.monotonic() + SOON
    while (found := status_of(client, key)) != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_running_server_takes_a_new_key_and_refuses_it_once_it_is_revoked(
    start_server: Callable[..., Server], own_backend: Backend, tmp_path: Path
) -> None:
    server = start_server(fake=True, auth_failures="")
    environment = os.environ | own_backend.environment(tmp_path / "data")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "whisperx_api", "keys", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answered(key: str, status: int) -> float:
        began = time.monotonic()
        while server.client.get(TASKS, headers={"X-API-Key": key}).status_code != status:
            assert time.monotonic() - began < SOON
            time.sleep(0.05)
        return time.monotonic() - began

    key = run("create", "--name", "ann", "--scopes", "read").strip()
    answered(key, 200)
    run("revoke", "ann")
    answered(key, 401)
    server.terminate()
    (row,) = [line for line in run("list").splitlines() if key[:16] in line]
    assert "revoked" in row and "never" not in row.split()[5]  # its last use was written down
    assert key[17:] not in server.log.read_text()


def test_key_is_rotated_without_its_tasks_changing_hands(make_client, keys, monkeypatch, tone) -> None:
    monkeypatch.setattr(key_watch, "REFRESH_SECONDS", 0.05)
    client = make_client(api_key=None, api_keys="env:key-env", auth_failures="")
    old = keys("create", "--name", "ann")
    until(client, old, 200)
    task = send(client, tone(), headers={"X-API-Key": old}).json()["task_id"]
    client.headers["X-API-Key"] = old
    assert wait(client, task)["status"] == "completed"
    new = keys("create", "--name", "ann")
    until(client, new, 200)
    keys("revoke", old[:16])
    until(client, old, 401)
    assert status_of(client, new, f"/api/v1/transcribe/status/{task}") == 200
    assert status_of(client, "key-env", f"/api/v1/transcribe/status/{task}") == 404


def test_stored_key_and_one_of_the_settings_may_share_a_name(make_client, keys, tone) -> None:
    stored = keys("create", "--name", "ann", "--scopes", "read")
    client = make_client(api_key=None, api_keys="ann:key-env")
    task = send(client, tone(), headers={"X-API-Key": "key-env"}).json()["task_id"]
    assert status_of(client, stored, f"/api/v1/transcribe/status/{task}") == 200
    assert send(client, tone(), headers={"X-API-Key": stored}).status_code == 403


def test_expired_key_is_401_and_its_holder_is_told_why(make_client, keys) -> None:
    key = keys("create", "--name", "ann", "--expires", "1h")
    client = make_client(auth_failures="2/hour")
    ring = client.app.state.parts.keys
    assert status_of(client, key) == 200
    ring.replace([replace(known, expires_at=known.created_at) for known in ring._stored.values()])
    for _ in range(4):  # it is known, and no failure
        answer = client.get(TASKS, headers={"X-API-Key": key})
        assert answer.status_code == 401 and answer.json()["detail"].startswith("The API key has expired (")
        assert "WWW-Authenticate" in answer.headers
    wrong = client.get(TASKS, headers={"X-API-Key": key[:-1]})
    assert wrong.status_code == 401 and wrong.json()["detail"] == "The API key is wrong."


def test_no_request_asks_the_database_for_its_key(make_client, keys, monkeypatch) -> None:
    key = keys("create", "--name", "ann")
    monkeypatch.setattr(key_watch, "REFRESH_SECONDS", 3600)
    client = make_client(auth_failures="")
    asked: list[str] = []
    database = client.app.state.parts.store.database
    for engine in (database.engine.sync_engine, getattr(database.readers, "sync_engine", database.readers)):
        event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for given, status in ((key, 200), (KEY, 200), ("wrong", 401), (key[:-1], 401), (f"wxa_{'0' * 12}_x", 401)):
        for _ in range(5):
            assert status_of(client, given, "/v1/models") == status
    counting = "count(*)" if ON_CLUSTER else "no such thing"  # a replica counts what waits every few seconds
    of_requests = [statement for statement in asked if counting not in statement]
    assert not [statement for statement in of_requests if re.search(r"\b(keys|jobs)\b", statement)]
    assert status_of(client, key) == 200
    assert any("FROM jobs" in statement for statement in asked)  # the list of tasks itself


def test_first_start_makes_no_key_where_there_are_keys_on_record(make_client, keys, tmp_path: Path, caplog) -> None:
    key = keys("create", "--name", "ann")
    client = make_client(api_key=None)
    assert not (tmp_path / "data" / "api_key").exists()
    assert status_of(client, key) == 200
    client.__exit__(None, None, None)
    keys("revoke", "ann")
    client = make_client(api_key=None)
    assert not (tmp_path / "data" / "api_key").exists()
    assert status_of(client, key) == 401
    assert "no API key is in force: make one with `whisperx-api keys create`" in caplog.text


@pytest.mark.embedded("a server of many makes no first key")
def test_first_key_stays_in_force_beside_those_on_record(make_client, keys, tmp_path: Path) -> None:
    client = make_client(api_key=None)
    first = (tmp_path / "data" / "api_key").read_text().strip()
    client.__exit__(None, None, None)
    key = keys("create", "--name", "ann")
    client = make_client(api_key=None)
    assert status_of(client, first) == status_of(client, key) == 200
