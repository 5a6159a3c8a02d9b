"""Memory and time of long recordings, through the whole service: `python -m bench.length [--hours 1 2 4] [FOLDER]`.

The recordings `FOLDER/ami/*.flac`, or pyannote's sample, repeated to so many hours. A server on the starter models,
started anew for each length, takes one over HTTP; meanwhile its anonymous memory is looked at, and that of its
processes. The recording itself is in a memory-mapped file, whose pages the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import soundfile

from bench.figures import Figure, publish, timed, watched
from bench.job import MODELS, joined
from whisperx_api.client import Client
from whisperx_api.demo import serving
from whisperx_api.transcript import SAMPLE_RATE

LOOK_SECONDS = 0.5
TRANSCRIBED = "completed"


@dataclass(frozen=True)
class Run:
    """What a recording of so many hours took: seconds, and bytes at the most; and what was found in it."""

    hours: float
    seconds: float
    memory: int
    words: int
    speakers: int


def anonymous(process: psutil.Process) -> int:
    """Return a process's anonymous memory in bytes, 0 if it is gone."""
    with suppress(OSError, psutil.Error):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def held(pid: int) -> int:
    """Return how many bytes of anonymous memory a process and all its children have."""
    with suppress(psutil.Error):
        server = psutil.Process(pid)
        return sum(map(anonymous, (server, *server.children(recursive=True))))
    return 0


def run(hours: float, folder: Path | None) -> Run:
    """Measure one recording on a server of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        recording = Path(scratch) / "long.flac"
        soundfile.write(recording, joined(folder, round(hours * 3600)), SAMPLE_RATE)
        with (
            serving("--log-level", "warning", "--no-result-cache", *MODELS) as (url, key, pid),
            Client(url, api_key=key) as client,
            watched(lambda: held(pid), LOOK_SECONDS) as peak,
        ):
            seconds, status = timed(lambda: client.wait(client.upload(recording).task_id))
            if status.status.value != TRANSCRIBED:
                raise SystemExit(f"{hours} h: {status.error}")
            found = client.result(status.task_id)
    words = sum(len(segment.get("words", ())) for segment in found["segments"])
    made = Run(hours, seconds, peak.size, words, len(found["speakers"]))
    print(made, flush=True)
    return made


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="recordings; pyannote's sample without it")
    parser.add_argument("--hours", nargs="+", type=float, default=[1.0, 2.0, 4.0])
    arguments = parser.parse_args()
    first, *others = [run(hours, arguments.folder) for hours in sorted(arguments.hours)]
    note = f"{first.seconds:.0f} s, {first.words} words, {first.speakers} speakers"
    figures = [Figure(f"memory, {first.hours:g} h", "MB", first.memory / 1e6, reach="less than 4000 MB", note=note)]
    for one in others:
        longer = one.hours / first.hours
        memory = f"{one.memory / first.memory:.2f} times as much, {one.words} words, {one.speakers} speakers"
        time = f"{one.seconds / first.seconds:.2f} times as long"
        figures += [
            Figure(f"memory, {one.hours:g} h", "MB", one.memory / 1e6, reach="1.6 times as much", note=memory),
            Figure(f"time, {one.hours:g} h", "s", one.seconds, reach=f"{1.1 * longer:.2g} times as long", note=time),
        ]
    publish("length", figures)


if __name__ == "__main__":
    main()
