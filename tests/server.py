"""A real server in its own process, to be talked to, killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parent.parent
RUN = """
import sys, uvicorn
from whisperx_api.app import create_app
from whisperx_api.connections import protocol
from whisperx_api.settings import load_settings
settings = load_settings()
uvicorn.run(
    create_app(settings, engine=sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_config=None,
    log_level=settings.logging_level, access_log=settings.debug, http=protocol(settings.max_connections), ws="none",
)
"""
"""Serves as `whisperx-api serve` does, with another engine and without the command line."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gone(AssertionError):
    """A server has ended before it answered. The message is its log."""


class Program:
    """A process of its own, which tests end as they like."""

    process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self) -> float:
        """End it as Docker does, and return how many seconds that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)
        return time.monotonic() - began


class Server(Program):
    """One server; `start` after `kill` starts it on the same data again."""

    def __init__(
        self, settings: dict[str, Any], key: str, engine: str | None, log: Path, path: Sequence[Path] = ()
    ) -> None:
        """`path` are folders from which all its processes import first."""
        self.port = free_port()
        self.log = log
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers={"X-API-Key": key}, timeout=30)
        self._environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))),
        }
        self._environment |= {name.upper(): str(value) for name, value in settings.items()}
        self._command = [sys.executable, "-m", "whisperx_api", "serve", "--port", str(self.port)]
        if engine:
            self._command = [sys.executable, "-c", RUN, engine, str(self.port)]

    def start(self, **environment: str) -> float:
        """Start it, wait until it answers, and return how many seconds that took. Raises `Gone` if it ends instead.

        `environment` is what it has in it besides its settings, this time.
        """
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environment | environment, cwd=self.log.parent, stdout=log, stderr=log
            )
        while time.monotonic() - began < 30:
            try:
                self.client.get("/health")
                return time.monotonic() - began
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise Gone(self.log.read_text()) from None
                time.sleep(0.02)
        raise AssertionError(f"the server did not answer within 30 s:\n{self.log.read_text()}")

    def readiness(self) -> httpx.Response:
        """Ask whether work is taken up."""
        return self.client.get("/ready")

    def children(self) -> list[psutil.Process]:
        """Return the child processes of what runs its tasks: the engine, and decoders at work."""
        return psutil.Process(self.runner.pid).children(recursive=True)

    @property
    def runner(self) -> subprocess.Popen[bytes]:
        """The process that runs the tasks: itself."""
        assert self.process is not None
        return self.process

    def upload(self, path: Path, **fields: str) -> str:
        """Upload a file and return the task's id."""
        with path.open("rb") as file:
            answer = self.client.post("/api/v1/transcribe/upload", files={"file": (path.name, file)}, data=fields)
        assert answer.status_code == 202, answer.text
        return answer.json()["task_id"]

    def status(self, task_id: str) -> dict[str, Any]:
        """Poll once."""
        answer = self.client.get(f"/api/v1/transcribe/status/{task_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, task_id: str, seconds: float = 120, until: str | None = None) -> dict[str, Any]:
        """Poll until the task has ended, or is at the stage `until`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.status(task_id)
            if status["status"] not in ("pending", "processing") or (until and status["stage"] == until):
                return status
            time.sleep(0.05)
        raise AssertionError(f"not done after {seconds} s: {status}")

    def listen(self, task_id: str, begins: str, seconds: float = 120) -> None:
        """Poll until the task's message begins so; it must not end before."""
        deadline = time.monotonic() + seconds
        while not (status := self.status(task_id))["message"].startswith(begins):
            assert status["completed_at"] is None and time.monotonic() < deadline, status
            time.sleep(0.02)
