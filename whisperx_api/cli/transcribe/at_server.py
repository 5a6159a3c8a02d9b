"""Recordings transcribed by a server: sent once, whatever breaks, waited for, and their transcripts fetched."""

from __future__ import annotations

import asyncio
import stat
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
        self._anew: dict[Path, tuple[str, str]] = {}
        """The key under which a recording goes as a new task, after that of its content: kept while it is tried."""
        self._uploads: dict[asyncio.Task[TaskStatus], bool] = {}
        """What is being sent, and whether all of it was, so that the server may have made a task of it."""

    async def transcribe(self, recording: Path, asked: Asked, row: Row) -> Transcribed:
        """Return the transcript of a recording. Raises `NotTranscribed`."""
        try:
            made = await self._transcribed(recording, asked, row)
        except NotTranscribed as error:
            if not error.passing:
                self._anew.pop(recording, None)
            raise
        self._anew.pop(recording, None)
        return made

    async def _transcribed(self, recording: Path, asked: Asked, row: Row) -> Transcribed:
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
            if isinstance(error, ApiError) and error.status_code == NOT_FOUND:  # somebody has deleted it
                self._unfinished.discard(task_id)
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
            lost = await self._answered()
            told = await asyncio.gather(*map(self._client.cancel, self._unfinished), return_exceptions=True)
            errors = [error for error in (*lost, *told) if isinstance(error, Exception)]
            return f"The task could not be cancelled: {errors[0]}" if errors else "Cancelled."
        assert within.cancelled_caught
        return "The task could not be cancelled: the server does not answer."

    def left(self) -> str | None:
        """Return a sentence about the tasks that go on at the server, None where there are none."""
        going = len(self._unfinished) + sum(self._uploads.values())
        same = "the same command without --again" if self._again else "the same command"
        if going == 1 and self._unfinished:
            return f"The task goes on at the server: --resume {min(self._unfinished)} waits for it, or {same}."
        return f"What was sent goes on at the server: {same} waits for it." if going else None

    async def end(self) -> None:
        """Send no more."""
        for upload in self._uploads:
            upload.cancel()
        await asyncio.gather(*self._uploads, return_exceptions=True)

    async def _answered(self) -> list[ClientError]:
        """Send no more, and wait for the tasks of what was sent whole; return why one of them is not known."""
        for upload, whole in self._uploads.items():
            if not whole:
                upload.cancel()
        answers = await asyncio.gather(*self._uploads, return_exceptions=True)
        self._unfinished |= {answer.task_id for answer in answers if isinstance(answer, TaskStatus)}
        return [one for one in answers if isinstance(one, ClientError) and not isinstance(one, ApiError)]

    async def _task_of(self, recording: Path, asked: Asked, row: Row) -> TaskStatus:
        """Return the task of a recording: the one that it was sent for before, taken up if need be, or a new one."""
        if not await asyncio.to_thread(lambda: stat.S_ISREG(recording.stat().st_mode)):
            return await self._upload(recording, f"{uuid.uuid4()}", asked, row)  # a pipe can be read once alone
        key = await asyncio.to_thread(idempotency_key, recording, asked.options)
        if not self._again and (known := self._sent.task(key)) is not None:
            self._unfinished.add(known)
            try:
                return await self._taken_up(await self._client.status(known), row)
            except ApiError as error:
                self._unfinished.discard(known)
                if error.status_code != NOT_FOUND:
                    raise
                self._sent.forget(key)  # it was deleted, or the server is another now
        task = await self._upload(recording, self._key(recording, key), asked, row)
        self._sent.remember(key, task.task_id)
        return await self._taken_up(task, row)

    def _key(self, recording: Path, of_content: str) -> str:
        """Return the key that a recording is sent under: with --again one of its own, the same at each try."""
        if not self._again:
            return of_content
        known, own = self._anew.get(recording, ("", ""))
        if known != of_content:
            own = f"{uuid.uuid4()}"
            self._anew[recording] = of_content, own
        return own

    async def _upload(self, recording: Path, key: str, asked: Asked, row: Row) -> TaskStatus:
        """Send a recording. Where this is cancelled that goes on, until `give_up` or `end` have seen to it."""

        def sent(done: int, size: int | None) -> None:
            row.sent(done, size)
            self._uploads[upload] = done == size

        upload = asyncio.create_task(self._client.upload(recording, idempotency_key=key, on_sent=sent, **asked.options))
        self._uploads[upload] = False
        try:
            task = await asyncio.shield(upload)
        except Exception:
            del self._uploads[upload]
            raise
        del self._uploads[upload]
        self._unfinished.add(task.task_id)
        return task

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
