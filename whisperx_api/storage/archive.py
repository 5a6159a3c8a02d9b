"""The files of tasks in and out of a tar, and out of the way where others take their places.

In the tar a recording is `uploads/TASK`, and what was made of it `tasks/TASK/NAME`. Decoded sound is not in it, nor
what was being written: a task that goes on makes both again.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

from whisperx_api.storage.local import LocalStorage
from whisperx_api.storage.names import PART, TASK_ID

UPLOADS, TASKS = "uploads", "tasks"
MADE_AGAIN = re.compile(rf"audio\.\d+\.f32(\.\d+)?|.*{re.escape(PART)}")
"""Names of files that are not kept."""
MEMBER = re.compile(rf"{UPLOADS}/(?P<recording>{TASK_ID})|{TASKS}/(?P<task>{TASK_ID})/(?P<name>\w[\w.-]*)", re.ASCII)


class NoSuchMember(ValueError):
    """An archive holds what none of this service does; the message is its name."""


def add(tar: tarfile.TarFile, path: Path, name: str) -> bool:
    """Put a file into a tar, for its owner alone; False if it is not there any more. Raises `OSError`."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        state = os.fstat(file.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = state.st_size, int(state.st_mtime), 0o600
        tar.addfile(member, file)
    return True


def add_tasks(tar: tarfile.TarFile, storage: LocalStorage, task_ids: Collection[str]) -> int:
    """Put the files of tasks into a tar and return how many those are. Raises `OSError`."""
    files = 0
    for task_id in sorted(task_ids):
        files += add(tar, storage.upload(task_id), f"{UPLOADS}/{task_id}")
        for path in storage.made(task_id):
            if not MADE_AGAIN.fullmatch(path.name):
                files += add(tar, path, f"{TASKS}/{task_id}/{path.name}")
    return files


class Arrivals:
    """Files of tasks on their way from a tar to their places: first all of them beside these, then in."""

    def __init__(self, storage: LocalStorage, mark: str) -> None:
        """`mark` is part of the names of the folders in which they wait."""
        self._folders = storage.folders
        self._waiting = [folder / f"{mark}.arriving" for folder in self._folders]
        self.files = 0
        """How many have come."""

    def take(self, member: tarfile.TarInfo, content: IO[bytes]) -> None:
        """Write one file down, beside its place. Raises `NoSuchMember` and `OSError`."""
        found = MEMBER.fullmatch(member.name)
        if found is None or not member.isreg():
            raise NoSuchMember(member.name)
        tasks, uploads = self._waiting
        path = uploads / found["recording"] if found["recording"] else tasks / found["task"] / found["name"]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        self.files += 1

    def settle(self) -> None:
        """Put all files in their places, which are empty. Raises `OSError`."""
        for folder, waiting in zip(self._folders, self._waiting, strict=True):
            for path in list(waiting.iterdir()) if waiting.is_dir() else ():
                path.rename(folder / path.name)
        self.leave()

    def leave(self) -> None:
        """Delete what has not been put in its place."""
        for waiting in self._waiting:
            shutil.rmtree(waiting, ignore_errors=True)


def set_aside(storage: LocalStorage, mark: str, keep: Collection[str] = ()) -> int:
    """Move what belongs to tasks, all but those in `keep`, into folders called `mark`; return how many things that is.

    There they are out of the service's way: it neither reads nor deletes them. Raises `OSError`.
    """
    moved = 0
    for folder in storage.folders:
        for path in storage.own(folder, keep):
            (folder / mark).mkdir(exist_ok=True, mode=0o700)
            path.rename(folder / mark / path.name)
            moved += 1
    return moved
