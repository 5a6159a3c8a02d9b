"""Recordings and what is made of them in a folder that several machines mount."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from whisperx_api.storage.local import LocalStorage
from whisperx_api.storage.scratch import Scratch
from whisperx_api.storage.watching import Watched

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How long a look at the folder may take: one that is mounted may hang."""
STRAY_SECONDS = 3600.0
"""Age from which a file of no task is nobody's: another server may just be receiving what is new."""


class SharedFolder(LocalStorage):
    """Keeps everything in the folder, durably as on a disk, but decoded audio, which is on this machine."""

    def __init__(self, folder: Path, scratch: Scratch, stray_seconds: float = STRAY_SECONDS) -> None:
        super().__init__(folder / "tasks", folder / "uploads")
        self._scratch = scratch
        self._stray_seconds = stray_seconds
        self._watched = Watched(self._look)
        self._looking: asyncio.Task[int] | None = None
        self._free_there = sys.maxsize

    def prepare(self) -> None:
        """Make the folders, there and here. Raises `OSError` where that is not allowed."""
        super().prepare()
        self._scratch.prepare()

    async def clean_up(self) -> int:
        """Delete what an earlier process has left on this machine; return how many things that were."""
        return await asyncio.to_thread(self._scratch.sweep)

    def audio(self, task_id: str, epoch: int) -> Path:
        """Where an attempt's decoded audio goes, on this machine."""
        return self._scratch.audio(task_id, epoch)

    async def clear(self, task_id: str, keep: Collection[str], epoch: int | None = None) -> None:
        """Delete what was made for a task, there and here, as `LocalStorage` does."""
        try:
            await asyncio.to_thread(self._scratch.clear, task_id, epoch)
            await super().clear(task_id, keep, epoch)
        except OSError as error:
            logger.warning("task %s: what it needs no more can't be deleted: %s", task_id, error)

    async def delete(self, task_id: str) -> None:
        """Delete the recording and all that was made of it."""
        await asyncio.to_thread(self._scratch.clear, task_id)
        await super().delete(task_id)

    def free(self) -> int:
        """Bytes free on the fullest of the disks, the shared one as it was when `fault` was last asked."""
        return min(self._free_there, self._scratch.free())

    async def fault(self) -> str | None:
        """Return why the folder can't be used, a sentence; None where it can be."""
        return await self._watched()

    async def _look(self) -> str | None:
        if self._looking is None or self._looking.done():  # else the one that hangs is waited for
            self._looking = asyncio.create_task(asyncio.to_thread(super().free))
        await asyncio.wait([self._looking], timeout=LOOK_SECONDS)
        if not self._looking.done():
            return f"The folder of STORAGE_URL does not answer within {LOOK_SECONDS:.0f} s."
        try:
            self._free_there = self._looking.result()
        except OSError as error:
            return f"The folder of STORAGE_URL can't be used: {error.strerror or error}."
        return None

    def _sweep(self, known: frozenset[str]) -> int:
        before, things = time.time() - self._stray_seconds, 0
        for folder in self.folders:
            for path in self.own(folder, known):
                with suppress(FileNotFoundError):  # another server does the same
                    if path.stat().st_mtime <= before:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
                        things += 1
        return things
