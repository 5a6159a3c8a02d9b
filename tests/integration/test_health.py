"""What the server says of itself, and its documents."""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path

import psutil
import pytest
from fastapi.testclient import TestClient

from tests.backend import ON_CLUSTER, Files, device, engines_of, soon
from tests.conftest import KEY
from tests.receiver import eventually
from tests.waiting import on_server, send, wait
from whisperx_api.api import health
from whisperx_api.engine.nodes import device_absent
from whisperx_api.jobs import run
from whisperx_api.jobs.cluster import host


def test_health_says_no_more_than_ok_without_a_key(client: TestClient) -> None:
    del client.headers["X-API-Key"]
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/health", headers={"X-API-Key": "wrong"}).status_code == 401


def test_health_tells_a_key_how_the_server_is(client: TestClient) -> None:
    assert soon(lambda: client.get("/health").json()["devices"])
    answer = client.get("/health").json()
    assert answer["status"] == "ok" and answer["database"] == "ok"
    assert answer["queue_depth"] == 0 and answer["active_tasks"] == 0
    assert answer["memory"]["total"] > answer["memory"]["available"] > 0
    assert answer["version"] and answer["uptime_seconds"] > 0 and answer["cpu"]["count"] >= 1
    assert answer["disk"]["free"] > 0
    assert answer["devices"][0]["device"] in (device("auto"), device("cpu"))


def test_ready_needs_no_key(client: TestClient) -> None:
    del client.headers["X-API-Key"]
    assert client.get("/ready").json() == {"status": "ready"}


def ready_within(client: TestClient, seconds: float, code: int) -> str:
    deadline = time.monotonic() + seconds
    while (answer := client.get("/ready")).status_code != code:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    return answer.json().get("detail", "")


@pytest.mark.embedded("a server whose workers can't run takes tasks in: they wait for one that can")
def test_ready_is_503_when_the_engine_cant_start(make_client) -> None:
    client = make_client(align_model="doomed")
    assert ready_within(client, 10, 503) == "The engine can't start."
    assert client.get("/health").json()["devices"][0]["error"] == "The engine can't start."


@pytest.mark.embedded("a server whose workers can't run takes tasks in: they wait for one that can")
def test_ready_is_503_as_long_as_no_engine_can_load_a_model_of_the_settings(make_client, tone) -> None:
    client = make_client(align_model="faulty")
    assert ready_within(client, 10, 503) == "The model can't be loaded."
    assert client.get("/health").json()["devices"][0]["error"] == "The model can't be loaded."
    wait(client, send(client, tone()).json()["task_id"])  # it is mended
    ready_within(client, 10, 200)
    assert client.get("/health").json()["devices"][0]["error"] is None


@pytest.mark.embedded("a server whose workers can't run takes tasks in: they wait for one that can")
def test_without_its_device_the_server_says_so_at_once_and_takes_no_upload(
    make_client, monkeypatch, tmp_path: Path, tone
) -> None:
    for module in ("process", "fleet"):
        monkeypatch.setattr(f"whisperx_api.engine.{module}.device_absent", lambda name: device_absent(name, tmp_path))
    client = make_client(device="cuda")
    assert "DEVICE=cuda can't be used: there is no NVIDIA GPU here" in ready_within(client, 0.5, 503)
    answer = send(client, tone())
    assert answer.status_code == 503 and "DEVICE=cuda" in answer.json()["detail"]
    assert client.get("/api/v1/transcribe/tasks").status_code == 200


