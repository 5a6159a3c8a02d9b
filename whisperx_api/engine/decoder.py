"""Starts the decoder process: a quick look at an upload, and the first stage of every job. Imports no media library."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whisperx_api.lifeline import python_module
from whisperx_api.transcript import Audio

PROBE_SECONDS = 20.0
"""Longest time for a look at the first frame."""


class NotAudio(ValueError):
    """The file is no recording that can be read. The message says why."""


class DecoderDied(RuntimeError):
    """The decoder process was killed or ran into its time limit."""


async def probe(path: Path) -> float | None:
    """Return the stated length of `path` in seconds, None if it states none. Raises `NotAudio`."""
    try:
        return (await _run(PROBE_SECONDS, "probe", str(path))).get("duration")
    except DecoderDied as error:
        raise NotAudio("the file can't be read as audio") from error


async def decode(path: Path, target: Path, report: Callable[[float], None], timeout: float) -> Audio:
    """Decode `path` into `target` within `timeout` seconds; `report` gets the fraction done.

    Raises `NotAudio` and `DecoderDied`. Cancelling the call kills the process.
    """
    answer = await _run(timeout, "decode", str(path), str(target), report=report)
    audio = answer["audio"]
    return Audio(audio["path"], audio["samples"], tuple(audio["warnings"]))


async def _run(timeout: float, *arguments: str, report: Callable[[float], None] | None = None) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *python_module("whisperx_api.pipeline.decode"), str(os.getpid()), *arguments, start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return await asyncio.wait_for(_answer(process, report), timeout)
    except (asyncio.TimeoutError, TimeoutError):
        raise DecoderDied(f"decoding took longer than {timeout:.0f} s (DECODE_TIMEOUT_SECONDS)") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _answer(process: asyncio.subprocess.Process, report: Callable[[float], None] | None) -> dict[str, Any]:
    assert process.stdout is not None
    async for line in process.stdout:
        message = json.loads(line)
        if "error" in message:
            raise NotAudio(message["error"])
        if "progress" not in message:
            await process.wait()
            return message
        if report is not None:
            report(message["progress"])
    status = await process.wait()
    raise DecoderDied(f"the decoder process ended with status {status} before it was done")
