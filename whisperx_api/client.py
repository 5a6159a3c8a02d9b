"""The Python client: upload a recording, wait for it, get the transcript. Needs httpx and nothing of the engine.

with Client("http://127.0.0.1:8000", api_key=KEY) as client:
    task = client.upload("call.mp3", language="en")
    client.wait(task.task_id)
    print(client.result(task.task_id)["text"])
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, TypedDict, cast

import httpx

_ROUTE = "/api/v1/transcribe"


class ClientError(Exception):
    """The server did not do what was asked. The message is a sentence."""


class ApiError(ClientError):
    """The server answered with an error: `detail` is its own sentence."""

    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(detail)
        self.status_code, self.detail = status_code, detail


class ServerUnreachable(ClientError):
    """There was no answer."""


class TaskState(str, Enum):
    """The states of a task; the last three are final."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing happens to the task any more."""
        return self in (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)


class WordAnswer(TypedDict):
    """A word: times in seconds, a score in 0..1 or None."""

    word: str
    start: float | None
    end: float | None
    score: float | None
    speaker: str | None


class SegmentAnswer(TypedDict):
    """A stretch of one speaker: times in seconds."""

    id: int
    start: float
    end: float
    text: str
    speaker: str | None
    avg_logprob: float | None
    words: list[WordAnswer]


class SpeakerAnswer(TypedDict):
    """A speaker: how long they talk, in seconds."""

    id: str
    name: str | None
    duration: float


class TranscriptAnswer(TypedDict):
    """The transcript as the server writes it."""

    task_id: str
    language: str
    duration: float
    text: str
    segments: list[SegmentAnswer]
    speakers: list[SpeakerAnswer]
    models: dict[str, str | None]
    warnings: list[str]


@dataclass(frozen=True)
class TaskStatus:
    """What the server says of a task: progress in percent, times as ISO 8601 in UTC."""

    task_id: str
    status: TaskState
    message: str | None = None
    progress: float = 0
    stage: str | None = None
    queue_position: int | None = None
    eta_seconds: float | None = None
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    error: str | None = None
    cached: bool = False
    filename: str | None = None
    duration: float | None = None

    @classmethod
    def read(cls, answer: dict[str, Any]) -> TaskStatus:
        """Read a server's answer; what this version does not know is left out."""
        known = {field.name: answer[field.name] for field in fields(cls) if field.name in answer}
        return cls(**{**known, "status": TaskState(answer["status"])})


class Client:
    """Talks to one server. `timeout` is in seconds, for connecting and for each wait for bytes."""

    def __init__(self, base_url: str, api_key: str | None = None, timeout: float = 30.0) -> None:
        self.base_url = base_url.rstrip("/")
        headers = {"X-API-Key": api_key} if api_key else {}
        try:
            self._http = httpx.Client(base_url=self.base_url, headers=headers, timeout=timeout)
        except httpx.InvalidURL as error:
            raise ServerUnreachable(f"{base_url} is no URL of a server: {error}.") from error

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def upload(self, file: str | Path | BinaryIO, **options: str | int | float | bool | None) -> TaskStatus:
        """Send a recording and return its new task. A path or open file is streamed, never held in memory whole.

        `options` are the fields of the upload (language, model, num_speakers …); None leaves one out.
        """
        fields = {name: _field(value) for name, value in options.items() if value is not None}
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(Path(file).open("rb")) if isinstance(file, str | Path) else file
            name = Path(str(getattr(stream, "name", "recording"))).name
            answer = self._call("POST", f"{_ROUTE}/upload", data=fields, files={"file": (name, stream)})
        return TaskStatus.read(answer)

    def status(self, task_id: str) -> TaskStatus:
        """Return how far a task is."""
        return TaskStatus.read(self._call("GET", f"{_ROUTE}/status/{task_id}?include_result=false"))

    def result(self, task_id: str) -> TranscriptAnswer:
        """Return the transcript of a completed task."""
        return cast(TranscriptAnswer, self._call("GET", f"{_ROUTE}/result/{task_id}"))

    def written(self, task_id: str, format: str, **options: str | int | bool | None) -> bytes:
        """Return the transcript in a format: verbose_json, diarized_json, text, srt, vtt, tsv, rttm.

        `options` are those of the endpoint (max_line_width, max_line_count, highlight_words); None leaves one out.
        """
        query = {name: _field(value) for name, value in options.items() if value is not None}
        return self._request("GET", f"{_ROUTE}/result/{task_id}", params={"format": format, **query}).content

    def edit(
        self, task_id: str, speakers: Mapping[str, str | None] | None = None, texts: Mapping[int, str] | None = None
    ) -> TranscriptAnswer:
        """Name speakers and put texts right, both by their ids, and return the transcript as it then is."""
        segments = [{"id": segment, "text": text} for segment, text in (texts or {}).items()]
        body = {"speakers": dict(speakers or {}), "segments": segments}
        return cast(TranscriptAnswer, self._call("PATCH", f"{_ROUTE}/result/{task_id}", json=body))

    def wait(
        self,
        task_id: str,
        on_progress: Callable[[TaskStatus], None] | None = None,
        poll_seconds: float = 1.0,
        patience: float = 60.0,
        on_away: Callable[[ClientError], None] | None = None,
    ) -> TaskStatus:
        """Poll until the task is completed, failed or cancelled; return its last status.

        A server that restarts goes on with its tasks, so it may be away for `patience` seconds before this raises;
        `on_away` hears each poll that got no answer.
        """
        heard = time.monotonic()
        while True:
            try:
                status = self.status(task_id)
            except (ServerUnreachable, ApiError) as error:
                away = isinstance(error, ServerUnreachable) or error.status_code in (429, 502, 503, 504)
                if not away or time.monotonic() - heard > patience:
                    raise
                if on_away:
                    on_away(error)
            else:
                heard = time.monotonic()
                if on_progress:
                    on_progress(status)
                if status.status.final:
                    return status
            time.sleep(poll_seconds)

    def cancel(self, task_id: str) -> TaskStatus:
        """Stop a task and return its status."""
        return TaskStatus.read(self._call("POST", f"{_ROUTE}/cancel/{task_id}"))

    def delete(self, task_id: str) -> None:
        """Remove a task with its recording and result, stopping it first."""
        self._call("DELETE", f"{_ROUTE}/task/{task_id}")

    def tasks(self, status: TaskState | None = None, limit: int | None = None) -> list[TaskStatus]:
        """Return the caller's tasks, newest first."""
        query = {"status": status.value if status else None, "limit": limit}
        answer = self._call("GET", f"{_ROUTE}/tasks", params={k: v for k, v in query.items() if v is not None})
        return [TaskStatus.read(task) for task in (answer["tasks"] if isinstance(answer, dict) else answer)]

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the answer's JSON, or None where it has no body."""
        answer = self._request(method, path, **arguments)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise ServerUnreachable(f"What answers at {self.base_url} is no whisperx-api server.") from error

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.TimeoutException as error:
            raise ServerUnreachable(f"{self.base_url} took too long to answer.") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ServerUnreachable(
                f"No server answers at {self.base_url} ({error}): start one with `whisperx-api serve`, or give its URL."
            ) from error
        if answer.is_error:
            raise ApiError(answer.status_code, _detail(answer))
        return answer


def _field(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _detail(answer: httpx.Response) -> str:
    """Return the sentence of a problem document (RFC 9457), or what the status code means."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"The server answered {answer.status_code} {answer.reason_phrase}."
    return detail if isinstance(detail, str) else str(detail)