def test_task_waits_without_costing_a_try_until_the_engine_can_start(make_client, monkeypatch, tone) -> None:
    monkeypatch.setattr(run, "ENGINE_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(host, "AGAIN_SECONDS", 0.1)
    client = make_client(align_model="doomed")
    task = send(client, tone()).json()["task_id"]
    deadline, waits = time.monotonic() + 15, "Waiting in the queue" if ON_CLUSTER else "The engine can't start."
    while (status := client.get(f"/api/v1/transcribe/status/{task}").json())["message"] != waits:
        assert time.monotonic() < deadline and status["status"] != "failed", status
        time.sleep(0.05)
    (engine,) = engines_of(client).engines
    engine.config = replace(engine.config, align_model="auto")  # it is mended
    status = wait(client, task)
    assert status["status"] == "completed", status


def test_ready_is_503_when_the_model_is_missing_and_none_is_fetched(make_client) -> None:
    client = make_client(whisper_auto_download=False)
    assert "models pull tiny" in ready_within(client, 1, 503)


def test_ready_is_503_when_the_disk_is_nearly_full(client: TestClient, monkeypatch) -> None:
    monkeypatch.setattr(health, "LEAST_FREE", 1 << 60)
    assert "disk is nearly full" in ready_within(client, 1, 503)


@pytest.mark.embedded("is about SQLite's file")
def test_ready_is_503_when_the_database_is_gone(client: TestClient, tmp_path: Path) -> None:
    def lost() -> bool:
        on_server(client, lambda parts: parts.store.database.dispose())
        for file in (tmp_path / "data").glob("whisperx-api.db*"):
            file.unlink(missing_ok=True)
        with suppress(FileExistsError):  # somebody has just opened it, and so made a new one
            (tmp_path / "data" / "whisperx-api.db").mkdir()
        return (tmp_path / "data" / "whisperx-api.db").is_dir()

    assert eventually(lost)
    assert "The database does not answer" in ready_within(client, 1, 503)


def test_auth_can_be_switched_off(make_client) -> None:
    client = make_client(auth="off", api_key=None)
    del client.headers["X-API-Key"]
    assert client.get("/api/v1/transcribe/tasks").status_code == 200
    assert "version" in client.get("/health").json()


@pytest.mark.parametrize("root_path", ["", "/asr"])
@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_documents_are_served_from_here_alone(make_client, page, root_path) -> None:
    client = make_client(root_path=root_path)
    html = client.get(page).text
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", html)
    assert links and not [link for link in links if link.startswith(("http:", "https:", "//"))]
    for link in links:
        assert link.startswith(root_path + "/")
        assert client.get(link).status_code == 200
        assert client.get(link.removeprefix(root_path)).status_code == 200


def test_openapi_describes_the_upload(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/api/v1/transcribe/upload"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    assert {"language", "model", "num_speakers", "webhook_url", "priority"} <= set(form["properties"])
    assert {"APIKeyHeader", "HTTPBearer"} <= set(document["components"]["securitySchemes"])


def test_unknown_path_is_a_problem_document(client: TestClient) -> None:
    answer = client.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_server_process_is_small_and_without_torch(start_server) -> None:
    server = start_server(fake=True)
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    assert process.memory_info().rss < 200e6
    mapped = {entry.path for entry in process.memory_maps()}
    assert not [path for path in mapped if re.search(r"torch|numpy|ctranslate2|/av/", path)]


def test_server_process_stays_small_while_a_large_upload_comes_in(start_server, tmp_path: Path) -> None:
    server = start_server(fake=True)
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.write(b"not a recording")
        file.truncate(400 * 1024**2)
    before = process.memory_info().rss
    with large.open("rb") as file:
        answer = server.client.post("/api/v1/transcribe/upload", files={"file": file})
    assert answer.status_code == 415
    assert process.memory_info().rss - before < 32e6


def test_upload_over_the_limit_is_answered_413_before_it_is_all_sent(start_server, files: Files) -> None:
    server = start_server(fake=True, max_file_size="1M")
    head = (
        f"POST /api/v1/transcribe/upload HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
        "Content-Type: multipart/form-data; boundary=B\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    form = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode())
        for piece in (form, *[bytes(65536)] * 17):  # the form stays open: its end is never sent
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        answer = HTTPResponse(connection)
        answer.begin()
        problem = json.load(answer)
    assert answer.status == 413
    assert problem["param"] == "file"
    assert files.recordings() == []


def test_client_that_hangs_up_leaves_no_file(start_server, files: Files) -> None:
    server = start_server(fake=True)

    def body():
        yield b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + bytes(5 * 1024**2)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        server.client.post(
            "/api/v1/transcribe/upload", content=body(), headers={"Content-Type": "multipart/form-data; boundary=B"}
        )
    deadline = time.monotonic() + 5
    while files.recordings():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Traceback" not in server.log.read_text()
