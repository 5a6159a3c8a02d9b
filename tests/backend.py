"""The two back ends that the integration tests run on: a server alone, and a cluster of a server and a worker.

TEST_BACKEND=cluster names the second: PostgreSQL, S3, and the queue of procrastinate.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import httpx
import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.cluster import WorkerProcess
from tests.postgres import Postgres
from tests.private import readable
from tests.s3 import S3
from tests.server import Server
from whisperx_api.app import create_app
from whisperx_api.jobs.tables import Base
from whisperx_api.settings import load_settings
from whisperx_api.work import create_worker

ON_CLUSTER = os.environ.get("TEST_BACKEND") == "cluster"

KEY = "test-key"
LET_THROUGH = {"X-Test": "let through", "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4"}
"""With it the tests' S3 server takes a request for an object, whatever is to fail. It checks no signature."""
TABLES = (*Base.metadata.tables, "procrastinate_jobs", "procrastinate_workers")
"""What a database of PostgreSQL has rows in."""

ALIKE = {
    "test_api_reference": "is about the form of requests and answers",
    "test_backup": "is about SQLite's file",
    "test_bucket": "has a bucket of its own",
    "test_cli_local": "has no server, but to compare with",
    "test_cluster": "has clusters of its own",
    "test_commands": "has servers of its own",
    "test_conversion": "converts models, without a server",
    "test_damaged_models": "runs the engine alone",
    "test_diarize": "runs the pipeline alone",
    "test_documents": "speaks of one server; what a cluster's documents name is only looked at",
    "test_embeddings": "runs the pipeline alone",
    "test_examples": "is about clients, to whom servers are alike",
    "test_known_speakers": "runs the pipeline alone",
    "test_moving": "has databases of its own",
    "test_long_recordings": "runs the pipeline alone",
    "test_offline": "cuts one process tree off",
    "test_postgres_database": "has no server",
    "test_postgres_service": "has databases of its own",
    "test_reverse_proxy": "is about proxies, to which servers are alike",
    "test_segmentation": "runs the pipeline alone",
    "test_transcribe": "runs the pipeline alone",
    "test_upgrade": "has databases of its own",
}
"""Modules to which the back end makes no difference, and why."""


def deselect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is of no use on the back end that was chosen."""
    if not ON_CLUSTER:
        return
    left = [item for item in items if item.path.stem in ALIKE or item.get_closest_marker("embedded")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


class Files(Protocol):
    """What is kept of tasks, looked at and harmed behind the service's back."""

    def recordings(self) -> list[str]:
        """Return the names of the recordings, those included that are being received."""
        ...

    def made(self, task: str) -> list[str]:
        """Return the names of the files that were made for a task, sorted."""
        ...

    def traces(self, task: str) -> list[str]:
        """Return all that has a task's id in its name or place."""
        ...

    def read(self, task: str, name: str) -> bytes:
        """Return a file that was made for a task."""
        ...

    def replace(self, task: str, name: str, data: bytes | None) -> None:
        """Replace a file that was made for a task; it is deleted if `data` is None."""
        ...

    def lose_recording(self, task: str) -> None:
        """Delete a task's recording."""
        ...

    def tasks(self) -> list[str]:
        """Return the tasks for which files were made."""
        ...

    def readable(self, marks: Sequence[str]) -> dict[str, list[str]]:
        """Return which of `marks` can be read anywhere, and where; of a database of PostgreSQL by its rows."""
        ...


class Backend(Protocol):
    """Starts servers, each with what it needs."""

    def app(self, engine: str, settings: dict[str, Any]) -> FastAPI:
        """Return a server as an ASGI app, which has its tasks run while its lifespan lasts."""
        ...

    def server(self, settings: dict[str, Any], engine: str | None, log: Path, path: Sequence[Path]) -> Server:
        """Return a server in a process of its own, which is not started. `path` is where it imports first."""
        ...

    def files(self, data_dir: Path) -> Files:
        """Return what the servers of a data folder keep."""
        ...

    def environment(self, data_dir: Path) -> dict[str, str]:
        """Return what a command has in its environment to find the data of these servers."""
        ...

    def release(self, folder: Path) -> None:
        """Forget all that servers keep whose data folders are in this one. They must have ended."""
        ...


