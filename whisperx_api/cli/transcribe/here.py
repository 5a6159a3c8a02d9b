"""Recordings transcribed on this machine without a server: the service's own parts on a folder that goes with them.

Jobs go through the same stages in the same kinds of processes as a server's, so that a transcript is the same. Nothing
listens, and of the database only this process knows.
"""

from __future__ import annotations

import asyncio
import json
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from whisperx_api import log
from whisperx_api.api import answers, requests
from whisperx_api.api.errors import ApiError
from whisperx_api.assembly import Served, embedded, prepare
from whisperx_api.cli.console import FAILED, REFUSED, USAGE, end
from whisperx_api.cli.transcribe.asked import Asked, as_flags
from whisperx_api.cli.transcribe.failures import NotTranscribed
from whisperx_api.cli.transcribe.showing import Row
from whisperx_api.cli.transcribe.ways import Transcribed
from whisperx_api.client import TaskState, TaskStatus
from whisperx_api.client.recordings import readable
from whisperx_api.client.requests import fields_of
from whisperx_api.engine import decoder
from whisperx_api.engine.process import WORKER
from whisperx_api.extras import how_to_install
from whisperx_api.formats.cues import Layout
from whisperx_api.formats.writing import Format, Wanted, write
from whisperx_api.happenings import nobody
from whisperx_api.jobs.database import open_database
from whisperx_api.jobs.job import Job, Upload
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.metrics import Metrics
from whisperx_api.options import Options
from whisperx_api.settings import Queue, Settings
from whisperx_api.storage.local import LocalStorage
from whisperx_api.transcript import Transcript

OWNER = "local"
POLL_SECONDS = 0.2
ENGINE = ("torch", "whisperx", "pyannote")
"""What of the extra `engine` is looked for."""


class Here:
    """Transcribes in engine processes of this command's own."""

    def __init__(self, settings: Settings, served: Served, storage: LocalStorage) -> None:
        self._settings = settings
        self._desk = served.desk
        self._devices = served.devices
        self._storage = storage

    async def transcribe(self, recording: Path, asked: Asked, row: Row) -> Transcribed:
        """Return the transcript of a recording. Raises `NotTranscribed`."""
        options = self._options(asked)
        try:
            if not await asyncio.to_thread(lambda: stat.S_ISREG(recording.stat().st_mode)):
                raise NotTranscribed(f"{recording} is no file but a pipe or the like: --local reads files.", FAILED)
            path, size = await asyncio.to_thread(lambda: (recording.resolve(), recording.stat().st_size))
            duration = await decoder.probe(path, options.channels)
        except OSError as error:
            raise NotTranscribed(f"{recording} can't be read: {error.strerror or error}.", FAILED) from error
        except (decoder.NotAudio, decoder.DecoderDied) as error:
            raise NotTranscribed(f"The recording can't be read: {error}.", FAILED) from error
        job = Job(OWNER, options, Upload(readable(recording.name), size, "", duration))
        try:
            self._storage.upload(job.id).symlink_to(path)  # it stays where it lies
        except OSError as error:
            raise NotTranscribed(f"{self._storage.upload(job.id)} can't be made: {error.strerror}.", FAILED) from error
        try:
            return await self._transcribed(job, asked, row)
        except StoreUnavailable as error:
            raise NotTranscribed(str(error), FAILED, task_id=job.id) from error

    async def _transcribed(self, job: Job, asked: Asked, row: Row) -> Transcribed:
        """Have a job done whose recording is in place."""
        await self._desk.submit(job)
        status = await self._ended(job.id, row)
        if status.status is not TaskState.COMPLETED:
            sentence = status.error or f"The task was {status.status.value}."
            raise NotTranscribed(sentence, FAILED, task_id=job.id, status=status.status.value)
        view = await self._desk.view(job.id)
        assert view is not None
        written = await self._desk.result(view.job, lambda transcript: _written(transcript, job, asked))
        await self._desk.delete(job.id)
        return Transcribed(job.id, json.loads(written[Format.JSON]), written)

    def _options(self, asked: Asked) -> Options:
        """Return the options as a server reads them."""
        try:
            return requests.options(requests.parse(fields_of(asked.options)), self._settings)
        except ApiError as error:
            raise NotTranscribed(as_flags(error.detail), USAGE, for_all=True) from error

    async def _ended(self, task_id: str, row: Row) -> TaskStatus:
        """Show how far a job is until it has ended."""
        while True:
            view = await self._desk.view(task_id)
            assert view is not None
            status = TaskStatus.read(answers.status_of(view).model_dump(mode="json"))
            row.status(status)
            if status.status.final:
                return status
            if (reason := self._devices.absent or self._devices.failure) is not None:  # a server would wait for better
                raise NotTranscribed(reason, REFUSED, task_id=task_id, for_all=True)
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def here(settings: Settings, at_once: int) -> AsyncIterator[Here]:
    """Have what transcribes, as the settings say, at most so many recordings at once; all of it goes at the end."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whisperx-api-")))
        own = _on_the_spot(settings, folder, at_once)
        log.configure(own.logging_level, own.log_format)
        storage = LocalStorage(own.data_dir / "tasks", own.uploads)
        prepare(own, storage)
        database = await open_database(own.database)
        stack.push_async_callback(database.dispose)
        served = embedded(own, WORKER, database, storage, nobody, Metrics())
        stack.push_async_callback(served.end)
        await served.desk.start()
        stack.push_async_callback(served.desk.drain, 0)
        starting = asyncio.create_task(served.begin())
        stack.callback(starting.cancel)
        yield Here(own, served, storage)


def check_engine() -> None:
    """End where what computes is not installed."""
    if missing := [name for name in ENGINE if find_spec(name) is None]:
        sentence = f"--local needs what is not installed ({missing[0]}): run {how_to_install('engine')}."
        end(f"{sentence} Or name a server with --server.", REFUSED)


def _on_the_spot(settings: Settings, folder: Path, at_once: int) -> Settings:
    """Return the settings with nothing in them that outlasts a run, or that others see."""
    level = "debug" if settings.debug else "error"
    return settings.model_copy(
        update={
            "data_dir": folder, "model_dir": settings.models.resolve(), "upload_dir": None, "database_url": None,
            "storage_url": None, "queue": Queue.EMBEDDED, "result_cache": False, "max_concurrent_tasks": at_once,
            "max_queue": at_once, "max_queue_per_key": at_once, "log_level": level,
        }
    )  # fmt: skip


def _written(transcript: Transcript, job: Job, asked: Asked) -> dict[Format, bytes]:
    """Return a transcript as JSON and in each format that is asked for, as a server writes them."""
    written, lines = {}, asked.layout
    layout = Layout(lines["max_line_width"], lines["max_line_count"], bool(lines["highlight_words"]))
    for one in {Format.JSON, *asked.formats}:
        wanted = Wanted(job.id, job.upload.name, job.options.task, job.options.word_timestamps, layout=layout)
        written[one] = write(transcript, one, wanted)
    return written
