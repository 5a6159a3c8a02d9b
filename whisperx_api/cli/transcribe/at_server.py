"""Recordings transcribed by a server: sent once, whatever breaks, waited for, and their transcripts fetched."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

from anyio import move_on_after

from whisperx_api.cli.console import FAILED
from whisperx_api.cli.transcribe.asked import Asked
from whisperx_api.cli.transcribe.failures import NotTranscribed, raise_for
from whisperx_api.cli.transcribe.sent import SentTasks
from whisperx_api.cli.transcribe.showing import Row
from whisperx_api.cli.transcribe.ways import Transcribed
from whisperx_api.client import ApiError, AsyncClient, ClientError, TaskState, TaskStatus, idempotency_key

NOT_FOUND, CONFLICT = 404, 409
CANCEL_SECONDS = 10.0
"""How long the server has to hear that tasks are not wanted any more."""


class AtServer:
    """Transcribes at the server that `client` talks to."""

    def __init__(
        self, client: AsyncClient, sent: SentTasks, *, again: bool, poll_seconds: float, patience: float
    ) -> None:
        """`again` sends what was sent before as a new task. There may be no answer for `patience` seconds."""
        self._client = client
        self._sent = sent
        self._again = again
        self._poll_seconds = poll_seconds
        self._patience = patience
        self._unfinished: set[str] = set()

    async def transcribe(self, recording: Path, asked: Asked, row: Row) -> Transcribed:
        """Return the transcript of a recording. Raises `NotTranscribed`."""
        try:
            task = await self._task_of(recording, asked, row)
        except ApiError as error:
            if error.status_code == CONFLICT:
                error = ApiError(CONFLICT, f"{error.detail} Here: --again.")
            raise_for(error, None)
        except ClientError as error:
            raise_for(error, None)
        except OSError as error:
            raise NotTranscribed(f"{recording} can't be read: {error.strerror or error}.", FAILED) from error
        row.say(f"Task {task.task_id}")
        return await self.followed(task.task_id, asked, row)

    async def followed(self, task_id: str, asked: Asked, row: Row) -> Transcribed:
        """Wait for a task, and return its transcript. Raises `NotTranscribed`."""
        self._unfinished.add(task_id)
        try:
            status = await self._client.wait(
                task_id, row.status, self._poll_seconds, patience=self._patience, on_away=row.away
            )
            self._unfinished.discard(task_id)
            if status.status is not TaskState.COMPLETED:
                sentence = status.error or f"The task was {status.status.value}."
                raise NotTranscribed(sentence, FAILED, task_id=task_id, status=status.status.value)
            transcript = await self._client.result(task_id)
            written = {}
            for one in asked.formats:
                layout = asked.layout if one.is_subtitle else {}
                written[one] = await self._client.written(task_id, one.value, **layout)
        except ClientError as error:
            raise_for(error, task_id)
        return Transcribed(task_id, transcript, written)

    async def recording_of(self, task_id: str) -> Path:
        """Return the name under which a task's recording was sent. Raises `NotTranscribed`."""
        try:
            return Path((await self._client.status(task_id)).filename or task_id)
        except ClientError as error:
            raise_for(error, task_id)

    async def give_up(self) -> str:
        """Cancel the tasks that are not done, and return a sentence that says so."""
        with move_on_after(CANCEL_SECONDS) as within:
            told = await asyncio.gather(*map(self._client.cancel, self._unfinished), return_exceptions=True)
            errors = [error for error in told if isinstance(error, Exception)]
            return f"The task could not be cancelled: {errors[0]}" if errors else "Cancelled."
        assert within.cancelled_caught
        return "The task could not be cancelled: the server does not answer."

    async def _task_of(self, recording: Path, asked: Asked, row: Row) -> TaskStatus:
        """Return the task of a recording: the one that it was sent for before, taken up if need be, or a new one."""
        key = await asyncio.to_thread(idempotency_key, recording, asked.options)
        if not self._again and (known := self._sent.task(key)) is not None:
            try:
                return await self._taken_up(await self._client.status(known), row)
            except ApiError as error:
                if error.status_code != NOT_FOUND:
                    raise
                self._sent.forget(key)  # it was deleted, or the server is another now
        own = f"{uuid.uuid4()}" if self._again else key
        task = await self._client.upload(recording, idempotency_key=own, on_sent=row.sent, **asked.options)
        self._sent.remember(key, task.task_id)
        return await self._taken_up(task, row)

    async def _taken_up(self, task: TaskStatus, row: Row) -> TaskStatus:
        """Have a task go on that was sent before, and had failed or was cancelled."""
        if task.status not in (TaskState.FAILED, TaskState.CANCELLED):
            return task
        row.say(f"It was sent before and has {_ended(task)}: the same task goes on after its last finished stage.")
        try:
            return await self._client.retry(task.task_id)
        except ApiError as error:
            if error.status_code != CONFLICT:  # else somebody else has just done so
                raise
            return task


def _ended(task: TaskStatus) -> str:
    return "failed" if task.status is TaskState.FAILED else "been cancelled"
