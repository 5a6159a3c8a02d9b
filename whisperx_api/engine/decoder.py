"""Starts the decoder process: a quick look at an upload, and the first stage of every job. Imports no media library."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyio import fail_after

from whisperx_api.lifeline import python_module
from whisperx_api.options import Channels
from whisperx_api.transcript import Audio

logger = logging.getLogger(__name__)

PROBE_SECONDS = 20.0
"""Longest time for a look at the first frame."""
PLAIN_VARIABLES = re.compile(r"PATH|(LD|DYLD)_LIBRARY_PATH|PYTHON[A-Z]+|VIRTUAL_ENV|LANG|LC_[A-Z]+|TZ|TMPDIR")
"""Variables that say where code lies and how text is written."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""For the libraries of arrays: threads of theirs would take memory, and have nothing to do."""
KEPT_OF_STDERR = 2000
"""Bytes of what the process says last that are logged where it ends badly."""


class NotAudio(ValueError):
    """The file is no recording that can be read. The message says why."""


class DecoderDied(RuntimeError):
    """The decoder process was killed or ran into its time limit."""


async def probe(path: Path, channels: Channels = Channels.MIX) -> float | None:
    """Return the stated length of `path` in seconds, None if it states none. Raises `NotAudio` and `DecoderDied`."""
    return (await _run(PROBE_SECONDS, channels.value, "probe", str(path))).get("duration")


async def decode(
    path: Path,
    target: Path,
    report: Callable[[float], None],
    channels: Channels = Channels.MIX,
    *,
    seconds: float,
    longest: float,
) -> Audio:
    """Decode `path` into `target` within so many `seconds`; `report` gets the fraction done.

    `longest` is the most sound that is taken, in seconds. Raises `NotAudio`, `DecoderDied`, and `OSError` where the
    disk does not take the sound. Cancelling the call kills the process.
    """
    answer = await _run(seconds, channels.value, "decode", str(path), str(target), str(longest), report=report)
    audio = answer["audio"]
    return Audio(audio["path"], audio["samples"], tuple(audio["warnings"]), audio["channels"])


async def _run(seconds: float, *arguments: str, report: Callable[[float], None] | None = None) -> dict[str, Any]:
    try:
        process = await asyncio.create_subprocess_exec(
            *python_module("whisperx_api.pipeline.decoder_process"), str(os.getpid()), *arguments,
            start_new_session=True, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=_plain_environment() | ONE_THREAD,
        )  # fmt: skip
    except OSError as error:
        raise DecoderDied(f"the decoder process can't be started: {error}") from error
    assert process.stdout is not None
    assert process.stderr is not None
    said = asyncio.create_task(_last_words(process.stderr))
    try:
        with fail_after(seconds):
            answer = await _answer(process.stdout, report)
        if answer is None:
            status = await process.wait()
            logger.warning("a decoder process ended with status %d: %s", status, await said)
            raise DecoderDied(f"the decoder process ended with status {status} before it was done")
        return answer
    except TimeoutError:
        raise DecoderDied(f"decoding took longer than {seconds:.0f} s (DECODE_TIMEOUT_SECONDS)") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        said.cancel()


def _plain_environment() -> dict[str, str]:
    """Return what of the environment a process gets that reads what strangers send: where code lies, and no secret."""
    return {name: value for name, value in os.environ.items() if PLAIN_VARIABLES.fullmatch(name)}


async def _answer(stdout: asyncio.StreamReader, report: Callable[[float], None] | None) -> dict[str, Any] | None:
    """Return the answer, None where the process ends without one."""
    async for line in stdout:
        message = json.loads(line)
        if "not_audio" in message:
            raise NotAudio(message["not_audio"])
        if "errno" in message:
            raise OSError(message["errno"], os.strerror(message["errno"]))
        if "unconfined" in message:
            logger.warning("%s", message["unconfined"])
            continue
        if "progress" not in message:
            return message
        if report is not None:
            report(message["progress"])
    return None


async def _last_words(stderr: asyncio.StreamReader) -> str:
    """Return the end of what the process says on stderr."""
    kept = b""
    while block := await stderr.read(65536):
        kept = (kept + block)[-KEPT_OF_STDERR:]
    return kept.decode(errors="replace").strip()
