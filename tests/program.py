"""The command line in a process of its own, to be waited for, stopped and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.backend import KEY
from tests.server import Server

TRANSCRIBE = [sys.executable, "-m", "whisperx_api", "transcribe"]


class Command:
    """`whisperx-api transcribe` with some arguments, begun."""

    def __init__(self, *arguments: object, stdout: int | IO[Any] = subprocess.PIPE, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*TRANSCRIBE, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background may ignore it
        )  # fmt: skip

    def end(self, by: signal.Signals | None = None, seconds: float = 60) -> tuple[int, str, str]:
        """Wait for its end, which a signal may bring; return the exit code and what it has said."""
        if by is not None:
            self.process.send_signal(by)
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


def run(*arguments: object, seconds: float = 120, **environment: str) -> tuple[int, str, str]:
    """Run the command to its end; return the exit code and what it has said."""
    return Command(*arguments, stdout=subprocess.PIPE, **environment).end(seconds=seconds)


def at(server: Server) -> list[str]:
    """Return the flags that name a test's server."""
    return ["--server", f"http://127.0.0.1:{server.port}", "--api-key", KEY, "--poll-seconds", "0.05"]


def tasks(server: Server) -> list[dict[str, Any]]:
    """Return the server's tasks, oldest first."""
    return server.client.get("/api/v1/transcribe/tasks").json()["tasks"][::-1]


def until(true: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not so after {seconds} s")


def written(path: Path) -> str:
    """Wait until a file is there, and return what it holds."""
    return until(lambda: path.is_file() and path.read_text())