@dataclass(frozen=True)
class Folder:
    """The files of a server alone."""

    data_dir: Path

    def recordings(self) -> list[str]:
        return [path.name for path in (self.data_dir / "uploads").iterdir()]

    def made(self, task: str) -> list[str]:
        folder = self.data_dir / "tasks" / task
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def traces(self, task: str) -> list[str]:
        return [str(path) for path in self.data_dir.rglob("*") if task in str(path)]

    def read(self, task: str, name: str) -> bytes:
        return (self.data_dir / "tasks" / task / name).read_bytes()

    def replace(self, task: str, name: str, data: bytes | None) -> None:
        path = self.data_dir / "tasks" / task / name
        path.unlink() if data is None else path.write_bytes(data)

    def lose_recording(self, task: str) -> None:
        (self.data_dir / "uploads" / task).unlink()

    def tasks(self) -> list[str]:
        return [path.name for path in (self.data_dir / "tasks").iterdir()]

    def readable(self, marks: Sequence[str]) -> dict[str, list[str]]:
        return readable(self.data_dir, marks)


class Alone:
    """Each server runs its tasks itself, and keeps everything in its data folder."""

    def app(self, engine: str, settings: dict[str, Any]) -> FastAPI:
        return create_app(load_settings(**settings), engine)

    def server(self, settings: dict[str, Any], engine: str | None, log: Path, path: Sequence[Path]) -> Server:
        return Server(settings, KEY, engine, log, path)

    def files(self, data_dir: Path) -> Files:
        return Folder(data_dir)

    def environment(self, data_dir: Path) -> dict[str, str]:
        return {"DATA_DIR": str(data_dir)}

    def release(self, folder: Path) -> None:
        pass


@dataclass(frozen=True)
class Place:
    """Where one cluster keeps everything."""

    database_url: str
    prefix: str


@dataclass(frozen=True)
class Bucket:
    """The files of a cluster, and of its two processes."""

    postgres: Postgres
    database: str
    s3: S3
    prefix: str
    data_dirs: Sequence[Path]

    def recordings(self) -> list[str]:
        uploads = [path.name for folder in self.data_dirs for path in (folder / "uploads").glob("*")]
        return uploads + [name.rpartition("/")[2] for name in self.s3.objects(f"{self.prefix}/uploads/")]

    def made(self, task: str) -> list[str]:
        scratch = [path.name for folder in self.data_dirs for path in (folder / "scratch").rglob(f"*{task}*/*")]
        return sorted(scratch + [name.rpartition("/")[2] for name in self.s3.objects(self._of(task))])

    def traces(self, task: str) -> list[str]:
        local = [str(path) for folder in self.data_dirs for path in folder.rglob("*") if task in str(path)]
        return local + [name for name in self.s3.objects(self.prefix) if task in name]

    def read(self, task: str, name: str) -> bytes:
        return self._ask("GET", f"{self._of(task)}{name}").content

    def replace(self, task: str, name: str, data: bytes | None) -> None:
        self._ask("DELETE" if data is None else "PUT", f"{self._of(task)}{name}", data)

    def lose_recording(self, task: str) -> None:
        self._ask("DELETE", f"{self.prefix}/uploads/{task}")

    def tasks(self) -> list[str]:
        return sorted({name.split("/")[2] for name in self.s3.objects(f"{self.prefix}/tasks/")})

    def readable(self, marks: Sequence[str]) -> dict[str, list[str]]:
        found = readable(self.data_dirs[0], marks) | readable(self.data_dirs[1], marks)
        kept = {name: name.encode() + self._ask("GET", name).content for name in self.s3.objects(self.prefix)}
        kept |= {f"table {name}": rows.encode() for name, rows in self.postgres.rows(self.database).items()}
        for mark in marks:
            if places := [place for place, content in kept.items() if mark.encode() in content]:
                found.setdefault(mark, []).extend(places)
        return found

    def _of(self, task: str) -> str:
        return f"{self.prefix}/tasks/{task}/"

    def _ask(self, method: str, name: str, data: bytes | None = None) -> httpx2.Response:
        url = f"{self.s3.url}/{self.s3.bucket}/{name}"
        answer = httpx2.request(method, url, content=data, headers=LET_THROUGH)
        return answer.raise_for_status()


