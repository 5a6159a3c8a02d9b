"""How fast a status comes while many ask: `python -m bench.polls [--seconds N] [FOLDER]`.

From 50 connections that stay open. At first 1,000 polls a second of tasks that have ended, the engine idle; then 200 a
second, half of them of a task in work, while the engine transcribes the recordings `FOLDER/ami/*.flac`, or pyannote's
sample, joined to an hour. A poll's time is counted from when it was due, so that one that is held up by those before it
counts with its wait. Who asks runs beside the server, on the same processors.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import soundfile

from bench.figures import Figure, publish
from bench.job import MODELS, joined
from whisperx_api.client import Client
from whisperx_api.demo import sample, serving
from whisperx_api.transcript import SAMPLE_RATE

CONNECTIONS = 50
IDLE_RATE, BUSY_RATE = 1000, 200
"""Polls a second."""
ENDED = 10
"""Tasks that have ended, of which the polls ask in turn."""
HOUR = 3600
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Answers:
    """`seconds` of each poll, from when it was due, in order of size; how many were not 200; the time of all."""

    seconds: Sequence[float]
    wrong: int
    took: float

    def percentile(self, share: float) -> float:
        """Return within how many milliseconds that share of the polls was answered."""
        return 1000 * self.seconds[min(round(share * len(self.seconds)), len(self.seconds) - 1)]


async def ask(url: str, key: str, paths: Sequence[str], rate: float, seconds: float, connections: int) -> Answers:
    """Poll `paths` in turn, `rate` times a second over all connections."""
    host = urlsplit(url)
    count = round(rate * seconds)
    requests = [f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\nX-API-Key: {key}\r\n\r\n".encode() for path in paths]
    taken: list[float] = []
    wrong = 0

    async def connection(first: int, begin: float) -> None:
        nonlocal wrong
        reader, writer = await asyncio.open_connection(host.hostname, host.port)
        for place in range(first, count, connections):
            due = begin + place / rate
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            writer.write(requests[place % len(requests)])
            head = await reader.readuntil(HEAD_END)
            await reader.readexactly(_length(head))
            taken.append(time.perf_counter() - due)
            wrong += not head.startswith(b"HTTP/1.1 200 ")
        writer.close()

    gc.freeze()  # else the collector holds whoever asks up for 0.4 s, and that would count as the server's
    begin = time.perf_counter() + 0.2  # all connections are open by then
    await asyncio.gather(*(connection(first, begin) for first in range(connections)))
    return Answers(sorted(taken), wrong, time.perf_counter() - begin)


def _length(head: bytes) -> int:
    """Return how long the body is that follows the head of an answer."""
    lines = head.lower().split(b"\r\n")
    return int(next(line for line in lines if line.startswith(b"content-length:")).partition(b":")[2])


def figure(what: str, answers: Answers, reach: str, note: str) -> Figure:
    """Return the figure of some polls. Raises `SystemExit` where one was not answered as it should be."""
    if answers.wrong:
        raise SystemExit(f"{what}: {answers.wrong} of {len(answers.seconds)} polls were not answered with 200.")
    each = f"median {answers.percentile(0.5):.1f} ms, longest {1000 * answers.seconds[-1]:.0f} ms"
    rate = f"{len(answers.seconds)} polls, {len(answers.seconds) / answers.took:.0f} a second"
    return Figure(f"{what}, p99", "ms", answers.percentile(0.99), reach=reach, note=f"{each}; {rate}; {note}")


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="recordings; pyannote's sample without it")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each rate is kept up")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("--log-level", "warning", "--no-result-cache", *MODELS) as (url, key, _),
        Client(url, api_key=key) as client,
    ):

        def polls(tasks: Sequence[str], rate: float, result: bool) -> Answers:
            query = "" if result else "?include_result=false"
            paths = [f"/api/v1/transcribe/status/{task}{query}" for task in tasks]
            return asyncio.run(ask(url, key, paths, rate, arguments.seconds, CONNECTIONS))

        short, long = Path(folder) / "short.flac", Path(folder) / "long.flac"
        sound, rate = soundfile.read(sample(), dtype="float32")
        soundfile.write(short, sound[: 10 * rate], rate)
        soundfile.write(long, joined(arguments.folder, HOUR), SAMPLE_RATE)
        ended = [client.upload(short).task_id for _ in range(ENDED)]
        for task in ended:
            client.wait(task)
        size = f"{len(client.result(ended[0])['segments'])} segments each"
        idle = [
            figure(f"{IDLE_RATE} polls a second of ended tasks, {what}", polls(ended, IDLE_RATE, result), "50 ms", note)
            for what, result, note in (("no transcript", False, "idle"), ("with the transcript", True, size))
        ]
        work = client.upload(long).task_id
        while client.status(work).stage != "transcribe":
            time.sleep(0.1)
        psutil.cpu_percent()
        answers = polls([work, *ended[:1]] * ENDED, BUSY_RATE, True)
        load = f"processors {psutil.cpu_percent():.0f} % at work"
        if client.status(work).completed_at is not None:
            raise SystemExit("The engine was done before the polls were.")
        busy = figure(f"{BUSY_RATE} polls a second, the engine at work", answers, "100 ms", load)
    publish("polls", [*idle, busy])


if __name__ == "__main__":
    main()
