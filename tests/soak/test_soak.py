"""A crowd that uploads, polls, listens, cancels and deletes, while engine and server are killed under it."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.receiver import Receiver, eventually, receiving
from tests.server import Server
from tests.soak import LONG
from tests.soak.crowd import Crowd, Told, Way, Work, messages

API = "/api/v1/transcribe"
ENGINES = ("tests.fake_engine", "whisperx_api.engine.worker")
OWN = {"tasks", "uploads", "lock", "stage_costs.json", "whisperx-api.db", "whisperx-api.db-shm", "whisperx-api.db-wal"}
"""What a server keeps in its data folder."""
GROWTH = 1.1


@dataclass(frozen=True)
class Size:
    """How many jobs and clients, and how often the engine and the server are killed meanwhile.

    The memory is measured after `settled` jobs without a kill, and at the end.
    """

    jobs: int
    clients: int
    engine_kills: int
    server_kills: int
    settled: int


WHOLE = Size(jobs=500, clients=20, engine_kills=12, server_kills=3, settled=50)
SIZE = WHOLE if LONG else Size(jobs=70, clients=8, engine_kills=2, server_kills=1, settled=20)


@pytest.fixture
def clips(sample_dir: Path, tmp_path: Path) -> Callable[[random.Random], Path]:
    """Give a function that cuts a few seconds out of pyannote's sample: now and then the same."""
    with wave.open(str(sample_dir / "sample.wav"), "rb") as file:
        form, sound = file.getparams(), file.readframes(file.getnframes())
    width = form.sampwidth * form.nchannels
    (tmp_path / "clips").mkdir()
    one_at_a_time = threading.Lock()

    def cut(chance: random.Random) -> Path:
        start = chance.choice((10, 15)) if chance.random() < 0.3 else chance.uniform(5, 22)
        first = round(start * form.framerate) * width
        path = tmp_path / "clips" / f"{start:.3f}.wav"
        with one_at_a_time:  # two clients may have the same
            if not path.exists():
                with wave.open(str(path), "wb") as file:
                    file.setparams(form)
                    file.writeframes(sound[first : first + round(4 * form.framerate) * width])
        return path

    return cut


def fake_work(clips: Callable[[random.Random], Path], chance: random.Random) -> Work:
    seconds = chance.choice((0, 0.02, 0.1, 0.4))
    return Work(clips(chance), {"prompt": json.dumps({"seconds": seconds, "pieces": chance.random() < 0.5})})


def real_work(clips: Callable[[random.Random], Path], chance: random.Random) -> Work:
    return Work(clips(chance), {"language": "en", "enable_diarization": str(chance.random() < 0.7).lower()})


@dataclass(frozen=True)
class Level:
    """What server and engine hold: bytes that are theirs alone, and files that the server has open."""

    memory: int
    files: int


def level(server: Server) -> Level:
    """Return what they hold when nothing is at work."""
    assert server.process is not None
    eventually(lambda: server.client.get("/health").json()["active_tasks"] == 0, 60)
    time.sleep(1)
    assert engines_of(server), "there is no engine whose memory could be counted"
    processes = [psutil.Process(server.process.pid), *server.children()]
    return Level(sum(process.memory_full_info().uss for process in processes), processes[0].num_fds())


def engines_of(server: Server) -> list[psutil.Process]:
    """Return the engine processes that are there."""
    return [child for child in server.children() if any(name in command_of(child) for name in ENGINES)]