class OfMany:
    """Each server has a worker beside it. Those of one data folder share a database and a place in the bucket."""

    def __init__(self, postgres: Postgres, s3: S3, newest: str) -> None:
        """`newest` is the URL of a database of the newest schema, to which nobody is connected now."""
        self._postgres = postgres
        self._s3 = s3
        self._template = postgres.new_database(like=newest.rpartition("/")[2]).rpartition("/")[2]
        self._places: dict[Path, Place] = {}
        self._spare: list[str] = []
        self._given = 0
        s3.reset()

    def app(self, engine: str, settings: dict[str, Any]) -> FastAPI:
        chosen = self._chosen(settings)
        app = create_app(load_settings(**chosen), engine)
        worker = create_worker(load_settings(**_of_worker(chosen, engine)), engine)
        serve, work = app.router.lifespan_context, worker.router.lifespan_context

        @asynccontextmanager
        async def both(app: FastAPI) -> AsyncIterator[Any]:
            async with serve(app) as state, work(worker):
                app.state.worker = worker
                yield state

        app.router.lifespan_context = both
        return app

    def server(self, settings: dict[str, Any], engine: str | None, log: Path, path: Sequence[Path]) -> Server:
        return WithWorker(self._chosen(settings), engine, log, path)

    def files(self, data_dir: Path) -> Files:
        place = self._place(data_dir)
        folders = (data_dir, _worker_dir(data_dir))
        return Bucket(self._postgres, place.database_url, self._s3, place.prefix, folders)

    def environment(self, data_dir: Path) -> dict[str, str]:
        return {"DATA_DIR": str(data_dir), "DATABASE_URL": self._place(data_dir).database_url}

    def release(self, folder: Path) -> None:
        for data_dir in [path for path in self._places if path.is_relative_to(folder)]:
            url = self._places.pop(data_dir).database_url
            self._postgres.empty(url, TABLES)
            self._spare.append(url)

    def _chosen(self, settings: dict[str, Any]) -> dict[str, Any]:
        place = self._place(Path(settings["data_dir"]))
        return {
            "queue": "procrastinate", "database_url": place.database_url,
            "storage_url": f"s3://{self._s3.bucket}/{place.prefix}",
        } | settings  # fmt: skip

    def _place(self, data_dir: Path) -> Place:
        if data_dir not in self._places:
            self._given += 1
            url = self._spare.pop() if self._spare else self._postgres.new_database(like=self._template)
            self._places[data_dir] = Place(url, f"cluster{self._given}")
        return self._places[data_dir]


class WithWorker(Server):
    """A server and the worker that runs its tasks: started, killed and stopped together, with one log."""

    beside: ClassVar[dict[int, WorkerProcess]] = {}
    """The workers, by the ports of their servers."""

    def __init__(self, settings: dict[str, Any], engine: str | None, log: Path, path: Sequence[Path] = ()) -> None:
        super().__init__(settings, KEY, engine, log, path)
        self.worker = self.beside[self.port] = WorkerProcess(_of_worker(settings, engine), engine, log, path)

    def start(self, **environment: str) -> float:
        self.worker.begin(**environment)
        taken = super().start(**environment)
        self.worker.await_start()
        return taken

    def kill(self) -> None:
        self.worker.kill()
        super().kill()

    def terminate(self) -> float:
        assert self.process is not None and self.worker.process is not None
        began = time.monotonic()
        for process in (self.process, self.worker.process):
            process.send_signal(signal.SIGTERM)
        for process in (self.process, self.worker.process):
            process.wait(30)
        return time.monotonic() - began

    def readiness(self) -> httpx.Response:
        """Ask the worker whether work is taken up: its server takes tasks in whether there is one or not."""
        return self.worker.get("/ready")

    @property
    def runner(self) -> subprocess.Popen[bytes]:
        """The process that runs the tasks: the worker."""
        assert self.worker.process is not None
        return self.worker.process


def engines_of(client: TestClient) -> Any:
    """Return the engines (`engine.fleet.Fleet`) that run the tasks of a client's app."""
    app: Any = client.app
    return app.state.worker.state.host._unload.fleet if ON_CLUSTER else app.state.parts.fleet


def device(name: str = "cpu") -> str:
    """Return what the API calls a device: a cluster has several hosts."""
    return f"{socket.gethostname()}/{name}" if ON_CLUSTER else name


def of_worker(client: Any) -> str | None:
    """Return the metrics of the worker that runs a client's tasks; None where the server does so itself."""
    if not ON_CLUSTER:
        return None
    if isinstance(client, TestClient):
        app: Any = client.app
        return app.state.worker.state.counted.text().decode()
    return WithWorker.beside[client.base_url.port].get("/metrics").text


def soon(look: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Return what `look` gives: at once on a server alone, and where it is told of a worker as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and ON_CLUSTER and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _worker_dir(data_dir: Path) -> Path:
    return data_dir.with_name(f"{data_dir.name}-of-worker")


def _of_worker(settings: dict[str, Any], engine: str | None) -> dict[str, Any]:
    """Return a worker's settings. With an engine of the tests it has every model: such a one loads none."""
    every = {"whisper_auto_download": True} if engine else {}
    return settings | every | {"data_dir": _worker_dir(Path(settings["data_dir"]))}
