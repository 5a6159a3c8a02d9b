"""Recordings and what is made of them in a bucket, which several servers may share.

A recording is the object `uploads/TASK`, and what was made of it `tasks/TASK/NAME`, as on a disk. What needs a file,
such as the decoder, gets a copy on this machine for as long as it is at work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from whisperx_api.storage.names import TASK_ID, of_later_attempt
from whisperx_api.storage.objects import Objects
from whisperx_api.storage.protocol import StoredObject
from whisperx_api.storage.scratch import Scratch
from whisperx_api.storage.watching import Watched

logger = logging.getLogger(__name__)

UPLOADS, TASKS = "uploads", "tasks"
OWN_NAME = re.compile(rf"{UPLOADS}/(?P<recording>{TASK_ID})|{TASKS}/(?P<task>{TASK_ID})/[^/]+")
"""Names of objects that this service gives."""
PIECE = 4 * 1024**2
"""Bytes of a recording that are in memory at a time while it is fetched."""
STRAY_SECONDS = 3600.0
"""Age from which an object of no task is nobody's: it is put moments before its task is on record."""


class BucketStorage:
    """Keeps everything in a bucket but what can be made again, which is on this machine."""

    def __init__(self, objects: Objects, scratch: Scratch, stray_seconds: float = STRAY_SECONDS) -> None:
        self._objects = objects
        self._scratch = scratch
        self._stray_seconds = stray_seconds
        self._watched = Watched(objects.look)

    def prepare(self) -> None:
        """Make the folders on this machine. Raises `OSError` where that is not allowed."""
        self._scratch.prepare()

    async def clean_up(self) -> int:
        """Delete what an earlier process has left on this machine; return how many things that were."""
        return await asyncio.to_thread(self._scratch.sweep)

    # --- uploads ---

    def incoming(self) -> Path:
        """Return a new place on this machine for an upload that is being received."""
        return self._scratch.passing()

    async def keep_upload(self, incoming: Path, task_id: str) -> None:
        """Put a received file into the bucket as the task's recording."""
        size = (await asyncio.to_thread(incoming.stat)).st_size
        await self._objects.put_file(_recording(task_id), incoming, size)

    def recording(self, task_id: str) -> AbstractAsyncContextManager[Path]:
        """Have a copy of the recording of a task. Raises `FileNotFoundError`."""
        return self._fetched(_recording(task_id))

    async def stored(self, task_id: str) -> StoredObject:
        """Return where the recording of a task can be read from, in parts. Raises `FileNotFoundError`."""
        name = _recording(task_id)
        known = await self._objects.head(name)
        read = partial(self._objects.get_range, name)
        return StoredObject(known["size"], known["last_modified"].timestamp(), known["e_tag"], read)

    # --- what is made of them ---

    def audio(self, task_id: str, epoch: int) -> Path:
        """Where an attempt's decoded audio goes, on this machine."""
        return self._scratch.audio(task_id, epoch)

    def local(self, task_id: str, name: str) -> AbstractAsyncContextManager[Path]:
        """Have a copy of the file `name` of a task. Raises `FileNotFoundError`."""
        return self._fetched(_made(task_id, name))

    async def write(self, task_id: str, name: str, data: bytes) -> None:
        """Put the file `name` of a task into the bucket, replacing it as a whole."""
        await self._objects.put(_made(task_id, name), data)

    async def read(self, task_id: str, name: str) -> bytes:
        """Return the file `name` of a task. Raises `FileNotFoundError`."""
        return await self._objects.get(_made(task_id, name))

    # --- the end ---

    async def clear(self, task_id: str, keep: Collection[str], epoch: int | None = None) -> None:
        """Delete what was made for a task except the files named in `keep`, and those of later attempts than `epoch`.

        What can't be deleted stays until its task is, which is logged.
        """
        try:
            await asyncio.to_thread(self._scratch.clear, task_id, epoch)
            made = [(place, place.rpartition("/")[2]) for place in await self._made(task_id)]
            await self._objects.delete([
                place for place, name in made if name not in keep and not of_later_attempt(name, epoch)
            ])  # fmt: skip
        except OSError as error:
            logger.warning("task %s: what it needs no more can't be deleted: %s", task_id, error)

    async def delete(self, task_id: str) -> None:
        """Delete the recording and all that was made of it. Raises `StorageUnavailable`."""
        await asyncio.to_thread(self._scratch.clear, task_id)
        await self._objects.delete([_recording(task_id), *await self._made(task_id)])

    async def sweep(self, known: Collection[str]) -> int:
        """Delete what belongs to no task in `known`; return how many things that were.

        Only goes what has a name of this service's making and is old: another server may just be putting
        what is new. Where it can't be reached it is left as it is, which is logged.
        """
        things, known, before = 0, frozenset(known), time.time() - self._stray_seconds
        try:
            for folder in (UPLOADS, TASKS):
                async for page in self._objects.list(folder):
                    named = [(OWN_NAME.fullmatch(one["path"]), one["last_modified"].timestamp()) for one in page]
                    strays = [name for name, at in named if name and at <= before and not known & set(name.groups())]
                    await self._objects.delete([name[0] for name in strays])
                    things += len({name["recording"] or name["task"] for name in strays})
        except OSError as error:
            logger.warning("the bucket can't be looked through for what belongs to no task: %s", error)
        return things

    # --- how it is ---

    def free(self) -> int:
        """Bytes free on the fuller of the two disks of this machine."""
        return self._scratch.free()

    async def fault(self) -> str | None:
        """Return why the bucket can't be used, a sentence; None where it can be."""
        return await self._watched()

    async def _made(self, task_id: str) -> list[str]:
        """Return the names of the objects that were made for a task."""
        return [one["path"] async for page in self._objects.list(f"{TASKS}/{task_id}") for one in page]

    @asynccontextmanager
    async def _fetched(self, name: str) -> AsyncIterator[Path]:
        """Have a copy of an object on this machine, fetched piece by piece."""
        size = (await self._objects.head(name))["size"]
        path = self._scratch.passing()
        try:
            with await asyncio.to_thread(_create, path) as file:
                for start in range(0, size, PIECE):
                    data = await self._objects.get_range(name, start, min(start + PIECE, size))
                    await asyncio.to_thread(file.write, data)
            yield path
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)


def _create(path: Path) -> BinaryIO:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _recording(task_id: str) -> str:
    return f"{UPLOADS}/{task_id}"


def _made(task_id: str, name: str) -> str:
    return f"{TASKS}/{task_id}/{name}"
