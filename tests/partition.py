"""A worker that is cut off from its database, in networks of their own that lead nowhere else.

`python -m tests.partition FOLDER` runs it, as root and in a new network, and prints what came of it as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster import Cluster, WorkerProcess
from tests.offline import loopback_up
from tests.postgres import Postgres, running
from tests.receiver import eventually

HERE, THERE = "10.77.0.1", "10.77.0.2"
"""Addresses of both ends of the cable. They are known in these networks alone."""
CUT_SECONDS = 120.0
STAGE_SECONDS = 45.0
"""How long the task's first stage takes: it ends while its worker is cut off."""


@dataclass(frozen=True)
class Outcome:
    """What came of the task. `taken_over` and `healed` are seconds since the cut; `epochs` those of the runs."""

    status: str
    text: str
    taken_over: float
    completed: float
    refused: bool
    ends: int
    objects: list[str]
    second_task: str


def run(folder: Path) -> Outcome:
    """Cut a worker off for two minutes while it runs a task that another then takes over."""
    loopback_up()
    with running() as postgres:
        open_to_the_cable(postgres)
        url = postgres.new_database()
        shared = folder / "shared"
        cluster = Cluster(folder, url, f"file://{shared}", "tests.fake_engine", max_concurrent_tasks=1)
        try:
            return _scenario(cluster, url, folder, shared)
        finally:
            sys.stderr.write(cluster.end())


def _scenario(cluster: Cluster, url: str, folder: Path, shared: Path) -> Outcome:
    server = cluster.server()
    server.start()
    lonely = cluster.worker(database_url=url.replace("127.0.0.1", HERE))
    with elsewhere(lonely):
        lonely.begin()
        eventually(lambda: server.client.get("/api/v1/workers").json()["workers"], 60)
        script = json.dumps({"seconds": STAGE_SECONDS})
        task = server.upload(_tone(folder), prompt=script, enable_diarization="false")
        server.wait(task, until="transcribe", seconds=60)
        cluster.worker().start()
        cut = time.monotonic()
        _ip("link", "set", "here", "down")
        eventually(lambda: task in cluster.workers[1].log.read_text(), 90)
        taken_over = time.monotonic() - cut
        time.sleep(max(0.0, CUT_SECONDS - (time.monotonic() - cut)))
        _ip("link", "set", "here", "up")
        status = server.wait(task, seconds=240)
        completed = time.monotonic() - cut
        said = eventually(lambda: _refusal(lonely, task), 60)
        second = server.upload(_tone(folder))
        last = server.wait(second, seconds=60)["status"]
        usage = server.client.get("/api/v1/usage").json()["usage"]
    objects = sorted(str(path.relative_to(shared)) for path in shared.rglob(f"*{task}*/*") if path.is_file())
    text = status["result"]["text"] if status["result"] else status["error"]
    ends = sum(day["completed"] for day in usage)
    return Outcome(status["status"], text, taken_over, completed, bool(said), ends, objects, last)


def _refusal(worker: WorkerProcess, task: str) -> str | None:
    """Return what a worker says of a run that is not wanted any more."""
    said = [line for line in worker.log.read_text().splitlines() if f"task {task}" in line]
    return next((line for line in said if "not wanted" in line or "stopped" in line), None)


def open_to_the_cable(postgres: Postgres) -> None:
    """Have PostgreSQL be reached over the cable too."""
    _ip("link", "add", "here", "type", "veth", "peer", "name", "there")
    _ip("addr", "add", f"{HERE}/30", "dev", "here")
    _ip("link", "set", "here", "up")
    postgres.settings["listen_addresses"] = f"127.0.0.1,{HERE}"
    with (postgres.folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {THERE}/32 scram-sha-256\n")
    postgres.stop()
    postgres.start()


@contextmanager
def elsewhere(worker: WorkerProcess) -> Iterator[None]:
    """Have a worker be started in a network of its own, at the other end of the cable."""
    with subprocess.Popen(["unshare", "--net", "sleep", "3600"]) as keeper:
        try:
            eventually(lambda: _network(keeper.pid) != _network("self"), 10)
            _ip("link", "set", "there", "netns", str(keeper.pid))
            inside = ["nsenter", "--target", str(keeper.pid), "--net"]
            for command in (
                ["link", "set", "lo", "up"], ["addr", "add", f"{THERE}/30", "dev", "there"],
                ["link", "set", "there", "up"],
            ):  # fmt: skip
                subprocess.run([*inside, "ip", *command], check=True)
            worker.prefix = inside
            yield
        finally:
            worker.kill()
            keeper.kill()


def _network(process: int | str) -> str:
    return str(Path(f"/proc/{process}/ns/net").readlink())


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _tone(folder: Path) -> Path:
    import wave

    path = folder / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"\x00\x10" * 16000)
    return path


if __name__ == "__main__":
    print(json.dumps(asdict(run(Path(sys.argv[1])))))