def command_of(process: psutil.Process) -> str:
    """Return how a process was started; nothing of one that has ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


@contextmanager
def killing(server: Server, crowd: Crowd) -> Iterator[list[str]]:
    """Kill the engine and the server at random moments; give a list of what was killed."""
    chance, over, killed, wrong = random.Random(7), threading.Event(), [], []
    kinds = ["engine"] * SIZE.engine_kills + ["server"] * SIZE.server_kills
    chance.shuffle(kinds)
    first, last = crowd.ended, SIZE.jobs * 0.8
    turns = [first + (last - first) * (place + chance.random()) / len(kinds) for place in range(len(kinds))]

    def kill() -> None:
        for turn, kind in zip(turns, kinds, strict=True):
            while crowd.ended < turn and not over.is_set():
                time.sleep(0.01)
            time.sleep(0.3 * chance.random())
            if kind == "server":
                server.kill()
                time.sleep(chance.random())
                server.start()
            else:
                while not (engines := engines_of(server)):
                    time.sleep(0.05)
                engines[0].kill()
            killed.append(kind)

    def run() -> None:
        try:
            kill()
        except Exception as error:
            wrong.append(error)

    killer = threading.Thread(target=run)
    killer.start()
    try:
        yield killed
    finally:
        over.set()
        killer.join(60)
    assert not wrong, wrong


def listed(server: Server) -> dict[str, dict[str, Any]]:
    """Return all tasks by their ids."""
    tasks: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = server.client.get(f"{API}/tasks", params=query).json()
        tasks |= {task["task_id"]: task for task in page["tasks"]}
        if (cursor := page["next_cursor"]) is None:
            return tasks


def check_ends(server: Server, crowd: Crowd, receiver: Receiver) -> None:
    """See that the server has the jobs that were accepted and no others, and that each end was told of once."""
    kept = {told.task_id: told for told in crowd.told if not told.deleted}
    tasks = listed(server)
    assert set(tasks) == set(kept)
    assert len({told.task_id for told in crowd.told}) == len(crowd.told)
    assert {task_id: task["status"] for task_id, task in tasks.items()} == {
        task_id: told.ends[-1] for task_id, told in kept.items()
    }
    assert {told.ends[-1] for told in kept.values() if told.way is not Way.CANCEL} == {"completed"}

    def told_all() -> bool:
        said = messages(receiver.requests)
        return all(len(said.get(told.task_id, ())) >= len(told.ends) for told in kept.values())

    eventually(told_all, 120)
    said = messages(receiver.requests)
    wrong: list[Told] = [told for told in kept.values() if sorted(said[told.task_id]) != sorted(told.ends)]
    assert not wrong, [(told, said[told.task_id]) for told in wrong]
    twice = [told for told in crowd.told if told.deleted and len(said.get(told.task_id, ())) > 1]
    assert not twice, twice


def check_files(server: Server, data: Path) -> None:
    """See that every file is of a task that is there; and that none is left when all are deleted."""
    tasks = set(listed(server))
    for folder in ("tasks", "uploads"):
        assert {path.name for path in (data / folder).iterdir()} <= tasks
    assert {path.name for path in data.iterdir()} <= OWN
    assert not list(data.rglob("*.part"))
    for task in tasks:
        assert server.client.delete(f"{API}/task/{task}").status_code == 204
    assert not [*(data / "tasks").iterdir(), *(data / "uploads").iterdir()]


@pytest.mark.parametrize("fake", [True, False] if LONG else [True], ids=["fake", "real"] if LONG else ["fake"])
def test_crowd_loses_no_job_and_leaves_no_file_whatever_is_killed(start_server, clips, tmp_path: Path, fake) -> None:
    server: Server = start_server(
        fake=fake, result_cache=True, outgoing_allow="127.0.0.1", webhook_retry_seconds=0.2, max_uploads=64
    )
    key = server.client.headers["X-API-Key"]
    make = fake_work if fake else real_work
    began = time.monotonic()
    with receiving(Receiver()) as receiver:
        url = str(server.client.base_url)
        crowd = Crowd(url, key, SIZE.clients, lambda chance: make(clips, chance), receiver.url)
        crowd.run(SIZE.settled)
        before = level(server)
        with killing(server, crowd) as killed:
            crowd.run(SIZE.jobs - SIZE.settled)
        after = level(server)
        seconds = time.monotonic() - began
        check_ends(server, crowd, receiver)
    ways = Counter(told.way.name.lower() for told in crowd.told)
    ends = Counter(told.ends[-1] if told.ends else "deleted" for told in crowd.told)
    sys.stderr.write(
        f"{SIZE.jobs} jobs of {SIZE.clients} clients in {seconds:.0f} s: {dict(ways)}; {dict(ends)}; "
        f"killed: {dict(Counter(killed))}; memory {before.memory / 1e6:.0f} -> {after.memory / 1e6:.0f} MB, "
        f"files {before.files} -> {after.files}\n"
    )
    assert Counter(killed) == {"engine": SIZE.engine_kills, "server": SIZE.server_kills}
    assert after.memory < GROWTH * before.memory
    assert after.files <= before.files + 8
    check_files(server, tmp_path / "data")
