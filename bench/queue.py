"""How many jobs a second go through a cluster's queue: `python -m bench.queue [--jobs N] [--workers N]`.

PostgreSQL, from Debian's package, and all that asks it share this machine. Each of so many workers takes the next job,
puts its end on record at once, as a fake engine would have it, and takes another: a job goes on record with its ticket,
is begun, and ends with all that an end brings, each a transaction that waits for the disk. At first the jobs come, then
they go, and at last they come and go at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import Figure, publish
from tests.postgres import running
from whisperx_api.jobs.cluster.host import pause_between_looks
from whisperx_api.jobs.cluster.store import ClusterStore
from whisperx_api.jobs.cluster.workers import WorkerBook
from whisperx_api.jobs.database import open_database
from whisperx_api.jobs.job import Job, KeptResult, Upload
from whisperx_api.jobs.worker import Worker
from whisperx_api.options import Options

WANTED = 300.0
OWNERS = 20
CLIENTS = 8
"""Who sends jobs, in each process, one after the other."""


@dataclass(frozen=True)
class Share:
    """What one process does: so many jobs to put, and so many to see to their end, with so many workers."""

    url: str
    number: int
    puts: int = 0
    ends: int = 0
    workers: int = 0
    all_workers: int = 0


def job(number: int) -> Job:
    """Return a job of one of the owners."""
    return Job(f"owner{number % OWNERS}", Options(), Upload("meeting.wav", 32044, f"{number:064x}", 60.0))


async def work(share: Share, begin: Callable[[], object]) -> None:
    """Do a share, from when all have come to where they begin."""
    database = await open_database(share.url)
    store, book = ClusterStore(database, "large-v3"), WorkerBook(database)
    left = {"puts": share.puts, "ends": share.ends}

    async def put() -> None:
        while left["puts"]:
            left["puts"] -= 1
            await store.add(job(left["puts"]))

    pause = pause_between_looks(share.all_workers)

    async def run(worker: Worker, number: int) -> None:
        while left["ends"]:
            left["ends"] -= 1
            while (taken := await store.take(worker.id, number)) is None:  # noqa: ASYNC110  # others put it
                await asyncio.sleep(pause)
            ended = taken[0]
            kept = KeptResult(ended.upload.sha256, "assign.1.json", 4000, ended.upload.sha256)
            await store.complete(ended, {"assign": kept.file}, kept, seconds=60.0)

    workers = [Worker(f"{share.number}-{number}", "here", 0, (), 1) for number in range(share.workers)]
    numbers = [await book.register(worker) for worker in workers]
    begin()
    await asyncio.gather(*(put() for _ in range(CLIENTS)), *map(run, workers, numbers))
    for worker, number in zip(workers, numbers, strict=True):
        await book.sign_off(worker, number)
    await database.dispose()


def _begin(share: Share, ready: Any, go: Any) -> None:
    def begin() -> None:
        ready.release()
        go.wait()

    asyncio.run(work(share, begin))


def timed(shares: Sequence[Share]) -> float:
    """Return how many seconds processes take, each with its share, from when all are there."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    processes = [context.Process(target=_begin, args=(share, ready, go)) for share in shares]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    began = time.monotonic()
    go.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return time.monotonic() - began


def measure(jobs: int, workers: int, processes: int) -> list[Figure]:
    """Return jobs a second that come, that go, and that do both."""
    each, mine = jobs // processes, workers // processes
    with running() as postgres:
        url = postgres.new_database()
        asyncio.run(_made(url))

        def rate(puts: int, ends: int) -> float:
            shares = [Share(url, number, puts, ends, mine if ends else 0, workers) for number in range(processes)]
            return each * processes / timed(shares)

        note = f"{jobs} jobs, {processes} processes; PostgreSQL beside them"
        both = f"both at once, {workers} workers"
        return [
            Figure("jobs put on record, with their tickets", "jobs/s", rate(each, 0), note=note),
            Figure(f"jobs begun and ended by {workers} workers", "jobs/s", rate(0, each), note=note),
            Figure(both, "jobs/s", rate(each, each), reach=f"{WANTED:g} jobs/s", note=note),
        ]


async def _made(url: str) -> None:
    await (await open_database(url)).dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    publish("queue", measure(chosen.jobs, chosen.workers, chosen.processes))


if __name__ == "__main__":
    main()
