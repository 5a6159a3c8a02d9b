"""What the service takes at once and how long it waits: full queues, many uploads, and clients that are slow."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

from tests.backend import Backend, Files, soon
from tests.conftest import HEADERS, KEY, UPLOAD
from tests.listening import PATIENT, Raw, listening, port_of
from tests.receiver import eventually
from tests.waiting import on_server, send, wait
from whisperx_api.api import bodies
from whisperx_api.api.parts import Parts
from whisperx_api.connections import Patience
from whisperx_api.engine import decoder
from whisperx_api.options import Channels

LONG = json.dumps({"seconds": 60})
FORM = "multipart/form-data; boundary=B"
FILE = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
END = b"\r\n--B--\r\n"


@pytest.fixture
def serve(tmp_path: Path, own_backend: Backend) -> Iterator[Callable[..., uvicorn.Server]]:
    """Start the service on the fake engine, behind its own HTTP on a real port."""
    with ExitStack() as stack:

        def start(patience: Patience = PATIENT, **settings: Any) -> uvicorn.Server:
            chosen = {"data_dir": tmp_path / "data", "api_key": KEY, "whisper_model": "tiny", "result_cache": False}
            app = own_backend.app("tests.fake_engine", chosen | settings)
            return stack.enter_context(listening(app, patience=patience))

        yield start


def parts_of(server: uvicorn.Server) -> Parts:
    return server.config.app.state.parts  # type: ignore[union-attr]  # it is the service


def transcribed(server: uvicorn.Server, recording: Path) -> str:
    """Upload a recording, wait until it is transcribed, and return its task's id."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port_of(server)}", headers=HEADERS) as client:
        with recording.open("rb") as file:
            task = client.post(UPLOAD, files={"file": file}).json()["task_id"]
        eventually(lambda: client.get(f"/api/v1/transcribe/status/{task}").json()["status"] == "completed")
    return task


@contextmanager
def uploading(server: uvicorn.Server, files: Files, size: int = 10**6) -> Iterator[Raw]:
    """Give a connection on which an upload has begun, and is on its way to the disk."""
    with Raw(server) as client:
        client.head(f"POST {UPLOAD}", **HEADERS, Content_Type=FORM, Content_Length=size)
        client.send(FILE + bytes(2000))
        eventually(files.recordings)
        yield client


