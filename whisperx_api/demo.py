"""`make demo`: starts a server of its own, has it transcribe a recording, shows the result, and stops the server.

Without a file it takes the 30 seconds of a telephone call that come with pyannote.audio.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx

from whisperx_api.settings import load_settings

PROGRAM = (sys.executable, "-m", "whisperx_api")
START_SECONDS = 60.0
"""Longest wait for the server's first answer."""


def sample() -> Path:
    """Return pyannote's sample recording. Raises `SystemExit` without the engine's packages."""
    spec = find_spec("pyannote")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / "audio" / "sample" / "sample.wav").is_file():
            return path
    sys.exit("The engine is not installed: run `make setup`, or name a recording with AUDIO=file.")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers. Raises `SystemExit` when it ends instead."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit("The server ended before it answered; what it said stands above.")
        try:
            httpx.get(f"{url}/health")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    sys.exit(f"The server did not answer within {START_SECONDS:.0f} s.")


@contextmanager
def serving(*flags: str) -> Iterator[tuple[str, str, int]]:
    """Run a server on a data folder of its own, with the models of `make setup`; give its URL, key and process id."""
    port, key = free_port(), secrets.token_urlsafe(16)
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="whisperx-api-demo-") as folder:
        serve = [*PROGRAM, "serve", "--port", str(port), "--data-dir", folder, "--api-key", key]
        models = ["--model-dir", str(load_settings().models.resolve())]
        with subprocess.Popen([*serve, *models, *flags]) as server:
            try:
                wait_for(url, server)
                yield url, key, server.pid
            finally:
                server.terminate()


def main(arguments: list[str]) -> int:
    """Run the demo on `arguments[0]`, or on the sample; return the exit code."""
    recording = Path(arguments[0]) if arguments else sample()
    print(f"Transcribing {recording} ...", file=sys.stderr)
    with serving("--log-level", "warning") as (url, key, _):
        transcribe = [*PROGRAM, "transcribe", str(recording), "--server", url, "--api-key", key, "--words"]
        return subprocess.run(transcribe, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
