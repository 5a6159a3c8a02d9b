"""The client for programs of coroutines, method by method the same as `Client`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from whisperx_api.client.address import url_of
from whisperx_api.client.answers import TaskState, TaskStatus, TranscriptAnswer, UploadOptions
from whisperx_api.client.connection import AsyncConnection
from whisperx_api.client.events import Hearing, TaskEvent
from whisperx_api.client.flows import Flows
from whisperx_api.client.recordings import Sent
from whisperx_api.client.retries import USUAL, Retries
from whisperx_api.client.steps import Away, Heard, Source, Waiting

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AsyncClient:
    """Talks to one server.

    async with AsyncClient("http://127.0.0.1:8000", api_key=KEY) as client:
        task = await client.upload("call.mp3", language="en", num_speakers=2)
        await client.wait(task.task_id, on_progress=lambda status: print(status.progress, "%"))
        print((await client.result(task.task_id))["text"])

    Every method raises `ApiError` where the server answers with an error, and `ServerUnreachable` where it does not
    answer. What is safe to repeat is repeated first, as `retries` says. Files are read and written in threads, and so
    is `on_sent` called; the other callbacks are called in the event loop.
    """

    def __init__(
        self, base_url: str, api_key: str | None = None, timeout: float = 30.0, retries: Retries = USUAL
    ) -> None:
        """`timeout` is in seconds, to connect and for each wait for bytes, but for the answer to an upload, which the
        server fetches, looks at and stores before (11 minutes). A proxy of the environment is for other hosts only.

        Without a scheme the URL is one of http. Raises `ServerUnreachable` for no URL, `ValueError` for no key.
        """
        self.base_url = url_of(base_url)
        self._flows = Flows(self.base_url, retries)
        self._connection = AsyncConnection(self.base_url, api_key, timeout)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def upload(
        self,
        file: Source = None,
        *,
        idempotency_key: str | bool | None = None,
        on_sent: Sent | None = None,
        **options: Unpack[UploadOptions],
    ) -> TaskStatus:
        """Send a recording and return its new task, as `Client.upload` does.

        await client.upload("call.mp3", idempotency_key=True, on_sent=lambda sent, size: print(sent, "of", size))
        """
        return await self._connection.run(self._flows.upload(file, options, idempotency_key, on_sent))

    async def transcribe(
        self,
        file: Source = None,
        *,
        idempotency_key: str | bool | None = None,
        on_sent: Sent | None = None,
        on_progress: Heard | None = None,
        poll_seconds: float = 1.0,
        patience: float = 60.0,
        **options: Unpack[UploadOptions],
    ) -> TranscriptAnswer:
        """Send a recording, wait for its task, and return the transcript, as `Client.transcribe` does.

        calls = [client.transcribe(path, num_speakers=2) for path in paths]
        transcripts = await asyncio.gather(*calls)
        """
        waiting = Waiting(on_progress, poll_seconds, patience)
        return await self._connection.run(self._flows.transcribe(file, options, idempotency_key, on_sent, waiting))

    async def status(self, task_id: str) -> TaskStatus:
        """Return how far a task is."""
        return await self._connection.run(self._flows.status(task_id))

    async def wait(
        self,
        task_id: str,
        on_progress: Heard | None = None,
        poll_seconds: float = 1.0,
        patience: float = 60.0,
        on_away: Away | None = None,
    ) -> TaskStatus:
        """Poll until the task is completed, failed or cancelled, as `Client.wait` does; return its last status."""
        return await self._connection.run(
            self._flows.wait(task_id, Waiting(on_progress, poll_seconds, patience, on_away))
        )

    def events(self, task_id: str, patience: float = 60.0) -> AsyncIterator[TaskEvent]:
        """Yield what happens to a task as it happens, as `Client.events` does.

        async for event in client.events(task_id):
            if isinstance(event, SegmentHeard):
                print(event.segment["text"])
        """
        return self._connection.listen(Hearing(self.base_url, task_id, patience))

    async def result(self, task_id: str) -> TranscriptAnswer:
        """Return the transcript of a completed task; an `ApiError` with 409 until it is."""
        return await self._connection.run(self._flows.result(task_id))

    async def written(self, task_id: str, format: str, **options: str | int | bool | None) -> bytes:
        """Return the transcript in a format, as `Client.written` does."""
        return await self._connection.run(self._flows.written(task_id, format, options))

    async def edit(
        self,
        task_id: str,
        speakers: Mapping[str, str | None] | None = None,
        texts: Mapping[int, str] | None = None,
        was: Mapping[int, str] | None = None,
    ) -> TranscriptAnswer:
        """Name speakers and put texts right where they are what they `was`, as `Client.edit` does."""
        return await self._connection.run(self._flows.edit(task_id, speakers, texts, was))

    async def audio(self, task_id: str, to: str | Path) -> Path:
        """Fetch the recording of a task into the file `to`, which is whole or not there. Raises `OSError` as well."""
        return await self._connection.run(self._flows.audio(task_id, to))

    async def cancel(self, task_id: str) -> TaskStatus:
        """Stop a task and return its status. One that has ended stays as it is."""
        return await self._connection.run(self._flows.cancel(task_id))

    async def retry(self, task_id: str) -> TaskStatus:
        """Take a failed or cancelled task up again, after its last finished stage; an `ApiError` with 409 otherwise."""
        return await self._connection.run(self._flows.retry(task_id))

    async def delete(self, task_id: str) -> None:
        """Remove a task with its recording and result, stopping it first."""
        await self._connection.run(self._flows.delete(task_id))

    async def tasks(self, status: TaskState | None = None, limit: int | None = None) -> list[TaskStatus]:
        """Return the caller's newest tasks, newest first: 50, or up to 200 as `limit` says."""
        return (await self._connection.run(self._flows.page(status, limit))).tasks

    async def iter_tasks(self, status: TaskState | None = None, page_size: int = 200) -> AsyncIterator[TaskStatus]:
        """Yield all of the caller's tasks, newest first, fetched so many at a time.

        async for task in client.iter_tasks(TaskState.FAILED):
            await client.retry(task.task_id)
        """
        cursor: str | None = None
        while True:
            page = await self._connection.run(self._flows.page(status, page_size, cursor))
            for task in page.tasks:
                yield task
            if (cursor := page.cursor) is None:
                return
