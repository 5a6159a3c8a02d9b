"""Both clients against a small server that keeps the HTTP contract, and breaks it where it is told to."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_type_hints

import psutil
import pytest

from tests.clients import BOTH
from whisperx_api.api.schemas import SegmentOut, WordOut
from whisperx_api.client import (
    ApiError,
    Client,
    Ended,
    Progressed,
    RecordingChanged,
    Retries,
    SegmentAnswer,
    SegmentHeard,
    ServerUnreachable,
    TaskFailed,
    TaskState,
    WordAnswer,
    idempotency_key,
)
from whisperx_api.client.requests import Request

PROBLEM = "application/problem+json"
QUICK = Retries(most=3, first=0.01, longest=5)
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
HANG_UP = 0
"""In place of a status: the connection is closed without an answer."""


class Server(ThreadingHTTPServer):
    """Answers in turn from `statuses`, and keeps what it was sent. `mishaps` come first: a status and headers each.

    `posing`, where there is one, answers in its place: a status, headers and a body for a path.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, bytes]] = []
        self.keys: list[str | None] = []
        self.times: list[float] = []
        self.statuses: list[Any] = []
        self.mishaps: list[tuple[int, dict[str, str]]] = []
        self.posing: Callable[[str], tuple[int, dict[str, str], bytes]] | None = None
        self.uploaded: dict[str, Any] = {"task_id": "t1", "status": "pending", "message": "queued"}
        self.retried: tuple[int, dict[str, Any]] = (200, {"task_id": "t1", "status": "pending"})
        self.streams: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients hang up here, and are hung up on."""


class Handler(BaseHTTPRequestHandler):
    server: Server  # type: ignore[assignment]  # the server that made it

    def respond(self) -> None:
        server, path = self.server, self.path.removeprefix("/api/v1/transcribe")
        server.requests.append((self.command, self.path, self.body()))
        server.keys.append(self.headers.get("Idempotency-Key"))
        server.times.append(time.monotonic())
        if server.posing is not None:
            status, headers, body = server.posing(self.path)
            return self.answer(status, body, headers.pop("Content-Type", "text/html"), headers)
        if server.mishaps:
            status, headers = server.mishaps.pop(0)
            if status == HANG_UP:
                return self.connection.shutdown(socket.SHUT_RDWR)
            return self.answer(status, {"detail": "Come again."}, PROBLEM, headers)
        if self.headers.get("X-API-Key") != "secret":
            return self.answer(401, {"detail": "A key is needed: send it as X-API-Key."}, PROBLEM)
        if path == "/upload":
            return self.answer(202, server.uploaded)
        if path.startswith("/status/"):
            answer = server.statuses.pop(0)
            if isinstance(answer, int):
                return self.answer(answer, {"detail": "busy"}, PROBLEM)
            return self.answer(200, {"task_id": "t1", "result": None, "new_field": 1, **answer})
        if path.startswith("/events/"):
            return self.answer(200, server.streams.pop(0).encode(), "text/event-stream")
        if path == "/audio/torn":
            return self.answer(200, b"sound", "audio/wav", {"Transfer-Encoding": "chunked"})  # which this is not
        if path.startswith("/audio/"):
            return self.answer(200, b"sound" * 100_000, "audio/wav")
        if "format=srt" in path:
            return self.answer(200, "1\né".encode(), "application/x-subrip")
        if path.startswith("/result/"):
            return self.answer(200, TRANSCRIPT)
        if path.startswith("/cancel/"):
            return self.answer(200, {"task_id": "t1", "status": "cancelled"})
        if path.startswith("/retry/"):
            return self.answer(*server.retried)
        if path.startswith("/tasks"):
            return self.tasks(path)
        if self.command == "DELETE":
            return self.answer(204)
        if path.startswith("/page"):
            return self.answer(200, b"<html>", "text/html")
        return self.answer(404, b"nothing here", "text/plain")

    def tasks(self, path: str) -> None:
        first = "cursor=" not in path
        task = {"task_id": "t1" if first else "t2", "status": "failed", "error": "It broke."}
        self.answer(200, {"tasks": [task], "next_cursor": "7" if first else None})

    do_GET = do_POST = do_DELETE = do_PATCH = respond

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def answer(
        self, status: int, body: Any = b"", kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(params=BOTH)
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """What makes a client: one of the two."""
    return BOTH[request.param]


@pytest.fixture
def client(server: Server, make: Callable[..., Any]) -> Iterator[Client]:
    with make(server.url + "/", "secret", timeout=5, retries=QUICK) as client:
        yield client


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    (tmp_path / "call.mp3").write_bytes(b"sound" * 200_000)
    return tmp_path / "call.mp3"


def test_upload_sends_the_file_and_only_the_options_that_are_given(client: Client, server: Server, recording: Path):
    task = client.upload(recording, language="en", num_speakers=2, enable_diarization=False, model=None)
    assert (task.task_id, task.status) == ("t1", TaskState.PENDING)
    [(method, path, body)] = server.requests
    assert (method, path) == ("POST", "/api/v1/transcribe/upload")
    assert b'filename="call.mp3"' in body and b"sound" * 200_000 in body
    assert b'name="num_speakers"\r\n\r\n2\r\n' in body
    assert b'name="enable_diarization"\r\n\r\nfalse\r\n' in body
    assert b'name="model"' not in body
    assert server.keys == [None]


def test_recording_at_a_url_goes_without_a_file(client: Client, server: Server):
    server.uploaded |= {"webhook_id": "w1", "webhook_secret": "whsec_x"}
    task = client.upload(url="https://example.org/a.mp3", idempotency_key=True)
    assert (task.webhook_id, task.webhook_secret) == ("w1", "whsec_x")
    [(_, _, body)] = server.requests
    assert b'name="url"\r\n\r\nhttps://example.org/a.mp3\r\n' in body and b'name="file"' not in body
    assert server.keys[0]


def test_server_has_time_to_take_what_was_sent(server: Server, make: Callable[..., Any], recording: Path):
    def fetched(path: str) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.8)
        return 202, {"Content-Type": "application/json"}, json.dumps(server.uploaded).encode()

    server.posing = fetched
    with make(server.url, "secret", timeout=0.3, retries=QUICK) as client:
        for sent in ({"file": recording}, {"url": "https://example.org/a.mp3", "idempotency_key": True}):
            assert client.upload(**sent).task_id == "t1"
        assert len(server.requests) == 2
        with pytest.raises(ServerUnreachable, match="took too long"):
            client.cancel("t1")


def test_secret_of_a_webhook_is_not_shown_with_its_task(client: Client, server: Server, recording: Path):
    server.uploaded |= {"webhook_id": "w1", "webhook_secret": "whsec_x"}
    task = client.upload(recording)
    assert task.webhook_secret == "whsec_x" and "whsec_x" not in f"{task} {task!r}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_asked_through_no_proxy(
    host: str, server: Server, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        server.statuses = [{"status": "pending"}]
        with make(f"http://{host}:{server.server_port}", "secret", timeout=1, retries=QUICK) as client:
            assert client.status("t1").status is TaskState.PENDING
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_file_without_a_name_has_a_usual_one(client: Client, server: Server, tmp_path: Path):
    with tempfile.TemporaryFile() as numbered, tempfile.SpooledTemporaryFile() as spooled:
        files: list[Any] = [numbered, spooled, io.BytesIO()]
        keys = {idempotency_key(file, {}) for file in files}
        for file in files:
            client.upload(file)
    assert len(keys) == 1
    assert all(b'filename="recording"' in body for _, _, body in server.requests)
    with open(os.fsencode(tmp_path / "call.mp3"), "wb+") as named:
        client.upload(named)
    assert b'filename="call.mp3"' in server.requests[-1][2]


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


def test_upload_tells_how_many_bytes_are_sent(client: Client, server: Server, recording: Path):
    told: list[tuple[int, int | None]] = []
    client.upload(recording, on_sent=lambda *sent: told.append(sent))
    size = recording.stat().st_size
    assert told[0] == (0, size) and told[-1] == (size, size) and len(told) > 3
    assert told == sorted(told)


def test_stream_that_tells_no_size_is_sent_all_the_same(client: Client, server: Server):
    told: list[tuple[int, int | None]] = []
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, open(writing, "wb") as end:
        end.write(b"piped sound")
        end.close()
        client.upload(pipe, on_sent=lambda *sent: told.append(sent))
    assert b"piped sound\r\n--" in server.requests[0][2] and told[-1] == (11, None)


def test_what_is_no_recording_is_told(client: Client, server: Server, recording: Path):
    with recording.open(errors="replace") as text:
        for wrong in (b"sound", 7, text):
            with pytest.raises(TypeError, match="A recording is a path or a file that is open in binary mode, not"):
                client.upload(wrong)  # type: ignore[arg-type]  # which is what is told
    assert server.requests == []


def test_file_is_closed_when_its_upload_is_over(client: Client, server: Server, recording: Path):
    server.mishaps = [(503, {})]
    with pytest.raises(ApiError) as caught:  # which keeps all that was at work
        client.upload(recording)
    assert caught.value.passing and str(recording) not in [file.path for file in psutil.Process().open_files()]


# --- again ---


def test_request_that_may_be_repeated_outlasts_what_passes(client: Client, server: Server):
    server.statuses = [{"status": "pending"}]
    server.mishaps = [(HANG_UP, {}), (503, {}), (502, {})]
    assert client.status("t1").status is TaskState.PENDING
    assert len(server.requests) == 4
    server.mishaps = [(504, {})] * 4
    with pytest.raises(ApiError, match=r"Come again\."):
        client.result("t1")
    assert server.mishaps == []


def test_server_is_given_the_time_that_it_asks_for(client: Client, server: Server):
    server.statuses = [{"status": "pending"}]
    server.mishaps = [(429, {"Retry-After": "1"})]
    client.status("t1")
    assert 1 <= server.times[1] - server.times[0] < 2
    server.mishaps = [(429, {"Retry-After": "3600"})]
    with pytest.raises(ApiError) as caught:
        client.result("t1")
    assert caught.value.retry_after == 3600 and server.mishaps == []
    later = format_datetime(datetime.now(timezone.utc) + timedelta(hours=2))
    server.mishaps = [(503, {"Retry-After": later})]
    with pytest.raises(ApiError) as caught:
        client.result("t1")
    assert 7100 < (caught.value.retry_after or 0) <= 7200


def test_what_must_not_be_done_twice_is_asked_for_once(client: Client, server: Server, recording: Path):
    calls: list[Callable[[], object]] = [
        lambda: client.cancel("t1"),
        lambda: client.retry("t1"),
        lambda: client.edit("t1", texts={0: "Yes."}),
        lambda: client.upload(recording),
    ]
    for call in calls:
        server.mishaps = [(503, {})]
        with pytest.raises(ApiError):
            call()
    assert len(server.requests) == len(calls)
    server.mishaps = [(404, {})]
    with pytest.raises(ApiError):
        client.status("t1")
    assert len(server.requests) == len(calls) + 1


def test_upload_with_a_key_is_sent_again_as_a_whole(client: Client, server: Server, recording: Path):
    server.mishaps = [(HANG_UP, {}), (429, {"Retry-After": "0"})]
    assert client.upload(recording, idempotency_key="mine").task_id == "t1"
    assert server.keys == ["mine"] * 3
    assert all(body.count(b"sound") == 200_000 for _, _, body in server.requests)


def test_stream_that_cant_be_rewound_is_not_sent_again(client: Client, server: Server):
    reading, writing = os.pipe()
    server.mishaps = [(503, {})]
    with open(reading, "rb") as pipe, open(writing, "wb") as end:
        end.write(b"sound")
        end.close()
        with pytest.raises(ValueError, match="only once"):
            client.upload(pipe, idempotency_key=True)
        assert server.requests == []
        with pytest.raises(ApiError):
            client.upload(pipe, idempotency_key="mine")
    assert len(server.requests) == 1


def test_key_that_is_made_stands_for_name_content_and_options(client: Client, server: Server, recording: Path):
    client.upload(recording, idempotency_key=True, language="en")
    client.upload(recording, idempotency_key=True, language="en", model=None)
    client.upload(recording, idempotency_key=True, language="de")
    other = recording.with_name("other.mp3")
    other.write_bytes(recording.read_bytes())
    client.upload(other, idempotency_key=True, language="en")
    recording.write_bytes(b"other")
    client.upload(recording, idempotency_key=True, language="en")
    first, same, *others = server.keys
    assert first == same and len({first, *others}) == 4
    assert server.keys[4] == idempotency_key(recording, {"language": "en"})


def test_file_that_becomes_shorter_while_it_is_sent_is_told(client: Client, recording: Path):
    def shorten(sent: int, size: int | None) -> None:
        os.truncate(recording, 300_000)

    with pytest.raises(RecordingChanged, match="became shorter"):
        client.upload(recording, on_sent=shorten)


def test_delete_whose_answer_is_lost_is_done(client: Client, server: Server):
    server.mishaps = [(HANG_UP, {}), (404, {})]
    client.delete("t1")
    server.mishaps = [(404, {})]
    with pytest.raises(ApiError):
        client.delete("t1")


def test_pauses_double_up_to_the_longest_and_are_spread():
    error, retries = ServerUnreachable("Nobody."), Retries(most=6, first=1, longest=10)
    assert [retries.pause(failures, error, 1.0) for failures in range(1, 8)] == [1, 2, 4, 8, 10, 10, None]
    assert retries.pause(2, error, 0.0) == 1
    assert retries.pause(1, ServerUnreachable("No URL.", passing=False), 1.0) is None
    assert retries.pause(1, ApiError(404, "None."), 1.0) is None
    assert retries.pause(1, ApiError(429, "Later.", 7), 0.5) == 7.5
    assert retries.pause(1, ApiError(429, "Later.", 11), 0.5) is None
    assert Retries(most=0).pause(1, error, 0.0) is None


# --- tasks ---


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
    away: list[Exception] = []
    assert client.wait("t1", poll_seconds=0.01, on_away=away.append).error == "No words."
    assert len(away) == 2
    server.statuses = [404]
    with pytest.raises(ApiError) as caught:
        client.wait("t1", poll_seconds=0.01)
    assert caught.value.status_code == 404
    server.statuses = [503] * 50
    with pytest.raises(ApiError):
        client.wait("t1", poll_seconds=0.01, patience=0.05)


def test_wait_and_events_give_the_server_the_time_that_it_asks_for(client: Client, server: Server):
    server.statuses, server.streams = [{"status": "completed"}], [said("completed", status="completed")]
    server.mishaps = [(429, {"Retry-After": "1"})]
    client.wait("t1", poll_seconds=0.01)
    server.mishaps = [(503, {"Retry-After": "1"})]
    list(client.events("t1"))
    polled, again, heard, last = server.times
    assert again - polled >= 1 and last - heard >= 1
    server.mishaps = [(429, {"Retry-After": "3600"})] * 9
    with pytest.raises(ApiError, match="Come again"):
        client.wait("t1", poll_seconds=0.01, patience=0.1)
    assert len(server.times) == 6, "once more where patience ends"


@pytest.mark.parametrize("asked", ["9" * 400, "Mon, 01 Jan 2024 00:00:00 +9999999999999999999", "soon"])
def test_time_that_is_none_is_passed_over(client: Client, server: Server, asked: str):
    server.mishaps = [(429, {"Retry-After": asked})]
    with pytest.raises(ApiError) as caught:
        client.cancel("t1")
    assert caught.value.retry_after is None


def test_transcribe_is_upload_wait_and_result_in_one(client: Client, server: Server, recording: Path):
    server.statuses = [{"status": "processing", "progress": 50}, {"status": "completed", "progress": 100}]
    sent: list[int] = []
    seen: list[float] = []
    transcript = client.transcribe(
        recording, language="en", on_sent=lambda done, _: sent.append(done), poll_seconds=0.01,
        on_progress=lambda status: seen.append(status.progress),
    )  # fmt: skip
    assert transcript["text"] == "Hello?" and seen == [50, 100] and sent[-1] == recording.stat().st_size


def test_transcribe_raises_the_servers_own_sentence(client: Client, server: Server, recording: Path):
    server.statuses = [{"status": "failed", "error": "No token: set HF_TOKEN."}, {"status": "cancelled"}]
    with pytest.raises(TaskFailed, match=r"^No token: set HF_TOKEN\.$") as caught:
        client.transcribe(recording)
    assert caught.value.status.task_id == "t1"
    with pytest.raises(TaskFailed, match=r"^The task was cancelled\.$"):
        client.transcribe(recording)


def test_transcribe_takes_up_what_had_failed_under_its_key(client: Client, server: Server, recording: Path):
    server.uploaded = {"task_id": "t1", "status": "cancelled"}
    server.statuses = [{"status": "completed"}] * 2
    assert client.transcribe(recording, idempotency_key=True)["text"] == "Hello?"
    assert server.requests[1][:2] == ("POST", "/api/v1/transcribe/retry/t1")
    server.retried = (409, {"detail": "The task is processing: there is nothing to retry."})  # by somebody else
    assert client.transcribe(recording, idempotency_key=True)["text"] == "Hello?"
    server.retried = (500, {"detail": "It broke."})
    with pytest.raises(ApiError, match="It broke"):
        client.transcribe(recording, idempotency_key=True)


def test_cancel_delete_and_list(client: Client, server: Server):
    assert client.cancel("t1").status is TaskState.CANCELLED
    client.delete("t1")
    [task] = client.tasks(TaskState.FAILED, limit=5)
    assert task.error == "It broke."
    assert client.retry("t1").status is TaskState.PENDING
    assert [(m, p.removeprefix("/api/v1/transcribe")) for m, p, _ in server.requests] == [
        ("POST", "/cancel/t1"),
        ("DELETE", "/task/t1"),
        ("GET", "/tasks?status=failed&limit=5"),
        ("POST", "/retry/t1"),
    ]


def test_all_tasks_are_listed_a_page_at_a_time(client: Client, server: Server):
    assert [task.task_id for task in client.iter_tasks(page_size=1)] == ["t1", "t2"]
    assert [path.partition("?")[2] for _, path, _ in server.requests] == ["limit=1", "limit=1&cursor=7"]


def test_formats_are_taken_as_they_are_and_edits_sent(client: Client, server: Server):
    assert client.written("t1", "srt", max_line_width=42, highlight_words=True, max_line_count=None) == "1\né".encode()
    assert server.requests[-1][1].endswith("/result/t1?format=srt&max_line_width=42&highlight_words=true")
    assert client.edit("t1", speakers={"SPEAKER_00": "Katie"}, texts={3: "Yes."})["text"] == "Hello?"
    method, path, body = server.requests[-1]
    assert (method, path) == ("PATCH", "/api/v1/transcribe/result/t1")
    assert json.loads(body) == {"speakers": {"SPEAKER_00": "Katie"}, "segments": [{"id": 3, "text": "Yes."}]}


def test_recording_is_fetched_whole_or_not_at_all(client: Client, server: Server, tmp_path: Path):
    server.mishaps = [(HANG_UP, {})]
    assert client.audio("t1", tmp_path / "back.wav").read_bytes() == b"sound" * 100_000
    server.mishaps = [(404, {})]
    with pytest.raises(ApiError):
        client.audio("t1", tmp_path / "none.wav")
    with pytest.raises(ServerUnreachable):
        client.audio("torn", tmp_path / "torn.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["back.wav"]
    longest = tmp_path / f"{'a' * 251}.wav"
    assert client.audio("t1", longest).stat().st_size == 500_000


def test_id_is_part_of_the_path_whatever_is_in_it(client: Client, server: Server):
    client.result("../tasks?limit=1#/é")
    assert server.requests[0][1] == "/api/v1/transcribe/result/..%2Ftasks%3Flimit%3D1%23%2F%C3%A9"


# --- events ---


def said(event: str, **data: Any) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


WORD = {"start": 0.0, "end": 1.0, "text": "Hello", "speaker": None, "avg_logprob": None}


def test_events_are_typed_and_outlast_lost_connections(client: Client, server: Server):
    working = said("progress", task_id="t1", status="processing", progress=10)
    server.streams = [
        working + ": ping\n\n" + said("segment", id=0, **WORD) + said("segment", id=1, **WORD),
        working + said("later", anything=1) + said("segment", id=0, **WORD),
        said("completed", task_id="t1", status="completed", progress=100) + said("progress", status="processing"),
    ]
    first, *texts, last = client.events("t1")
    assert isinstance(first, Progressed) and first.status.progress == 10
    assert [text.segment["id"] for text in texts if isinstance(text, SegmentHeard)] == [0, 1, 2]
    assert isinstance(last, Ended) and last.status.status is TaskState.COMPLETED
    assert len(server.requests) == 3


def test_events_of_a_task_that_is_deleted_end(client: Client, server: Server):
    server.streams = [said("cancelled", status="cancelled")]
    [last] = client.events("t1")
    assert isinstance(last, Ended) and (last.status.task_id, last.status.status) == ("t1", TaskState.CANCELLED)


def test_events_give_up_as_a_wait_does(client: Client, server: Server):
    server.mishaps = [(404, {})]
    with pytest.raises(ApiError):
        list(client.events("t1"))
    assert len(server.requests) == 1
    server.mishaps = [(503, {})] * 50
    with pytest.raises(ApiError):
        list(client.events("t1", patience=0.3))
    assert 2 <= len(server.requests) < 10
    server.mishaps, server.streams = [], ["event: progress\ndata: <html>\n\n"]
    with pytest.raises(ServerUnreachable, match="no whisperx-api server"):
        list(client.events("t1"))


# --- answers that are none ---


def every(client: Client, recording: Path, to: Path) -> dict[str, Callable[[], object]]:
    """Return a call of each method."""
    return {
        "upload": lambda: client.upload(recording),
        "transcribe": lambda: client.transcribe(recording),
        "status": lambda: client.status("t1"),
        "wait": lambda: client.wait("t1"),
        "events": lambda: list(client.events("t1")),
        "result": lambda: client.result("t1"),
        "written": lambda: client.written("t1", "srt"),
        "edit": lambda: client.edit("t1", texts={0: "Yes."}),
        "audio": lambda: client.audio("t1", to),
        "cancel": lambda: client.cancel("t1"),
        "retry": lambda: client.retry("t1"),
        "delete": lambda: client.delete("t1"),
        "tasks": lambda: client.tasks(),
        "iter_tasks": lambda: list(client.iter_tasks()),
    }


@pytest.mark.parametrize(
    ("posing", "sentence"),
    [
        (
            lambda path: (301, {"Location": f"https://asr.example{path}"}, b"<html>"),
            r"give https://asr\.example as the",
        ),
        (
            lambda path: (307, {"Location": f"https://asr.example/in{path}"}, b""),
            r"give https://asr\.example/in as the",
        ),
        (
            lambda _: (302, {"Location": "https://127.0.0.1/login?to=x"}, b""),
            r"on to https://.*/login: .*, with https://",
        ),
        (
            lambda _: (303, {"Location": "/login"}, b""),
            r"on to http://127\.0\.0\.1:\d+/login: give the URL of the server",
        ),
        (lambda _: (304, {}, b""), "no whisperx-api server"),
        (lambda _: (200, {}, b"<html>Log in."), "no whisperx-api server"),
        (lambda _: (200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"<html>"), "no whisper"),
    ],
)
def test_answer_of_another_than_the_server_is_an_error(
    client: Client, server: Server, recording: Path, tmp_path: Path, posing: Any, sentence: str
):
    server.posing = posing
    calls = every(client, recording, tmp_path / "back.wav")
    assert set(calls) == {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    for name, call in calls.items():
        with pytest.raises(ServerUnreachable, match=sentence) as caught:
            pytest.fail(f"{name} came to {call()!r}")
        assert not caught.value.passing, name
    assert len(server.requests) == len(calls)
    assert [path.name for path in tmp_path.iterdir()] == ["call.mp3"]


@pytest.mark.parametrize(
    "body", [b"{}", b"null", b'"text"', b'{"task_id": "t1", "status": "paused"}', b'{"tasks": [1]}']
)
def test_json_that_means_nothing_here_is_an_error(client: Client, server: Server, recording: Path, body: bytes):
    server.posing = lambda _: (200, {"Content-Type": "application/json"}, body)
    for name, call in every(client, recording, recording).items():
        if name != "written":  # for which JSON is a format
            with pytest.raises(ServerUnreachable, match="no whisperx-api server"):
                pytest.fail(f"{name} came to {call()!r}")


def test_connections_are_given_back_whatever_was_answered(client: Client, server: Server):
    server.posing = lambda _: (301, {"Location": "/elsewhere"}, b"<html>")
    for _ in range(101):  # one more than there may be at once
        with pytest.raises(ServerUnreachable, match="sends requests on to"):
            client.delete("t1")


# --- errors ---


def test_problem_document_becomes_an_error_with_its_sentence(server: Server, make: Callable[..., Any]):
    with make(server.url, "wrong") as client, pytest.raises(ApiError) as caught:
        client.status("t1")
    assert (caught.value.status_code, str(caught.value)) == (401, "A key is needed: send it as X-API-Key.")


def ask(client: Any, path: str) -> Any:
    return client._connection.run(client._flows.json(Request("GET", path)))


def test_error_without_a_problem_document_names_the_status(server: Server):
    with Client(server.url, "secret") as client, pytest.raises(ApiError, match="The server answered 404 Not Found"):
        ask(client, "/elsewhere")


@pytest.mark.parametrize("body", [b"nothing here", b'{"detail": "Not Found"}', b'{"error": {"message": "None."}}'])
def test_path_that_leads_nowhere_is_told_with_the_url(client: Client, server: Server, body: bytes):
    server.posing = lambda _: (404, {"Content-Type": PROBLEM}, body)
    with pytest.raises(ApiError, match=f"404 Not Found: there is no API below {server.url}. Is that its URL?"):
        client.status("t1")


def test_key_comes_with_its_line_end_and_url_without_its_scheme(server: Server, make: Callable[..., Any]):
    server.statuses = [{"status": "pending"}]
    with make(f" 127.0.0.1:{server.server_port}/", "secret\n") as client:
        assert client.status("t1").status is TaskState.PENDING
        assert client.base_url == server.url


@pytest.mark.parametrize("key", ["SEC\nRET", "SECRET\x00", "SECRÉT", "SECRET€", "SEC\udce9RET"])
def test_key_that_no_header_can_carry_is_not_shown(make: Callable[..., Any], key: str):
    with pytest.raises(ValueError, match="The API key has characters in it that no key has") as caught:
        make("http://127.0.0.1:9", key)
    assert "SEC" not in str(caught.value)


def test_other_servers_and_none_are_told_apart(server: Server, make: Callable[..., Any]):
    with Client(server.url, "secret") as client, pytest.raises(ServerUnreachable, match="no whisperx-api server"):
        ask(client, "/page")
    for url in ("http://127.0.0.1:9", "localhost:9", "http://[bad", "ftp://x", "http://", ""):
        with pytest.raises(ServerUnreachable) as caught, make(url, retries=QUICK) as other:
            other.status("t1")
        assert url in str(caught.value)


def test_client_needs_nothing_of_the_service():
    heavy = ("torch", "whisperx", "pyannote", "numpy", "fastapi", "starlette", "sqlalchemy", "pydantic", "uvicorn",
             "typer", "whisperx_api.settings", "whisperx_api.jobs", "whisperx_api.api")  # fmt: skip
    code = f"import sys, whisperx_api.client; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_types_are_shipped_with_the_package():
    import whisperx_api

    assert Path(whisperx_api.__file__).with_name("py.typed").is_file()


def test_upload_of_nothing_is_told(client: Client, server: Server):
    for call in (client.upload, client.transcribe):
        with pytest.raises(ValueError, match="There is nothing to send: name a recording, or a url"):
            call()
    assert server.requests == []


@pytest.mark.parametrize("path", ["", "/speech"])
def test_password_in_a_url_is_said_nowhere(make: Callable[..., Any], server: Server, path: str):
    url = f"http://user:pass%40word@127.0.0.1:{server.server_port}{path}"
    answers: list[tuple[int, dict[str, str], bytes]] = [
        (200, {}, b"<html>"), (404, {}, b"nothing"), (302, {"Location": "http://user:pass%40word@other.example/"}, b""),
    ]  # fmt: skip
    said = []
    with make(url, "secret", timeout=5, retries=Retries(most=0)) as client:
        for answer in answers:
            server.posing = lambda _, answer=answer: answer
            with pytest.raises((ApiError, ServerUnreachable)) as caught:
                client.status("t1")
            said.append(str(caught.value))
        server.shutdown()
        server.server_close()
        with pytest.raises(ServerUnreachable) as caught:
            client.status("t1")
        said.append(str(caught.value))
    with pytest.raises(ServerUnreachable) as refused:
        make("ftp://user:pass%40word@host")
    said.append(str(refused.value))
    with pytest.raises(ServerUnreachable) as refused:
        make("http://user:pass%40word@host:port")
    said.append(str(refused.value))
    assert all("pass" not in sentence and "user" not in sentence for sentence in said), said
    assert said[0].startswith(f"What answers at http://127.0.0.1:{server.server_port}{path} is no whisperx-api server")


@pytest.mark.parametrize(("answer", "schema"), [(WordAnswer, WordOut), (SegmentAnswer, SegmentOut)])
def test_times_and_texts_are_of_the_types_that_the_server_gives(answer: type, schema: type):
    typed, given = get_type_hints(answer), get_type_hints(schema)
    assert typed.keys() == given.keys()
    assert {name: typed[name] for name in typed if name != "words"} == {
        name: given[name] for name in given if name != "words"
    }
