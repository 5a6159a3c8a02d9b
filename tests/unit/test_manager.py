"""The task manager between two of its steps, where other calls may come: on a real store, with empty stages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from whisperx_api.engine.protocol import Inputs, RunStage, SegmentReady, Stage
from whisperx_api.engine.session import Listener, StageError
from whisperx_api.jobs import faults
from whisperx_api.jobs import line as line_module
from whisperx_api.jobs import run as run_module
from whisperx_api.jobs.cache import Found
from whisperx_api.jobs.database import Database, open_database
from whisperx_api.jobs.events import Events
from whisperx_api.jobs.job import Job, JobStatus, Upload
from whisperx_api.jobs.manager import JobManager
from whisperx_api.jobs.progress import StageCosts
from whisperx_api.jobs.run import JobRun
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.store import JobStore
from whisperx_api.jobs.tables import JobRow
from whisperx_api.jobs.workshop import Workshop
from whisperx_api.options import Channels, KnownSpeaker, Options, Task
from whisperx_api.storage.local import LocalStorage
from whisperx_api.transcript import Audio, Diarization, Segment, Transcript, Transcription, Turn, Voice, to_json

JOB = Job("ann", Options(task=Task.TRANSLATE, enable_diarization=False), Upload("a.wav", 4, "00", 1.0))


class Interrupted(JobStore):
    """A store in which `meanwhile` happens once, after a step named `after`."""

    after = ""
    meanwhile: Callable[[], Awaitable[object]]

    async def start(self, task_id: str) -> Job | None:
        started = await super().start(task_id)
        await self._once("start")
        return started

    async def expired(self, before: datetime, task_id: str | None = None) -> list[str]:
        found = list(await super().expired(before, task_id))
        await self._once("expired")
        return found

    async def checkpoint(self, job: Job, stage: Stage, file: str, progress: float) -> Job:
        await self._once("checkpoint")
        return await super().checkpoint(job, stage, file, progress)

    async def release_for_test(self) -> None:
        """Put the job back to where `start` found it, as a transaction that fails does."""
        await self._update(JobRow.id == JOB.id, status=JobStatus.PENDING.value, epoch=0)

    async def _once(self, step: str) -> None:
        if self.after == step:
            self.after = ""
            await self.meanwhile()


class Engines:
    """Makes empty results at once."""

    engines = ()

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    async def run(self, request: RunStage, listener: Listener) -> str:
        self.stages.append(request.stage)
        return self.made(request)

    def made(self, request: RunStage) -> str:
        made = Transcription("en", (), "none") if request.stage is Stage.TRANSCRIBE else Transcript("en", 1.0)
        return to_json(made).decode()


async def decode(path: Path, target: Path, report: Callable[[float], None], channels: Channels) -> Audio:
    await asyncio.to_thread(target.write_bytes, bytes(4))
    return Audio(str(target), 1)


class Branches(Engines):
    """Transcription and diarization of a job that has both, each of which does what it is told to."""

    def __init__(self, words: Callable[[], Awaitable[object]], speakers: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.does = {Stage.TRANSCRIBE: words, Stage.DIARIZE: speakers}
        self.stopped: list[Stage] = []
        self.inputs: Inputs | None = None
        self.voices: tuple[Voice, ...] = ()

    async def run(self, request: RunStage, listener: Listener) -> str:
        self.stages.append(request.stage)
        try:
            await self.does.get(request.stage, at_once)()
        except asyncio.CancelledError:
            self.stopped.append(request.stage)
            raise
        if request.stage is Stage.TRANSCRIBE and self.does[Stage.TRANSCRIBE] is not in_silence:
            return to_json(Transcription("en", (Segment(0.0, 1.0, "Hello."),), "none")).decode()
        if request.stage is Stage.DIARIZE:
            self.voices = request.inputs.voices
            return to_json(Diarization((Turn(0.0, 1.0, "SPEAKER_00"),), ())).decode()
        if request.stage is Stage.ASSIGN:
            self.inputs = request.inputs
        return self.made(request)


async def at_once() -> None:
    """Be done at once."""


async def in_silence() -> None:
    """Find no words, once the other stage is at work."""
    await asyncio.sleep(0.05)


async def for_ever() -> None:
    await asyncio.sleep(3600)


class Faltering(Engines):
    """Tells one more segment of a transcription at every try, of which only the third comes to its end."""

    async def run(self, request: RunStage, listener: Listener) -> str:
        self.stages.append(request.stage)
        if request.stage is Stage.TRANSCRIBE:
            tries = self.stages.count(Stage.TRANSCRIBE)
            for second in range(tries):
                segment = Segment(float(second), second + 1.0, f"Sentence {second}.")
                listener(SegmentReady(request.attempt, segment))
            if tries < 3:
                raise StageError("It is out of order.", retryable=True)
        return self.made(request)


async def badly() -> None:
    await asyncio.sleep(0.05)
    raise StageError("It is out of order.", retryable=False)


BOTH = replace(JOB, options=Options(task=Task.TRANSLATE))


def managing(
    tmp_path: Path,
    test: Callable[[JobManager, Interrupted], Awaitable[None]],
    engines: Engines | None = None,
    events: Events | None = None,
) -> list[Stage]:
    """Run a test on a manager; return the stages that the engine was asked for."""
    engines, events = engines or Engines(), events or Events()

    async def go() -> None:
        database = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'jobs.db'}")
        store, storage = Interrupted(database), LocalStorage(tmp_path / "tasks", tmp_path / "uploads")
        storage.prepare()
        manager = JobManager(Workshop(store, storage, engines, decode, StageCosts(), events), max_concurrent=1)
        await manager.start()
        await asyncio.wait_for(test(manager, store), 10)
        await manager.drain(5)
        await database.dispose()

    asyncio.run(go())
    return engines.stages


async def until(store: JobStore, status: JobStatus) -> None:
    while (job := await store.get(JOB.id)) is None or job.status is not status:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(0.01)


def test_task_cancelled_and_retried_while_it_starts_is_not_lost(tmp_path: Path) -> None:
    async def test(manager: JobManager, store: Interrupted) -> None:
        async def cancel_and_retry() -> None:
            assert await manager.cancel(JOB.id)
            assert await manager.retry(JOB.id)

        store.after, store.meanwhile = "start", cancel_and_retry
        await manager.submit(JOB)
        await until(store, JobStatus.COMPLETED)
        assert not manager.waiting

    managing(tmp_path, test)


def test_end_that_was_not_heard_of_leaves_the_transcript_where_it_is(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(faults, "RETRY_SECONDS", 0.01)

    class Unheard(JobStore):
        """A store whose word of an end does not come through."""

        async def complete(self, *args: Any, **kwargs: Any) -> Job:
            await super().complete(*args, **kwargs)
            raise StoreUnavailable("The connection is gone.")

    class Cache:
        async def find(self, job: Job) -> Found:
            return Found(to_json(Transcript("en", 1.0)), "00", 1.0)

        async def kept(self, job: Job, file: str) -> None:
            return None

    async def test() -> None:
        database = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'jobs.db'}")
        store, storage = Unheard(database), LocalStorage(tmp_path / "tasks", tmp_path / "uploads")
        storage.prepare()
        await store.add(JOB)
        run = await store.start(JOB.id)
        assert run is not None
        cache: Any = Cache()
        await JobRun(run, Workshop(store, storage, Engines(), decode, StageCosts(), Events(), cache=cache))()
        ended = await store.get(JOB.id)
        assert ended is not None and ended.status is JobStatus.COMPLETED
        assert await storage.read(JOB.id, ended.checkpoints["assign"])
        await database.dispose()

    asyncio.run(test())


def test_task_cancelled_while_it_starts_stays_cancelled(tmp_path: Path) -> None:
    async def test(manager: JobManager, store: Interrupted) -> None:
        store.after, store.meanwhile = "start", lambda: manager.cancel(JOB.id)
        await manager.submit(JOB)
        await until(store, JobStatus.CANCELLED)
        await asyncio.sleep(0.05)
        await until(store, JobStatus.CANCELLED)
        assert (manager.running, manager.live(JOB.id)) == (0, None)

    managing(tmp_path, test)


def test_task_retried_as_its_time_is_over_is_not_deleted(tmp_path: Path) -> None:
    async def test(manager: JobManager, store: Interrupted) -> None:
        future = datetime.now(timezone.utc) + timedelta(hours=1)
        store.after, store.meanwhile = "start", lambda: manager.cancel(JOB.id)
        await manager.submit(JOB)
        await until(store, JobStatus.CANCELLED)
        store.after, store.meanwhile = "expired", lambda: manager.retry(JOB.id)
        assert await manager.expire(future) == 0
        await until(store, JobStatus.COMPLETED)
        assert await manager.expire(future) == 1
        assert await store.get(JOB.id) is None

    managing(tmp_path, test)


async def fail_as_the_database_does() -> None:
    raise StoreUnavailable("The database did not take a change: it is locked.")


def test_finished_stage_is_kept_while_the_database_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "RETRY_SECONDS", 0.05)

    async def test(manager: JobManager, store: Interrupted) -> None:
        async def at_the_next_checkpoint() -> None:
            store.after, store.meanwhile = "checkpoint", fail_as_the_database_does  # that of `transcribe`

        store.after, store.meanwhile = "checkpoint", at_the_next_checkpoint
        await manager.submit(JOB)
        await until(store, JobStatus.COMPLETED)

    assert managing(tmp_path, test) == [Stage.TRANSCRIBE, Stage.ASSIGN]


def test_worker_outlives_whatever_goes_wrong_at_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "RETRY_SECONDS", 0.05)

    async def test(manager: JobManager, store: Interrupted) -> None:
        async def fail() -> None:
            await store.release_for_test()
            raise RuntimeError("nobody thought of this")

        store.after, store.meanwhile = "start", fail
        await manager.submit(JOB)
        await until(store, JobStatus.COMPLETED)

    managing(tmp_path, test)


def test_pool_without_a_free_connection_is_a_database_that_is_away(tmp_path: Path) -> None:
    async def go() -> None:
        url = f"sqlite+aiosqlite:///{tmp_path / 'jobs.db'}"
        pool = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
        database = Database(create_async_engine(url, **pool))
        async with database.engine.connect():
            for ask in (JobStore(database).get("x"), JobStore(database).add(JOB)):
                with pytest.raises(StoreUnavailable):
                    await ask
        await database.dispose()

    asyncio.run(go())


def test_speakers_are_found_beside_the_words(tmp_path: Path) -> None:
    began = {Stage.TRANSCRIBE: asyncio.Event(), Stage.DIARIZE: asyncio.Event()}

    def meet(me: Stage, other: Stage) -> Callable[[], Awaitable[object]]:
        async def work() -> None:
            began[me].set()
            await began[other].wait()

        return work

    engines = Branches(meet(Stage.TRANSCRIBE, Stage.DIARIZE), meet(Stage.DIARIZE, Stage.TRANSCRIBE))

    async def test(manager: JobManager, store: Interrupted) -> None:
        await manager.submit(BOTH)
        await until(store, JobStatus.COMPLETED)

    assert managing(tmp_path, test, engines) == [Stage.TRANSCRIBE, Stage.DIARIZE, Stage.ASSIGN]
    assert engines.inputs and engines.inputs.transcription and engines.inputs.diarization


def test_speakers_are_looked_for_no_longer_where_nothing_was_said(tmp_path: Path) -> None:
    engines = Branches(in_silence, for_ever)

    async def test(manager: JobManager, store: Interrupted) -> None:
        await manager.submit(BOTH)
        await until(store, JobStatus.COMPLETED)

    assert managing(tmp_path, test, engines) == [Stage.TRANSCRIBE, Stage.DIARIZE, Stage.ASSIGN]
    assert engines.stopped == [Stage.DIARIZE]
    assert engines.inputs and engines.inputs.diarization and not engines.inputs.diarization.turns


@pytest.mark.parametrize("failing", [Stage.TRANSCRIBE, Stage.DIARIZE])
def test_stage_that_fails_stops_the_other_and_is_named(tmp_path: Path, failing: Stage) -> None:
    does = {Stage.TRANSCRIBE: for_ever, Stage.DIARIZE: for_ever} | {failing: badly}
    engines = Branches(does[Stage.TRANSCRIBE], does[Stage.DIARIZE])

    async def test(manager: JobManager, store: Interrupted) -> None:
        await manager.submit(BOTH)
        await until(store, JobStatus.FAILED)
        job = await store.get(JOB.id)
        assert job and job.stage is failing and job.error == "It is out of order." and job.failures == {failing: 1}

    managing(tmp_path, test, engines)
    assert [*engines.stopped, failing] in ([Stage.DIARIZE, Stage.TRANSCRIBE], [Stage.TRANSCRIBE, Stage.DIARIZE])


def test_what_is_done_of_either_branch_is_not_done_again(tmp_path: Path) -> None:
    engines = Branches(badly, at_once)

    async def test(manager: JobManager, store: Interrupted) -> None:
        await manager.submit(BOTH)
        await until(store, JobStatus.FAILED)
        engines.does[Stage.TRANSCRIBE] = at_once
        assert await manager.retry(JOB.id)
        await until(store, JobStatus.COMPLETED)

    ran = managing(tmp_path, test, engines)
    assert ran == [Stage.TRANSCRIBE, Stage.DIARIZE, Stage.TRANSCRIBE, Stage.ASSIGN]
    assert engines.inputs and engines.inputs.diarization and engines.inputs.diarization.turns


def test_known_voices_are_kept_for_a_retry_and_gone_when_all_is_done(tmp_path: Path) -> None:
    ann, engines = KnownSpeaker("Ann", "ab12"), Branches(at_once, badly)
    job = replace(BOTH, options=replace(BOTH.options, known_speakers=(ann,)))
    folder = tmp_path / "tasks" / JOB.id

    async def test(manager: JobManager, store: Interrupted) -> None:
        await LocalStorage(tmp_path / "tasks", tmp_path / "uploads").write(JOB.id, ann.file, b"voice")
        await manager.submit(job)
        await until(store, JobStatus.FAILED)
        assert await asyncio.to_thread((folder / ann.file).read_bytes) == b"voice"
        engines.does[Stage.DIARIZE] = at_once
        assert await manager.retry(JOB.id)
        await until(store, JobStatus.COMPLETED)

    managing(tmp_path, test, engines)
    assert engines.voices == (Voice("Ann", str(folder / ann.file)),)
    assert [path.name for path in folder.iterdir()] == ["assign.2.json"]


def test_text_is_told_once_however_often_its_stage_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "PAUSE_SECONDS", (0.01, 0.01))
    events, told = Events(), []

    async def test(manager: JobManager, store: Interrupted) -> None:
        with events.listen(JOB.id) as queue:
            await manager.submit(JOB)
            await until(store, JobStatus.COMPLETED)
            while not queue.empty():
                if (segment := queue.get_nowait().segment) is not None:
                    told.append(segment.text)

    assert managing(tmp_path, test, Faltering(), events).count(Stage.TRANSCRIBE) == 3
    assert told == ["Sentence 0.", "Sentence 1.", "Sentence 2."]


def test_run_that_is_not_wanted_any_more_leaves_only_what_its_task_has_on_record(tmp_path: Path) -> None:
    async def test(manager: JobManager, store: Interrupted) -> None:
        async def let_another_cancel() -> None:
            store.after, store.meanwhile = "checkpoint", lambda: store.cancel(JOB.id)

        store.after, store.meanwhile = "checkpoint", let_another_cancel
        await manager.submit(JOB)
        await until(store, JobStatus.CANCELLED)
        job = await store.get(JOB.id)
        assert job and list(job.checkpoints) == [Stage.DECODE.value]

    managing(tmp_path, test)
    assert [path.name for path in (tmp_path / "tasks" / JOB.id).iterdir()] == ["decode.1.json"]
