"""When the first text of a job comes: `python -m bench.first_text [--seconds N] [FOLDER]`.

The recordings `FOLDER/ami/*.flac`, or pyannote's sample, joined to N seconds (600). A job on a server with warm models,
with diarization and without: from upload to the first `segment` event as a share of the time to the `completed` one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import soundfile

from bench.figures import Figure, publish
from bench.job import MODELS, joined
from whisperx_api.client import Client
from whisperx_api.demo import serving
from whisperx_api.transcript import SAMPLE_RATE

WARM_SECONDS = 30
"""Length of the job that has the server load its models."""
PATIENCE = 600.0
"""Longest wait for an event, in seconds."""


@dataclass(frozen=True)
class Times:
    """Seconds from the start of the upload to the first text, and to the end of the job; how many segments came."""

    first: float
    whole: float
    segments: int

    @property
    def share(self) -> float:
        """How much of the job's time is over when the first text comes, in percent."""
        return 100.0 * self.first / self.whole


def measure(client: Client, http: httpx.Client, recording: Path, diarization: bool) -> Times:
    """Run a job and listen to its events. Raises `SystemExit` where it gives no text."""
    began = time.monotonic()
    task = client.upload(recording, enable_diarization=diarization).task_id
    first, segments = 0.0, 0
    for event in _events(http, task):
        if event == "segment":
            first, segments = first or time.monotonic() - began, segments + 1
        elif event in ("failed", "cancelled"):
            raise SystemExit(f"The job is {event}.")
    whole = time.monotonic() - began
    if not segments:
        raise SystemExit("The job gave no text.")
    return Times(first, whole, segments)


def _events(http: httpx.Client, task: str) -> Iterator[str]:
    """Yield the names of a task's events until its last."""
    with http.stream("GET", f"/api/v1/transcribe/events/{task}", timeout=PATIENCE) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if line.startswith("event:"):
                yield line.removeprefix("event:").strip()


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="recordings; pyannote's sample without it")
    parser.add_argument("--seconds", type=int, default=600)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sound = joined(arguments.folder, arguments.seconds)
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("--log-level", "warning", *MODELS) as (url, key, _),
        Client(url, api_key=key) as client,
        httpx.Client(base_url=url, headers={"X-API-Key": key}) as http,
    ):
        warm, recording = Path(folder) / "warm.flac", Path(folder) / "meeting.flac"
        soundfile.write(warm, sound[: WARM_SECONDS * SAMPLE_RATE], SAMPLE_RATE)
        soundfile.write(recording, sound, SAMPLE_RATE)
        client.wait(client.upload(warm).task_id)
        for diarization in (False, True):
            times = measure(client, http, recording, diarization)
            what = f"first text of {arguments.seconds} s, {'with' if diarization else 'without'} diarization"
            note = f"after {times.first:.1f} s of {times.whole:.1f} s; {times.segments} segments"
            figures.append(Figure(what, "% of the job", times.share, reach="before 25 %", note=note))
    publish("first_text", figures)


if __name__ == "__main__":
    main()
