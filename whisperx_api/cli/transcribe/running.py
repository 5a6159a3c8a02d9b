"""Runs the command: chooses who transcribes, has recordings or a folder gone through, and ends as it should."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from whisperx_api.cli.console import FAILED, REFUSED, USAGE, end, plain, settings_or_end
from whisperx_api.cli.transcribe.address import local_key, url_of
from whisperx_api.cli.transcribe.asked import Asked
from whisperx_api.cli.transcribe.at_server import AtServer
from whisperx_api.cli.transcribe.batch import Batch
from whisperx_api.cli.transcribe.delivery import Delivery
from whisperx_api.cli.transcribe.failures import INTERRUPTED, NotTranscribed
from whisperx_api.cli.transcribe.notes import Notes
from whisperx_api.cli.transcribe.outputs import Output, bases, outputs, refuse_recordings, unwritable
from whisperx_api.cli.transcribe.sent import SentTasks
from whisperx_api.cli.transcribe.showing import Show, shown
from whisperx_api.cli.transcribe.stopping import Stopped, until_told
from whisperx_api.cli.transcribe.watching import Folder, NotWatched, watch
from whisperx_api.cli.transcribe.ways import Way
from whisperx_api.client import AsyncClient, ClientError, Retries
from whisperx_api.formats.writing import Format

PATIENCE_SECONDS = 60.0
"""How long a server may be away while a task is waited for; one that is watched for may be away for ever."""
RETRIES = Retries(most=4, longest=120.0)
"""A queue that is full asks for half a minute, and a rate limit often for a whole one."""


@dataclass(frozen=True)
class At:
    """The server that is asked, and how. `again` sends what was sent before as new tasks."""

    server: str | None
    api_key: str | None
    again: bool
    poll_seconds: float


def run(
    asked: Asked, at: At | None, files: Sequence[Path], resume: str | None, watched: Path | None, jobs: int,
    settle_seconds: float, cache_dir: Path | None,
) -> int:  # fmt: skip
    """Do what is asked for, at a server or, without one, here; return the exit code.

    `cache_dir` is the folder for what can be made again; ~/.cache if it is None.
    """
    several = watched is not None or len(files) > 1
    if asked.output is not None:
        refuse_recordings([asked.output], files)
    if asked.output_dir is not None or watched is not None:
        asked = replace(asked, formats=asked.formats or (Format.TEXT,))
    if (target := asked.output_dir or watched) is not None:
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            end(f"{target} can't be written to: {error.strerror}.", USAGE)
        if not os.access(target, os.W_OK | os.X_OK):
            end(unwritable(target), USAGE)

    async def work(way: Way, show: Show, at_once: int) -> int:
        batch = Batch(way, asked, show, several=several, patient=watched is not None)
        if watched is not None:
            notes = Notes(cache_dir, watched, asked.output_dir or watched)
            folder = Folder(watched, asked.formats, asked.output_dir, settle_seconds, notes)
            try:
                return await watch(watched, folder, batch.one, at_once)
            except NotWatched as error:
                end(str(error), FAILED)
        if resume is not None:
            assert isinstance(way, AtServer)
            return await _resumed(way, resume, asked, show)
        return await batch.all(_planned(files, asked), at_once)

    try:
        return asyncio.run(
            _here(work, jobs) if at is None else _at_server(work, at, cache_dir, jobs, watched is not None)
        )
    except Stopped as stopped:
        return 0 if watched is not None and stopped.by is not signal.SIGINT else INTERRUPTED
    except KeyboardInterrupt:  # a second Ctrl-C, or one before anything was begun
        return INTERRUPTED


Task = Callable[[Way, Show, int], Coroutine[Any, Any, int]]


async def _at_server(task: Task, at: At, cache_dir: Path | None, jobs: int, watching: bool) -> int:
    """Have the task done by a server. What is not done when Ctrl-C stops it is cancelled there, unless it watches."""
    try:
        server = url_of(at.server)
        client = AsyncClient(server, at.api_key or local_key(server), retries=RETRIES)
    except ClientError as error:
        end(str(error), REFUSED)
    except ValueError as error:
        end(f"{error} Here: --api-key, or WHISPERX_API_KEY.", USAGE)
    async with client:
        patience = math.inf if watching else PATIENCE_SECONDS
        sent = SentTasks(cache_dir, server)
        way = AtServer(client, sent, again=at.again, poll_seconds=at.poll_seconds, patience=patience)
        try:
            with shown() as show:
                return await until_told(task(way, show, jobs + 1))
        except Stopped as stopped:
            cancelling = stopped.by is signal.SIGINT and not watching
            _say(await way.give_up() if cancelling else way.left(), watching)
            raise
        except BrokenPipeError:  # nobody reads what is printed any more
            _say(way.left(), watching)
            raise
        finally:
            await way.end()


def _say(sentence: str | None, watching: bool) -> None:
    if sentence and not watching:
        with suppress(OSError):  # a terminal that is closed
            typer.echo(plain(sentence), err=True)


async def _here(task: Task, jobs: int) -> int:
    """Have the task done by this machine."""
    from whisperx_api.cli.transcribe.here import check_engine, here

    check_engine()

    async def done_here() -> int:
        async with here(settings_or_end(), jobs) as way:
            with shown() as show:
                return await task(way, show, jobs)

    try:
        return await until_told(done_here())
    except Stopped as stopped:
        if stopped.by is signal.SIGINT:
            typer.echo("Cancelled.", err=True)
        raise


def _planned(files: Sequence[Path], asked: Asked) -> dict[Path, tuple[Output, ...]]:
    """Return the recordings, each once, with the files to be written."""
    recordings = {path.resolve(): path for path in reversed(files)}
    once = [path for path in dict.fromkeys(files) if recordings[path.resolve()] == path]
    if asked.output_dir is None:
        return dict.fromkeys(once, ())
    given = bases(once, asked.formats)
    planned = {path: outputs(base, asked.formats, asked.output_dir) for path, base in given.items()}
    refuse_recordings([output.path for wanted in planned.values() for output in wanted], once)
    return planned


async def _resumed(way: AtServer, task_id: str, asked: Asked, show: Show) -> int:
    """Wait for a task that was sent before, and deliver its transcript; return the exit code."""
    row, delivery = show.row(""), Delivery(asked, show, several=False)
    recording: Path | None = None
    files: tuple[Output, ...] = ()
    try:
        if asked.output_dir is not None:
            recording = await way.recording_of(task_id)
            files = outputs(recording.stem, asked.formats, asked.output_dir)
        delivery.done(recording, await way.followed(task_id, asked, row), files, row)
    except NotTranscribed as error:
        delivery.failed(None, error, files, row)
        return error.code
    finally:
        row.end()
    return 0
