"""What a client does with a server, told as steps: generators that yield what is to be done next.

They are sent what came of it and do no I/O, so that the synchronous and the asynchronous client are the same but for
how a step is done.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx

from whisperx_api.client import requests
from whisperx_api.client.address import shown
from whisperx_api.client.answers import TaskPage, TaskState, TaskStatus, TranscriptAnswer
from whisperx_api.client.errors import ApiError, ClientError, TaskFailed, asked_of, no_server
from whisperx_api.client.recordings import Recording, Sent, Upload, idempotency_key, key_of_url, upload_of
from whisperx_api.client.requests import Request
from whisperx_api.client.retries import Retries
from whisperx_api.client.steps import Flow, Pause, Send, Source, Waiting, Work

T = TypeVar("T")
NOT_FOUND, CONFLICT = 404, 409


class Flows:
    """What can be done with the server at `base_url`."""

    def __init__(self, base_url: str, retries: Retries) -> None:
        self._base_url = shown(base_url)
        self._retries = retries

    def upload(
        self, file: Source, options: Mapping[str, object], key: str | bool | None, on_sent: Sent | None
    ) -> Flow[TaskStatus]:
        """Send a recording, again where that is of use and can do no harm."""
        recording: Recording | None = None
        if file is not None:
            recording = yield Work(lambda: Recording(file))
        try:
            if key is True:
                key = yield Work(lambda: idempotency_key(recording, options) if recording else key_of_url(options))
            request = requests.upload(str(key) if key else None)
            form = upload_of(recording, requests.fields_of(options), on_sent)
            return self._task((yield from self.json(request, form)))
        finally:
            if recording is not None:
                recording.close()

    def status(self, task_id: str) -> Flow[TaskStatus]:
        return self._task((yield from self.json(requests.status(task_id))))

    def result(self, task_id: str) -> Flow[TranscriptAnswer]:
        return self._transcript((yield from self.json(requests.result(task_id))))

    def written(self, task_id: str, format: str, options: Mapping[str, object]) -> Flow[bytes]:
        answer = yield from self._answer(Send(requests.written(task_id, format, options)))
        return answer.content

    def edit(
        self,
        task_id: str,
        speakers: Mapping[str, str | None] | None,
        texts: Mapping[int, str] | None,
        was: Mapping[int, str] | None,
    ) -> Flow[TranscriptAnswer]:
        return self._transcript((yield from self.json(requests.edit(task_id, speakers, texts, was))))

    def cancel(self, task_id: str) -> Flow[TaskStatus]:
        return self._task((yield from self.json(requests.cancel(task_id))))

    def retry(self, task_id: str) -> Flow[TaskStatus]:
        return self._task((yield from self.json(requests.retry(task_id))))

    def delete(self, task_id: str) -> Flow[None]:
        yield from self._answer(Send(requests.delete(task_id)))

    def page(self, state: TaskState | None, limit: int | None, cursor: str | None = None) -> Flow[TaskPage]:
        answer = yield from self.json(requests.tasks(state and state.value, limit, cursor))
        return self._made(TaskPage.read, answer)

    def audio(self, task_id: str, to: str | Path) -> Flow[Path]:
        """Fetch the recording beside its place, and put it there once it is whole."""
        path = Path(to)
        part = path.with_name(f".{secrets.token_hex(8)}.part")  # however long the name is
        try:
            yield from self._answer(Send(requests.audio(task_id), into=part))
            yield Work(lambda: part.replace(path))
        finally:
            part.unlink(missing_ok=True)
        return path

    def wait(self, task_id: str, waiting: Waiting) -> Flow[TaskStatus]:
        """Poll until the task has ended. A server that restarts goes on with it, so some silence is borne."""
        heard = time.monotonic()
        while True:
            try:
                status = self._task(self._read((yield Send(requests.status(task_id)))))
            except ClientError as error:
                left = waiting.patience - (time.monotonic() - heard)
                if not error.passing or left < 0:
                    raise
                if waiting.on_away:
                    waiting.on_away(error)
                pause = max(waiting.poll_seconds, min(asked_of(error), left))
            else:
                pause = waiting.poll_seconds
                heard = time.monotonic()
                if waiting.on_progress:
                    waiting.on_progress(status)
                if status.status.final:
                    return status
            yield Pause(pause)

    def transcribe(
        self,
        file: Source,
        options: Mapping[str, object],
        key: str | bool | None,
        on_sent: Sent | None,
        waiting: Waiting,
    ) -> Flow[TranscriptAnswer]:
        """Send a recording, wait for its task, and fetch the transcript. Raises `TaskFailed`."""
        task = yield from self.upload(file, options, key, on_sent)
        task = yield from self.taken_up(task)
        status = yield from self.wait(task.task_id, waiting)
        if status.status is not TaskState.COMPLETED:
            raise TaskFailed(status)
        return (yield from self.result(task.task_id))

    def taken_up(self, task: TaskStatus) -> Flow[TaskStatus]:
        """Have a task that an idempotency key has found go on, where it had failed or was cancelled."""
        if task.status not in (TaskState.FAILED, TaskState.CANCELLED):
            return task
        try:
            return (yield from self.retry(task.task_id))
        except ApiError as error:
            if error.status_code != CONFLICT:  # else somebody else has just done so
                raise
            return replace(task, status=TaskState.PENDING, error=None)

    # --- requests ---

    def json(self, request: Request, upload: Upload | None = None) -> Flow[Any]:
        """Send a request and return the JSON of its answer, None where it has no body."""
        return self._read((yield from self._answer(Send(request, upload))))

    def _read(self, answer: httpx.Response) -> Any:
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise no_server(self._base_url) from error

    def _task(self, answer: Any) -> TaskStatus:
        return self._made(TaskStatus.read, answer)

    def _transcript(self, answer: Any) -> TranscriptAnswer:
        if not isinstance(answer, dict) or not isinstance(answer.get("segments"), list):
            raise no_server(self._base_url)
        return cast(TranscriptAnswer, answer)

    def _made(self, read: Callable[[Any], T], answer: Any) -> T:
        """Return what the JSON of an answer means, where it is that of such a server."""
        try:
            return read(answer)
        except (KeyError, TypeError, ValueError) as error:
            raise no_server(self._base_url) from error

    def _answer(self, send: Send) -> Flow[httpx.Response]:
        """Send a request, and again after what passes, where that can do no harm."""
        failures = 0
        while True:
            try:
                return (yield send)
            except ClientError as error:
                if failures and send.request.method == "DELETE" and _gone(error):
                    return httpx.Response(204)  # the first request has done it, and its answer was lost
                failures += 1
                repeatable = send.request.repeatable and (send.upload is None or send.upload.repeatable)
                chance = random.random()  # noqa: S311  # that not all come again at once
                if not repeatable or (pause := self._retries.pause(failures, error, chance)) is None:
                    raise
            yield Pause(pause)


def _gone(error: ClientError) -> bool:
    return isinstance(error, ApiError) and error.status_code == NOT_FOUND
