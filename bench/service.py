"""How fast the whole service is: `python -m bench.service [RECORDING …]`, pyannote's sample if none is named.

Starts a server of its own, sends every recording at once, and asks for a status twenty times a second until all are
done. Prints one JSON object: how long the server took to answer first, the audio's length against the time to
transcribe it (the models are loaded within that time), how long polls took, and the most memory that server and engine
held.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import httpx
import psutil

from whisperx_api.client import Client
from whisperx_api.demo import sample, serving

POLL_SECONDS = 0.05


def measure(recordings: Sequence[Path]) -> dict[str, object]:
    """Transcribe the recordings and return the figures."""
    began = time.monotonic()
    with serving("--log-level", "warning", "--no-result-cache") as (url, key, pid), Client(url, api_key=key) as client:
        started = time.monotonic() - began
        server = psutil.Process(pid)
        began = time.monotonic()
        waiting = [client.upload(recording).task_id for recording in recordings]
        tasks = tuple(waiting)
        polls: list[float] = []
        memory = {"server": 0, "engine": 0}
        with httpx.Client(base_url=url, headers={"X-API-Key": key}) as http:
            while waiting:
                asked = time.perf_counter()
                status = http.get(f"/api/v1/transcribe/status/{waiting[0]}?include_result=false").json()
                polls.append(time.perf_counter() - asked)
                if status["status"] in ("failed", "cancelled"):
                    raise SystemExit(f"{status['task_id']} is {status['status']}: {status['error']}")
                if status["status"] == "completed":
                    waiting.pop(0)
                held = [child.memory_info().rss for child in server.children()] if len(polls) % 10 == 0 else []
                memory["engine"] = max([memory["engine"], *held])
                memory["server"] = max(memory["server"], server.memory_info().rss)
                time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - began
        audio = sum(client.result(task)["duration"] for task in tasks)
    return {
        "machine": f"{psutil.cpu_count()} cores, {platform.machine()}",
        "server_answers_after_seconds": round(started, 2),
        "audio_seconds": round(audio, 1),
        "seconds": round(seconds, 1),
        "times_real_time": round(audio / seconds, 2),
        "polls": len(polls),
        "poll_median_milliseconds": round(1e3 * median(polls), 1),
        "poll_p99_milliseconds": round(1e3 * quantiles(polls, n=100)[-1], 1),
        "memory_megabytes": {name: round(size / 1e6) for name, size in memory.items()},
    }


if __name__ == "__main__":
    print(json.dumps(measure([Path(name) for name in sys.argv[1:]] or [sample()]), indent=2))
