"""A reader's shell: commands taken from the pages, run to their end or until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.commands import look
from tests.documents import blocks
from tests.program import until

PROGRAMS = Path(sys.executable).parent


def text_of(name: str) -> str:
    """Return a block's text, by its page and first line. It has been looked through."""
    found = [block.text for block in blocks() if block.name == name]
    assert len(found) == 1, f"{name}: {len(found)} of them"
    look(found[0])
    return found[0]


def environment(**more: str) -> dict[str, str]:
    """Return a reader's environment. What this test run and its `make` hand on is not for the reader's."""
    own = {name: value for name, value in os.environ.items() if not re.match("MAKE|MFLAGS$|PYTEST_", name)}
    return own | {"PATH": f"{PROGRAMS}:{own['PATH']}"} | more


def run(script: str, folder: Path, environment: dict[str, str], seconds: float = 240) -> str:
    """Run a script to its end, and return what it prints. Fails where it does."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Going:
    """A script that is at work."""

    process: subprocess.Popen[str]
    log: Path

    def until(self, true: Callable[[], object]) -> None:
        """Wait until something is so; the script must go on."""

        def now() -> object:
            assert self.process.poll() is None, self.log.read_text()
            with suppress(httpx.TransportError):
                return true()
            return None

        until(now, 240)


@contextmanager
def going(script: str, folder: Path, environment: dict[str, str], typed: str = "") -> Iterator[Going]:
    """Run a script that goes on until Ctrl-C, with what is typed first. In the end nothing of it must be left."""
    log = folder / "said"
    with log.open("w") as said, subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background may ignore it
    ) as process:  # fmt: skip
        try:
            assert process.stdin is not None
            process.stdin.write(typed)
            process.stdin.flush()
            yield Going(process, log)
            started = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
            _, left = psutil.wait_procs(started, 10)
            assert left == [], log.read_text()
            assert "Traceback" not in log.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
