"""Whether an engine process still does anything, and how it ended."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from asyncio.subprocess import Process

import psutil
from anyio import move_on_after

from whisperx_api.engine.channel import Channel

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 60.0
"""How long an engine may say nothing, not even that it is alive, before it is killed unless it computes."""
IDLE_CPU_SHARE = 0.1
"""A process that takes no more of a core than this does not compute."""
OBITUARY_SECONDS = 5.0
"""How long is waited for the end of a process that has hung up."""


async def kill_if_stuck(process: Process | None, channel: Channel) -> None:
    """Kill the process once it neither speaks nor computes; who waits for it then hears that it died.

    Silence alone proves nothing: a library that computes with Python's lock held keeps the heartbeat back too.
    """
    if process is None:
        return
    channel.heard, computed = time.monotonic(), cpu_seconds(process.pid)
    while True:
        await asyncio.sleep(max(channel.heard + SILENCE_SECONDS - time.monotonic(), 0))
        if time.monotonic() - channel.heard < SILENCE_SECONDS:
            continue
        if (now := cpu_seconds(process.pid)) - computed <= IDLE_CPU_SHARE * SILENCE_SECONDS:
            break
        channel.heard, computed = time.monotonic(), now
    logger.error("engine %d has neither said nor computed anything for %.0f s and is killed", process.pid,
                 SILENCE_SECONDS)  # fmt: skip
    if process.returncode is None:
        process.kill()


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has taken so far; 0 if it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


async def obituary(process: Process | None) -> str:
    """Say how a process ended."""
    if process is not None:
        with move_on_after(OBITUARY_SECONDS):
            await process.wait()
    status = process.returncode if process else None
    if status is None:
        return "The engine process closed its connection."
    if status >= 0:
        return f"The engine process ended with status {status}; its log says why."
    known = -status in set(signal.Signals)
    name = signal.Signals(-status).name if known else f"signal {-status}"
    hint = " Most often that is the system running out of memory." if name == "SIGKILL" else ""
    return f"The engine process was killed by {name}.{hint}"
