"""What is deleted from the database can be read in none of its files, whatever else went on in it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.private import readable
from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs.database import open_database
from whisperx_api.jobs.job import Job, Upload
from whisperx_api.jobs.outbox import Outbox
from whisperx_api.jobs.sessions import USUAL_WAIT
from whisperx_api.jobs.store import JobStore
from whisperx_api.jobs.webhooks import Webhook, new_secret
from whisperx_api.options import Options

TASKS = 90


def test_nothing_can_be_read_of_deleted_jobs_among_many(tmp_path: Path) -> None:
    chance = random.Random(7)

    async def go() -> None:
        opened = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'jobs.db'}")
        store = JobStore(opened)
        outbox = Outbox(opened, store.posted, store.erased)
        there: dict[str, str] = {}
        gone: list[str] = []
        for number in range(TASKS):
            mark = f"Qwzx{number:03d}q"
            text = f"{mark} " * chance.choice((1, 5, 30, 400))
            upload = Upload(f"{mark}.wav", 1, "ab" * 32)
            job = Job("ann", Options(prompt=text, hotwords=mark), upload, idempotency_key=mark)
            webhook = Webhook(job.id, "ann", f"http://a/{mark}", "a:80", new_secret())
            job = await store.add(job, webhook)
            there[job.id] = mark
            if chance.random() < 0.7 and (running := await store.start(job.id)) is not None:
                running = await store.checkpoint(running, Stage.DECODE, f"{mark}.json", 0.5)
                await store.fail(running, Stage.DECODE, text)
            if chance.random() < 0.3:
                await store.retry(job.id)
            if chance.random() < 0.4:
                task_id = chance.choice(list(there))
                await store.delete(task_id)
                gone.append(there.pop(task_id))
        assert store.erased.is_set()
        await store.wipe()
        assert not store.erased.is_set()
        assert len(gone) > TASKS / 4 and readable(tmp_path, gone) == {}
        assert len(readable(tmp_path, there.values())) == len(there)
        for task_id, mark in there.items():
            await store.delete(task_id)
            gone.append(mark)
        await store.wipe()
        assert readable(tmp_path, [*gone, "Qwzx"]) == {}
        assert await outbox.page("ann", None, 10, None) == []
        await opened.dispose()

    asyncio.run(go())


def test_log_that_somebody_reads_is_emptied_later(tmp_path: Path) -> None:
    database = tmp_path / "jobs.db"

    async def go() -> None:
        opened = await open_database(f"sqlite+aiosqlite:///{database}")
        store = JobStore(opened)
        job = await store.add(Job("ann", Options(prompt="Qwzx"), Upload("a.wav", 1, "ab" * 32)))
        with closing(sqlite3.connect(database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
            await store.delete(job.id)
            began = time.monotonic()
            await store.wipe()
            assert time.monotonic() - began < USUAL_WAIT / 1000 / 2, "others had to wait for it"
            assert store.erased.is_set() and readable(tmp_path, ["Qwzx"])
            assert await store.add(Job("ann", Options(), Upload("b.wav", 1, "ab" * 32)))
        await store.wipe()
        assert not store.erased.is_set() and not readable(tmp_path, ["Qwzx"])
        await opened.dispose()

    asyncio.run(go())
