"""Files of this machine alone, where recordings and transcripts are kept elsewhere: all of them can be made again."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path

from whisperx_api.storage.names import PART, TASK_ID, of_later_attempt

OWN_NAME = re.compile(rf"{TASK_ID}\.audio\.\d+\.f32(\.\d+)?|[0-9a-f]{{32}}{re.escape(PART)}")
"""Names that are given here: decoded audio, and what is on its way."""


class Scratch:
    """Keeps decoded audio in `root`, and in `uploads` what is on its way from or to the storage."""

    def __init__(self, root: Path, uploads: Path) -> None:
        self._folders = (root, uploads)

    def prepare(self) -> None:
        """Make the folders. Raises `OSError` where that is not allowed."""
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def audio(self, task_id: str, epoch: int) -> Path:
        """Where an attempt's decoded audio goes."""
        return self._folders[0] / f"{task_id}.audio.{epoch}.f32"

    def passing(self) -> Path:
        """Return a new place for what is on its way."""
        return self._folders[1] / f"{uuid.uuid4().hex}{PART}"

    def clear(self, task_id: str, epoch: int | None = None) -> None:
        """Delete a task's decoded audio, but not that of later attempts than `epoch`. Raises `OSError`."""
        for path in self._folders[0].glob(f"{task_id}.*"):
            if not of_later_attempt(path.name.removeprefix(f"{task_id}."), epoch):
                path.unlink(missing_ok=True)

    def sweep(self) -> int:
        """Delete everything, and return how many files that were: what an earlier server has left. Raises `OSError`."""
        left = [path for folder in self._folders for path in folder.iterdir() if OWN_NAME.fullmatch(path.name)]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def free(self) -> int:
        """Bytes free on the fuller of the two disks. Raises `OSError`."""
        return min(shutil.disk_usage(folder).free for folder in self._folders)
