"""A large upload beside the same bytes through a handler that only writes them: `python -m bench.upload [--bytes N]`.

2 GB of WAV in a multipart form, to the whole service, and to a plain starlette application under uvicorn that writes
what comes to the same disk, as it comes. Ours also checks the key, parses the form, hashes the recording, has it on the
disk for good (fsync) and looks into it before it answers. Best of each, in turn; the memory is that of the server's own
process at its highest, above what it had before.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from bench.figures import Figure, Peak, publish, watched
from whisperx_api.client import Client
from whisperx_api.demo import free_port, serving, wait_for

SIZE = 2_000_000_000
RUNS = 3
BOUNDARY = "a-boundary-that-the-recording-does-not-have"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="long.wav"\r\n'
    "Content-Type: audio/wav\r\n\r\n"
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
RATE, CHANNELS, WIDTH = 48000, 2, 2
BLOCK = 1 << 24
"""Bytes of the noise that is repeated."""
LOOK_SECONDS = 0.02

PLAIN = """
import sys, uvicorn
from pathlib import Path
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

target = Path(sys.argv[1])

async def upload(request: Request) -> PlainTextResponse:
    with target.open("wb") as file:
        async for chunk in request.stream():
            file.write(chunk)
    return PlainTextResponse("", status_code=202)

async def health(request: Request) -> PlainTextResponse:
    return PlainTextResponse("")

routes = [Route("/upload", upload, methods=["POST"]), Route("/health", health)]
uvicorn.run(Starlette(routes=routes), port=int(sys.argv[2]), log_level="warning", access_log=False)
"""


def recording(path: Path, size: int) -> None:
    """Write a WAV file of about so many bytes, of noise."""
    noise = np.random.default_rng(0).integers(-(2**12), 2**12, BLOCK // WIDTH, dtype="<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setparams((CHANNELS, WIDTH, RATE, size // (CHANNELS * WIDTH), "NONE", ""))
        for start in range(0, size, BLOCK):
            file.writeframes(noise[: min(BLOCK, size - start)])


def send(url: str, path: str, key: str, file: Path) -> tuple[float, HTTPResponse]:
    """Send a form with the file, and return the seconds to the answer, and the answer."""
    host = urlsplit(url)
    connection = HTTPConnection(host.hostname or "", host.port, timeout=600)
    connection.connect()
    began = time.perf_counter()
    connection.putrequest("POST", path)
    connection.putheader("X-API-Key", key)
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(HEAD) + file.stat().st_size + len(TAIL)))
    connection.endheaders(HEAD)
    opened: socket.socket = connection.sock
    with file.open("rb") as content:
        opened.sendfile(content)
    opened.sendall(TAIL)
    answer = connection.getresponse()
    return time.perf_counter() - began, answer


@contextmanager
def growth(pid: int) -> Iterator[Peak]:
    """Give the most that a process's memory is above what it is now, in bytes, for the time of the block."""
    process = psutil.Process(pid)
    before = process.memory_info().rss
    with watched(lambda: process.memory_info().rss - before, LOOK_SECONDS) as peak:
        yield peak


@contextmanager
def plain(target: Path) -> Iterator[str]:
    """Run the handler that only writes; give its URL."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", PLAIN, str(target), str(port)]) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=SIZE)
    size = parser.parse_args().bytes
    ours: list[float] = []
    theirs: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("--log-level", "warning", "--max-file-size", str(2 * size)) as (url, key, pid),
        plain(Path(folder) / "plain") as other,
        Client(url, api_key=key) as client,
        growth(pid) as grown,
    ):
        file = Path(folder) / "long.wav"
        recording(file, size)
        for _ in range(RUNS):
            seconds, answer = send(url, "/api/v1/transcribe/upload", key, file)
            if answer.status != 202:
                raise SystemExit(f"The upload is answered {answer.status}: {answer.read().decode()}")
            ours.append(seconds)
            for task in client.tasks():
                client.delete(task.task_id)
            theirs.append(send(other, "/upload", key, file)[0])
            (Path(folder) / "plain").unlink()
    gigabytes = size / 1e9
    publish("upload", [
        Figure(f"upload of {gigabytes:.3g} GB", "s", min(ours), min(theirs), "a plain starlette handler", "0.5 times",
               f"{1000 * gigabytes / min(ours):.0f} MB a second"),
        Figure(f"memory of the server, {gigabytes:.3g} GB", "MB", grown.size / 1e6, reach="less than 32 MB",
               note=f"at its highest above before, {RUNS} uploads"),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
