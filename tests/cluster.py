"""Clusters for tests: servers and workers as processes of their own, on one PostgreSQL and one storage."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.server import ROOT, Gone, Program, Server, free_port

WORK = """
import sys, uvicorn
from whisperx_api.settings import load_settings
from whisperx_api.work import create_worker
settings = load_settings()
uvicorn.run(
    create_worker(settings, engine=sys.argv[1]), host="127.0.0.1", port=settings.metrics_port, log_config=None,
    log_level=settings.logging_level, access_log=False, ws="none",
)
"""
"""Works as `whisperx-api worker` does, with another engine and without the command line."""


class WorkerProcess(Program):
    """One worker; `start` after `kill` starts it again."""

    def __init__(self, settings: dict[str, Any], engine: str | None, log: Path, path: Sequence[Path] = ()) -> None:
        """`path` are folders from which all its processes import first."""
        self.port = free_port()
        self.log = log
        self._environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))),
        }
        own = {**settings, "metrics_port": self.port}
        self._environment |= {name.upper(): str(value) for name, value in own.items()}
        self.prefix: list[str] = []
        """The command under which it is started."""
        self._command = [sys.executable, "-m", "whisperx_api", "worker"]
        if engine:
            self._command = [sys.executable, "-c", WORK, engine]

    def start(self) -> None:
        """Start it, and wait until it answers. Raises `Gone` if it ends instead."""
        self.begin()
        self.await_start()

    def begin(self, **environment: str) -> None:
        """Start it. `environment` is what it has in it besides its settings, this time."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *self._command], env=self._environment | environment, cwd=self.log.parent, stdout=log,
                stderr=log,
            )  # fmt: skip

    def await_start(self) -> None:
        """Wait until it answers. Raises `Gone` if it ends instead."""
        assert self.process is not None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.get("/health").status_code == 200:
                    return
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise Gone(self.log.read_text()) from None
            time.sleep(0.05)
        raise AssertionError(f"the worker did not answer within 60 s:\n{self.log.read_text()}")

    def get(self, path: str) -> httpx.Response:
        """Ask it something."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)


class Cluster:
    """Servers and workers on one database and storage, each with a folder of its own below `folder`."""

    def __init__(self, folder: Path, database_url: str, storage_url: str, engine: str | None, **settings: Any) -> None:
        """`engine` is the module that engine processes run; the real one if it is None."""
        self._folder = folder
        self._engine = engine
        self.settings = {
            "queue": "procrastinate", "database_url": database_url, "storage_url": storage_url, "api_key": "test-key",
            "whisper_model": "tiny", "result_cache": False,
        } | settings  # fmt: skip
        self.servers: list[Server] = []
        self.workers: list[WorkerProcess] = []

    @property
    def database(self) -> str:
        """The name of its database."""
        return str(self.settings["database_url"]).rpartition("/")[2]

    def server(self, **settings: Any) -> Server:
        """Return a further server, which is not started."""
        folder = self._new_folder(f"server{len(self.servers)}")
        chosen = self.settings | {"data_dir": folder / "data"} | settings
        self.servers.append(Server(chosen, "test-key", self._engine, folder / "server.log"))
        return self.servers[-1]

    def worker(self, **settings: Any) -> WorkerProcess:
        """Return a further worker, which is not started."""
        folder = self._new_folder(f"worker{len(self.workers)}")
        chosen = self.settings | {"data_dir": folder / "data"} | settings
        self.workers.append(WorkerProcess(chosen, self._engine, folder / "worker.log"))
        return self.workers[-1]

    def start(self, servers: int, workers: int) -> None:
        """Start so many of each, all at once."""
        new = [self.worker() for _ in range(workers)]
        for worker in new:
            worker.begin()
        for _ in range(servers):
            self.server().start()
        for worker in new:
            worker.await_start()

    def end(self) -> str:
        """End all of them, and return what they have logged."""
        for one in (*self.servers, *self.workers):
            one.kill()
        return "".join(f"--- {one.log.parent.name}\n{one.log.read_text()}" for one in (*self.servers, *self.workers))

    def _new_folder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder
