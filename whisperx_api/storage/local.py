"""Bytes on disk: uploads, decoded audio, checkpoints and results, a folder a task.

What is written is complete and durable or not there: written beside its place, fsynced, renamed, and the folder
fsynced. Names come from the service, never from a client. Files are readable by the service's user only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from whisperx_api.storage.names import PART, TASK_ID, of_later_attempt

logger = logging.getLogger(__name__)

OWN_NAME = re.compile(rf"[0-9a-f]{{32}}{re.escape(PART)}|{TASK_ID}")
"""Names that this service gives: an upload on its way, and a task's id."""


class LocalStorage:
    """Keeps recordings in `uploads` and everything made from them in `root`."""

    def __init__(self, root: Path, uploads: Path) -> None:
        self._root = root
        self._uploads = uploads

    def prepare(self) -> None:
        """Make the folders. Raises `OSError` where that is not allowed."""
        for folder in (self._root, self._uploads):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def clean_up(self) -> int:
        """Delete nothing: what was left here is of use, or `sweep` deletes it."""
        return 0

    # --- uploads ---

    def incoming(self) -> Path:
        """Return a new place for an upload that is being received."""
        return self._uploads / f"{uuid.uuid4().hex}{PART}"

    def upload(self, task_id: str) -> Path:
        """Where the recording of a task is."""
        return self._uploads / task_id

    async def keep_upload(self, incoming: Path, task_id: str) -> None:
        """Make a received file the task's recording, durably."""
        await asyncio.to_thread(_move, incoming, self.upload(task_id))

    @asynccontextmanager
    async def recording(self, task_id: str) -> AsyncIterator[Path]:
        """Have the recording of a task as a file: the one that is kept."""
        yield self.upload(task_id)

    async def stored(self, task_id: str) -> Path:
        """Return where the recording of a task is. Raises `FileNotFoundError` where it is not there any more."""
        path = self.upload(task_id)
        if not await asyncio.to_thread(path.is_file):
            raise FileNotFoundError(path)
        return path

    # --- what is made of them ---

    def audio(self, task_id: str, epoch: int) -> Path:
        """Where an attempt's decoded audio goes."""
        return self._folder(task_id) / f"audio.{epoch}.f32"

    def path(self, task_id: str, name: str) -> Path:
        """Where the file `name` of a task is."""
        return self._root / task_id / name

    @asynccontextmanager
    async def local(self, task_id: str, name: str) -> AsyncIterator[Path]:
        """Have the file `name` of a task: the one that is kept."""
        yield self.path(task_id, name)

    async def write(self, task_id: str, name: str, data: bytes) -> None:
        """Write the file `name` of a task, durably, replacing it as a whole."""
        await asyncio.to_thread(_write, self._folder(task_id) / name, data)

    async def read(self, task_id: str, name: str) -> bytes:
        """Return the file `name` of a task. Raises `FileNotFoundError`."""
        return await asyncio.to_thread(self.path(task_id, name).read_bytes)

    def made(self, task_id: str) -> list[Path]:
        """Return the files that were made for a task, by name; none where it is gone."""
        try:
            return sorted(path for path in (self._root / task_id).iterdir() if path.is_file())
        except FileNotFoundError:
            return []

    @property
    def folders(self) -> tuple[Path, Path]:
        """The folder of what was made, and that of the recordings."""
        return self._root, self._uploads

    def own(self, folder: Path, known: Collection[str]) -> list[Path]:
        """Return what has a name of this service's making in one of `folders`, and belongs to no task in `known`."""
        return _own(folder, frozenset(known)) if folder.is_dir() else []

    # --- the end ---

    async def clear(self, task_id: str, keep: Collection[str], epoch: int | None = None) -> None:
        """Delete what was made for a task except the files named in `keep`, also while one is being written.

        Nor are files deleted of later attempts than `epoch`, if one is given. What can't be deleted stays until its
        task is, which is logged.
        """
        await asyncio.to_thread(_clear, self._root / task_id, keep, epoch)

    async def delete(self, task_id: str) -> None:
        """Delete the recording and all that was made of it."""
        await asyncio.to_thread(self._delete, task_id)

    async def sweep(self, known: Collection[str]) -> int:
        """Delete what belongs to no task in `known`, unfinished uploads included; return how many things that were.

        Only what has a name of this service's own making is touched: somebody else's files may lie in the folder.
        To be called before uploads are received: what is on its way then would go too.
        """
        return await asyncio.to_thread(self._sweep, frozenset(known))

    def free(self) -> int:
        """Bytes free on the fuller of the two disks."""
        return min(shutil.disk_usage(folder).free for folder in (self._root, self._uploads))

    async def fault(self) -> str | None:
        """None: nothing of it is on other machines."""
        return None

    def _folder(self, task_id: str) -> Path:
        folder = self._root / task_id
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _delete(self, task_id: str) -> None:
        self.upload(task_id).unlink(missing_ok=True)
        if (folder := self._root / task_id).exists():
            shutil.rmtree(folder)

    def _sweep(self, known: frozenset[str]) -> int:
        orphans = [path for path in _own(self._uploads, known) if path.is_file()]
        for path in orphans:
            path.unlink()
        folders = [path for path in _own(self._root, known) if path.is_dir()]
        for folder in folders:
            shutil.rmtree(folder)
        return len(orphans) + len(folders)


def _own(folder: Path, known: frozenset[str]) -> list[Path]:
    """Return what has a name of this service's making and belongs to no task in `known`."""
    return [path for path in folder.iterdir() if OWN_NAME.fullmatch(path.name) and path.name not in known]


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move(source: Path, target: Path) -> None:
    source.rename(target)
    sync_folder(target.parent)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + PART)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _move(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _clear(folder: Path, keep: Collection[str], epoch: int | None) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name.removesuffix(PART) not in keep and not of_later_attempt(path.name, epoch):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    logger.warning("%s can't be deleted: %s", path, error)