def problem(answer: bytes) -> tuple[int, str]:
    """Return the status of an answer and what it says."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["detail"]


# --- before the body ---


def test_stranger_s_body_is_neither_read_nor_kept(serve, files: Files) -> None:
    with Raw(serve(patience=Patience(linger=0.5))) as client:
        client.head(f"POST {UPLOAD}", X_API_Key="wrong", Content_Type=FORM, Content_Length=10**9)
        answer = client.until(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 401 ") and b"connection: close" in answer
        assert client.push(200 * 1024**2, seconds=1.0) < 50 * 1024**2
    assert files.recordings() == []


@pytest.mark.parametrize(
    ("headers", "size", "status"),
    [({}, 1000, 401), ({"X-API-Key": "wrong"}, 1000, 401), (HEADERS, 10**10, 413)],
)
def test_client_that_asks_first_hears_no_before_it_sends(serve, headers, size: int, status: int) -> None:
    with Raw(serve()) as client:
        client.head(f"POST {UPLOAD}", **headers, Content_Type=FORM, Content_Length=size, Expect="100-continue")
        assert client.rest().startswith(f"HTTP/1.1 {status} ".encode())


def test_client_that_asks_first_hears_yes(serve, tone) -> None:
    body = FILE + tone().read_bytes() + END
    with Raw(serve()) as client:
        client.head(f"POST {UPLOAD}", **HEADERS, Content_Type=FORM, Content_Length=len(body), Expect="100-continue")
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(body)
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize("path", ["/v1/webhooks", "/api/v1/transcribe/result/x"])
def test_large_json_is_413_before_it_is_read(client: TestClient, tone, path: str) -> None:
    if "result" in path:
        task = send(client, tone()).json()["task_id"]
        wait(client, task)
        path = path.replace("/x", f"/{task}")

    def body() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    method = "PATCH" if "result" in path else "POST"
    answer = client.request(method, path, content=body(), headers={"Content-Length": str(10**8)})
    assert answer.status_code == 413


# --- slow bodies ---


def test_upload_of_a_byte_now_and_then_is_408_and_leaves_no_file(serve, files: Files) -> None:
    with uploading(serve(upload_idle_seconds=0.6), files) as client:
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.05):
                client.send(b"x")

        with ThreadPoolExecutor(1) as thread:
            dripping = thread.submit(drip)
            status, detail = problem(client.rest())
            stop.set()
            dripping.exception()
        assert status == 408 and "UPLOAD_IDLE_SECONDS" in detail
        assert files.recordings() == []


def test_upload_that_stops_half_way_is_408_and_leaves_no_file(serve, files: Files) -> None:
    with uploading(serve(upload_idle_seconds=0.5), files) as client:
        status, detail = problem(client.rest())
        assert status == 408 and "UPLOAD_IDLE_SECONDS" in detail
        assert files.recordings() == []


def test_upload_that_takes_too_long_in_all_is_408(serve, files: Files) -> None:
    with uploading(serve(upload_timeout_seconds=1.0, upload_idle_seconds=60), files) as client:
        began = time.monotonic()
        while time.monotonic() - began < 0.9:
            client.send(bytes(2000))
            time.sleep(0.05)
        status, detail = problem(client.rest())
        assert status == 408 and "UPLOAD_TIMEOUT_SECONDS" in detail
        assert files.recordings() == []


def test_upload_at_a_steady_pace_is_taken_however_long_it_is(serve, tone) -> None:
    body = FILE + tone().read_bytes() + END
    with Raw(serve(upload_idle_seconds=0.5)) as client:
        client.head(f"POST {UPLOAD}", **HEADERS, Content_Type=FORM, Content_Length=len(body))
        for start in range(0, len(body), 2048):
            client.send(body[start : start + 2048])
            time.sleep(0.06)
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 202 ")


def test_client_that_leaves_half_way_leaves_no_file(serve, files: Files) -> None:
    with uploading(serve(), files):
        pass
    eventually(lambda: not files.recordings())


@pytest.mark.parametrize("what", ["edit", "webhook"])
def test_slow_json_is_408(serve, tone, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(bodies, "WITH_SMALL_ONES", bodies.Patience(idle=0.3, whole=1.0))
    server = serve()
    path = "POST /v1/webhooks"
    if what == "edit":
        path = f"PATCH /api/v1/transcribe/result/{transcribed(server, tone())}"
    with Raw(server) as client:
        client.head(path, **HEADERS, Content_Length=30)
        client.send("{")
        assert client.rest().startswith(b"HTTP/1.1 408 ")


# --- clients that do not read ---


def test_client_that_does_not_read_holds_neither_memory_nor_the_database(serve, tone) -> None:
    server = serve(patience=Patience(answer=0.5))
    task = transcribed(server, tone(300.0))
    database: Any = parts_of(server).store.database
    with ExitStack() as stack:
        for _ in range(5):
            client = stack.enter_context(Raw(server, receive_buffer=4096))
            client.head(f"GET /api/v1/transcribe/audio/{task}", **HEADERS)
            client.until(b"\r\n\r\n")
        assert len(server.server_state.tasks) == 5  # the recording is larger than what the system's buffers take
        assert database.engine.pool.checkedout() == database.readers.pool.checkedout() == 0
        with Raw(server) as other:
            other.head("GET /api/v1/transcribe/tasks", **HEADERS, Connection="close")
            assert other.rest().startswith(b"HTTP/1.1 200 ")
        eventually(lambda: not server.server_state.tasks and not server.server_state.connections)


# --- how much at once ---


def test_upload_over_the_most_at_once_is_503_and_says_when_to_come_back(serve, files: Files, tone) -> None:
    server = serve(max_uploads=1)
    body = FILE + tone().read_bytes() + END
    with uploading(server, files), Raw(server) as late:
        late.head(f"POST {UPLOAD}", **HEADERS, Content_Type=FORM, Content_Length=len(body))
        answer = late.rest()
        status, detail = problem(answer)
        assert status == 503 and "MAX_UPLOADS" in detail and b"retry-after: 5" in answer
    eventually(lambda: not files.recordings())
    with Raw(server) as again:
        again.head(f"POST {UPLOAD}", **HEADERS, Content_Type=FORM, Content_Length=len(body))
        again.send(body)
        assert again.until(b"\r\n\r\n").startswith(b"HTTP/1.1 202 ")


@pytest.fixture
def busy(make_client, tone, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TestClient]:
    """Make an app whose only worker is busy, and that takes any file for a recording, without a look at it."""

    async def taken(path: Path, channels: Channels) -> float:
        return 1.0

    def make(**settings: Any) -> TestClient:
        monkeypatch.setattr(decoder, "probe", taken)
        client = make_client(max_concurrent_tasks=1, shutdown_grace_seconds=0, **settings)
        wait(client, send(client, tone(), prompt=LONG).json()["task_id"], "processing")
        return client

    return make


def unread(client: TestClient, path: str = UPLOAD, **headers: str) -> Any:
    """Send an upload whose body must not be read."""

    def body() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    return client.post(path, content=body(), headers={"Content-Type": FORM, "Content-Length": "1000"} | headers)


def test_full_queue_is_503_before_the_body_is_read(busy, tone) -> None:
    client = busy(max_queue=2)
    waiting = [send(client, tone()).json()["task_id"] for _ in range(2)]
    answer = unread(client)
    assert answer.status_code == 503 and answer.headers["retry-after"] == "30"
    assert "MAX_QUEUE)" in answer.json()["detail"]
    assert unread(client, "/v1/audio/transcriptions").json()["error"]["type"] == "server_error"
    client.post(f"/api/v1/transcribe/cancel/{waiting[0]}")
    assert send(client, tone()).status_code == 202


def test_key_with_too_many_tasks_waiting_is_429_and_others_are_served(busy, tone) -> None:
    client = busy(max_queue_per_key=1, api_key=KEY, api_keys="bob:k2")
    assert send(client, tone()).status_code == 202
    answer = unread(client)
    assert answer.status_code == 429 and answer.headers["retry-after"] == "30"
    assert "MAX_QUEUE_PER_KEY" in answer.json()["detail"]
    assert unread(client, "/v1/audio/transcriptions").json()["error"]["code"] == "rate_limit_exceeded"
    assert send(client, tone(), headers={"X-API-Key": "k2"}).status_code == 202


def test_uploads_at_once_do_not_overrun_the_queue(busy, tone, files: Files) -> None:
    client, recording = busy(max_queue=3), tone()
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: send(client, recording), range(12)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(202) == 3 and statuses.count(503) == 9
    assert soon(lambda: len(files.recordings()) == 4)  # a worker has a copy of its own while it decodes one
    assert soon(lambda: client.get("/health").json()["queue_depth"] == 3)


def test_task_that_follows_another_waits_as_well(busy, tone) -> None:
    client = busy(max_queue=1, result_cache=True)
    assert send(client, tone(), prompt=LONG).status_code == 202  # the same work as the one that runs
    assert send(client, tone()).status_code == 503


def test_retry_into_a_full_queue_is_503_and_the_task_stays_as_it_is(busy, tone) -> None:
    client = busy(max_queue=1)
    task = send(client, tone()).json()["task_id"]
    client.post(f"/api/v1/transcribe/cancel/{task}")
    assert send(client, tone()).status_code == 202
    assert client.post(f"/api/v1/transcribe/retry/{task}").status_code == 503
    assert client.get(f"/api/v1/transcribe/status/{task}").json()["status"] == "cancelled"


def test_place_is_free_again_whatever_comes_of_an_upload(make_client, tone) -> None:
    client = make_client(max_uploads=1)
    assert client.post(UPLOAD, content=b"no form").status_code == 400
    assert send(client, tone(), language="klingon").status_code == 400
    assert send(client, tone()).status_code == 202

    async def nobody(parts: Parts) -> None:
        assert parts.uploads.taken == 0

    on_server(client, nobody)
