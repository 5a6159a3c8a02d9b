"""The client against a small server that keeps the HTTP contract."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from whisperx_api.client import ApiError, Client, ServerUnreachable, TaskState

PROBLEM = "application/problem+json"
TRANSCRIPT = {
    "task_id": "t1",
    "language": "en",
    "duration": 30.0,
    "text": "Hello?",
    "speakers": [],
    "models": {},
    "warnings": [],
    "segments": [{"id": 0, "start": 6.71, "end": 7.16, "text": "Hello?", "speaker": "SPEAKER_00", "words": []}],
}


class Server(ThreadingHTTPServer):
    """Answers in turn from `statuses`, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, bytes]] = []
        self.statuses: list[Any] = []
        self.chunks: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server  # type: ignore[assignment]  # the server that made it

    def respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.requests.append((self.command, self.path, body))
        path = self.path.removeprefix("/api/v1/transcribe")
        if self.headers.get("X-API-Key") != "secret":
            return self.answer(401, {"detail": "A key is needed: send it as X-API-Key."}, PROBLEM)
        if path == "/upload":
            return self.answer(202, {"task_id": "t1", "status": "pending", "message": "queued"})
        if path.startswith("/status/"):
            answer = self.server.statuses.pop(0)
            if isinstance(answer, int):
                return self.answer(answer, {"detail": "busy"}, PROBLEM)
            return self.answer(200, {"task_id": "t1", "result": None, "new_field": 1, **answer})
        if "format=srt" in path:
            return self.answer(200, "1\né".encode(), "application/x-subrip")
        if path.startswith("/result/"):
            return self.answer(200, TRANSCRIPT)
        if path.startswith("/cancel/"):
            return self.answer(200, {"task_id": "t1", "status": "cancelled"})
        if path.startswith("/tasks"):
            task = {"task_id": "t1", "status": "failed", "error": "It broke."}
            return self.answer(200, {"tasks": [task], "cursor": None})
        if self.command == "DELETE":
            return self.answer(204)
        if path.startswith("/page"):
            return self.answer(200, b"<html>", "text/html")
        return self.answer(404, b"nothing here", "text/plain")

    do_GET = do_POST = do_DELETE = do_PATCH = respond

    def answer(self, status: int, body: Any = b"", kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url + "/", "secret", timeout=5) as client:
        yield client


def test_upload_sends_the_file_and_only_the_options_that_are_given(client: Client, server: Server, tmp_path: Path):
    (tmp_path / "call.mp3").write_bytes(b"sound" * 1000)
    task = client.upload(tmp_path / "call.mp3", language="en", num_speakers=2, enable_diarization=False, model=None)
    assert (task.task_id, task.status) == ("t1", TaskState.PENDING)
    [(method, path, body)] = server.requests
    assert (method, path) == ("POST", "/api/v1/transcribe/upload")
    assert b'filename="call.mp3"' in body and b"sound" * 1000 in body
    assert b'name="num_speakers"\r\n\r\n2\r\n' in body
    assert b'name="enable_diarization"\r\n\r\nfalse\r\n' in body
    assert b'name="model"' not in body


def test_upload_never_reads_much_of_the_file_at_once(client: Client):
    class Recording(io.BytesIO):
        name = "long.wav"
        largest = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.largest = max(self.largest, len(data))
            return data

    recording = Recording(bytes(8 << 20))
    client.upload(recording)
    assert 0 < recording.largest <= 1 << 20


def test_wait_polls_until_the_task_is_over(client: Client, server: Server):
    server.statuses = [
        {"status": "pending", "queue_position": 1},
        {"status": "processing", "progress": 40, "stage": "transcribe", "eta_seconds": 3},
        {"status": "completed", "progress": 100},
    ]
    seen: list[Any] = []
    assert client.wait("t1", seen.append, poll_seconds=0.01).status is TaskState.COMPLETED
    assert [(s.status.value, s.progress, s.stage) for s in seen] == [
        ("pending", 0, None),
        ("processing", 40, "transcribe"),
        ("completed", 100, None),
    ]
    assert client.result("t1")["segments"][0]["speaker"] == "SPEAKER_00"


@pytest.mark.timeout(20)
def test_wait_outlasts_a_restart_but_not_an_error(client: Client, server: Server):
    server.statuses = [503, 429, {"status": "failed", "error": "No words."}]
    assert client.wait("t1", poll_seconds=0.01).error == "No words."
    server.statuses = [404]
    with pytest.raises(ApiError) as caught:
        client.wait("t1", poll_seconds=0.01)
    assert caught.value.status_code == 404
    server.statuses = [503] * 50
    with pytest.raises(ApiError):
        client.wait("t1", poll_seconds=0.01, patience=0.05)


def test_cancel_delete_and_list(client: Client, server: Server):
    assert client.cancel("t1").status is TaskState.CANCELLED
    client.delete("t1")
    [task] = client.tasks(TaskState.FAILED, limit=5)
    assert task.error == "It broke."
    assert [(m, p.removeprefix("/api/v1/transcribe")) for m, p, _ in server.requests] == [
        ("POST", "/cancel/t1"),
        ("DELETE", "/task/t1"),
        ("GET", "/tasks?status=failed&limit=5"),
    ]


def test_formats_are_taken_as_they_are_and_edits_sent(client: Client, server: Server):
    assert client.written("t1", "srt", max_line_width=42, highlight_words=True, max_line_count=None) == "1\né".encode()
    assert server.requests[-1][1].endswith("/result/t1?format=srt&max_line_width=42&highlight_words=true")
    assert client.edit("t1", speakers={"SPEAKER_00": "Katie"}, texts={3: "Yes."})["text"] == "Hello?"
    method, path, body = server.requests[-1]
    assert (method, path) == ("PATCH", "/api/v1/transcribe/result/t1")
    assert json.loads(body) == {"speakers": {"SPEAKER_00": "Katie"}, "segments": [{"id": 3, "text": "Yes."}]}


def test_problem_document_becomes_an_error_with_its_sentence(server: Server):
    with Client(server.url, "wrong") as client, pytest.raises(ApiError) as caught:
        client.status("t1")
    assert (caught.value.status_code, str(caught.value)) == (401, "A key is needed: send it as X-API-Key.")


def test_error_without_a_problem_document_names_the_status(client: Client):
    with pytest.raises(ApiError, match="The server answered 404 Not Found"):
        client._call("GET", "/elsewhere")


def test_other_servers_and_none_are_told_apart(client: Client, server: Server):
    with pytest.raises(ServerUnreachable, match="no whisperx-api server"):
        client._call("GET", "/page")
    for url in ("http://127.0.0.1:9", "localhost:9", "http://[bad"):
        with pytest.raises(ServerUnreachable) as caught, Client(url) as other:
            other.status("t1")
        assert url in str(caught.value)
