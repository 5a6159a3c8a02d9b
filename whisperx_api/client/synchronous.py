"""The client for programs that wait: each method returns when its answer is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from whisperx_api.client.address import url_of
from whisperx_api.client.answers import TaskState, TaskStatus, TranscriptAnswer, UploadOptions
from whisperx_api.client.connection import Connection
from whisperx_api.client.events import Hearing, TaskEvent
from whisperx_api.client.flows import Flows
from whisperx_api.client.recordings import Sent
from whisperx_api.client.retries import USUAL, Retries
from whisperx_api.client.steps import Away, Heard, Source, Waiting

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Client:
    """Talks to one server.

    with Client("http://127.0.0.1:8000", api_key=KEY) as client:
        task = client.upload("call.mp3", language="en", num_speakers=2)
        client.wait(task.task_id, on_progress=lambda status: print(status.progress, "%"))
        print(client.result(task.task_id)["text"])

    Every method raises `ApiError` where the server answers with an error, and `ServerUnreachable` where it does not
    answer. What is safe to repeat is repeated first, as `retries` says.
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
        self._connection = Connection(self.base_url, api_key, timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def upload(
        self,
        file: Source = None,
        *,
        idempotency_key: str | bool | None = None,
        on_sent: Sent | None = None,
        **options: Unpack[UploadOptions],
    ) -> TaskStatus:
        """Send a recording and return its new task. A path or open file is streamed, never held in memory whole.

        `options` are the fields of the upload; None leaves one out. Without a file, `url` says where the server is to
        fetch the recording. `on_sent` hears how many bytes of the recording were sent, and of how many.

        With an `idempotency_key` the same request gives the same task for 24 hours, whatever has become of it, and is
        sent again where a connection fails; `True` makes the key from the name, the content and the options, for which
        the file is read once more. An open file that can't be rewound is sent once only. Raises `OSError` where the
        file can't be read, and `ValueError` for a key to be made of a stream that can't be read twice.

            client.upload("call.mp3", idempotency_key=True, on_sent=lambda sent, size: print(sent, "of", size))
        """
        return self._connection.run(self._flows.upload(file, options, idempotency_key, on_sent))

    def transcribe(
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
        """Send a recording, wait for its task, and return the transcript: `upload`, `wait` and `result` in one.

        A task that the idempotency key has found, and that had failed or was cancelled, goes on from where it was.
        Raises `TaskFailed` with the server's sentence, and what those three raise.

            text = client.transcribe("call.mp3", num_speakers=2)["text"]
        """
        waiting = Waiting(on_progress, poll_seconds, patience)
        return self._connection.run(self._flows.transcribe(file, options, idempotency_key, on_sent, waiting))

    def status(self, task_id: str) -> TaskStatus:
        """Return how far a task is."""
        return self._connection.run(self._flows.status(task_id))

    def wait(
        self,
        task_id: str,
        on_progress: Heard | None = None,
        poll_seconds: float = 1.0,
        patience: float = 60.0,
        on_away: Away | None = None,
    ) -> TaskStatus:
        """Poll until the task is completed, failed or cancelled; return its last status.

        A server that restarts goes on with its tasks, so it may be away for `patience` seconds before this raises;
        `on_away` hears each poll that got no answer.
        """
        return self._connection.run(self._flows.wait(task_id, Waiting(on_progress, poll_seconds, patience, on_away)))

    def events(self, task_id: str, patience: float = 60.0) -> Iterator[TaskEvent]:
        """Yield what happens to a task as it happens, the last being `Ended`: no polling.

        A lost connection is made again, through `patience` seconds without a server. Text that became ready meanwhile
        is not told again; the result has it.

            for event in client.events(task_id):
                if isinstance(event, SegmentHeard):
                    print(event.segment["text"])
        """
        return self._connection.listen(Hearing(self.base_url, task_id, patience))

    def result(self, task_id: str) -> TranscriptAnswer:
        """Return the transcript of a completed task; an `ApiError` with 409 until it is."""
        return self._connection.run(self._flows.result(task_id))

    def written(self, task_id: str, format: str, **options: str | int | bool | None) -> bytes:
        """Return the transcript in a format: verbose_json, diarized_json, text, srt, vtt, tsv, rttm.

        `options` are those of the endpoint (max_line_width, max_line_count, highlight_words); None leaves one out.
        """
        return self._connection.run(self._flows.written(task_id, format, options))

    def edit(
        self,
        task_id: str,
        speakers: Mapping[str, str | None] | None = None,
        texts: Mapping[int, str] | None = None,
        was: Mapping[int, str] | None = None,
    ) -> TranscriptAnswer:
        """Name speakers and put texts right, both by their ids, and return the transcript as it then is.

        `was` has what texts are as the caller knows them. Where somebody has changed one of them meanwhile this raises
        an `ApiError` with 409, whose sentence has the text as it is now, and nothing is changed. Without it texts are
        overwritten, whatever they are.

            client.edit(task_id, speakers={"SPEAKER_00": "Katie"}, texts={3: "Hello?"}, was={3: "Hallo?"})
        """
        return self._connection.run(self._flows.edit(task_id, speakers, texts, was))

    def audio(self, task_id: str, to: str | Path) -> Path:
        """Fetch the recording of a task into the file `to`, which is whole or not there. Raises `OSError` as well.

        client.audio(task_id, to="call.mp3")
        """
        return self._connection.run(self._flows.audio(task_id, to))

    def cancel(self, task_id: str) -> TaskStatus:
        """Stop a task and return its status. One that has ended stays as it is."""
        return self._connection.run(self._flows.cancel(task_id))

    def retry(self, task_id: str) -> TaskStatus:
        """Take a failed or cancelled task up again, after its last finished stage; an `ApiError` with 409 otherwise."""
        return self._connection.run(self._flows.retry(task_id))

    def delete(self, task_id: str) -> None:
        """Remove a task with its recording and result, stopping it first."""
        self._connection.run(self._flows.delete(task_id))

    def tasks(self, status: TaskState | None = None, limit: int | None = None) -> list[TaskStatus]:
        """Return the caller's newest tasks, newest first: 50, or up to 200 as `limit` says."""
        return self._connection.run(self._flows.page(status, limit)).tasks

    def iter_tasks(self, status: TaskState | None = None, page_size: int = 200) -> Iterator[TaskStatus]:
        """Yield all of the caller's tasks, newest first, fetched so many at a time.

        failed = [task.task_id for task in client.iter_tasks(TaskState.FAILED)]
        """
        cursor: str | None = None
        while True:
            page = self._connection.run(self._flows.page(status, page_size, cursor))
            yield from page.tasks
            if (cursor := page.cursor) is None:
                return
