"""Runs the decoder process for many files, quickly: a Python that has the media library loaded makes a fork for each.

`python -m tests.fuzz.forks` reads a line of JSON for each, its arguments after PARENT, and writes one of what came out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

SECONDS = 30
"""Within these a small file must be done with."""


@dataclass(frozen=True)
class Ended:
    """How a decoder ended: its exit status, or minus the number of the signal; what it wrote; seconds that it took."""

    status: int
    lines: list[dict[str, Any]]
    said: str
    seconds: float


class Decoders:
    """Makes forks for tests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.forks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> Ended:
        """Run one decoder process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the Python that makes the forks."""
        self._process.communicate(timeout=60)


def forked(arguments: list[str]) -> Ended:
    """Run the decoder process' own `main` in a fork."""
    (out, into), (errors, says) = os.pipe(), os.pipe()
    parent, began = os.getpid(), time.monotonic()
    if not (child := os.fork()):
        os.dup2(into, 1)
        os.dup2(says, 2)
        os.closerange(3, 64)
        signal.alarm(SECONDS)
        status = 70
        try:
            status = MAIN([str(parent), *arguments])
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(into)
    os.close(says)
    with os.fdopen(out) as answers, os.fdopen(errors, errors="replace") as complaints:
        lines = [json.loads(line) for line in answers]
        said = complaints.read()
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), lines, said[-2000:], time.monotonic() - began)


if __name__ == "__main__":
    from whisperx_api.pipeline.decoder_process import main as MAIN

    for line in sys.stdin:
        print(json.dumps(asdict(forked(json.loads(line)))), flush=True)
