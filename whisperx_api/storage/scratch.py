"""Files of this machine alone, where recordings and transcripts are kept elsewhere: all of them can be made again."""

from __future__ import annotations

import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from whisperx_api.storage.names import PART, TASK_ID

ATTEMPT = re.compile(rf"{TASK_ID}\.(\d+)")
"""Names of the folders in `root`: the decoder of one attempt can write to its own and to no other."""
PASSING = re.compile(rf"[0-9a-f]{{32}}{re.escape(PART)}")
"""Names of the files in `uploads`."""


class Scratch:
    """Keeps decoded audio in `root`, a folder an attempt, and in `uploads` what is on its way to or from elsewhere."""

    def __init__(self, root: Path, uploads: Path) -> None:
        self._root = root
        self._uploads = uploads

    def prepare(self) -> None:
        """Make the folders. Raises `OSError` where that is not allowed."""
        for folder in (self._root, self._uploads):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def audio(self, task_id: str, epoch: int) -> Path:
        """Where an attempt's decoded audio goes."""
        folder = self._root / f"{task_id}.{epoch}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / "audio.f32"

    def passing(self) -> Path:
        """Return a new place for what is on its way."""
        return self._uploads / f"{uuid.uuid4().hex}{PART}"

    def clear(self, task_id: str, epoch: int | None = None) -> None:
        """Delete a task's decoded audio, but not that of later attempts than `epoch`. Raises `OSError`."""
        for folder in self._root.glob(f"{task_id}.*"):
            if epoch is None or int(folder.suffix[1:]) <= epoch:
                with suppress(FileNotFoundError):  # somebody else does the same
                    shutil.rmtree(folder)

    def sweep(self) -> int:
        """Delete all that an earlier server has left, and return how many things that were. Raises `OSError`."""
        attempts = [folder for folder in self._root.iterdir() if ATTEMPT.fullmatch(folder.name)]
        for folder in attempts:
            shutil.rmtree(folder)
        passing = [path for path in self._uploads.iterdir() if PASSING.fullmatch(path.name)]
        for path in passing:
            path.unlink(missing_ok=True)
        return len(attempts) + len(passing)

    def free(self) -> int:
        """Bytes free on the fuller of the two disks. Raises `OSError`."""
        return min(shutil.disk_usage(folder).free for folder in (self._root, self._uploads))
