"""What the service asks of a storage: recordings, and what is made of them, whether on this disk or elsewhere."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class StorageUnavailable(OSError):
    """A storage on other machines does not answer as it should. `strerror` says what it was; a later try may help."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EIO, reason)


@dataclass(frozen=True)
class StoredObject:
    """A recording that is no file here: its size in bytes, when it came (seconds since 1970), and its entity tag."""

    size: int
    modified: float
    etag: str | None
    read: Callable[[int, int], Awaitable[bytes]]
    """Gives the bytes from one place up to another, which is not over the end. Raises `OSError`."""


class Storage(Protocol):
    """Keeps bytes under a task's id. What is written is complete and durable or not there.

    Whatever can't be done raises `OSError`: `FileNotFoundError` for what is not there, and `StorageUnavailable` where
    machines elsewhere are at fault.
    """

    def prepare(self) -> None:
        """Make the folders on this machine."""
        ...

    async def clean_up(self) -> int:
        """Delete what an earlier process has left on this machine that can be made again; return how many things.

        To be called before uploads are received here, and by one process at a time for each DATA_DIR.
        """
        ...

    # --- uploads ---

    def incoming(self) -> Path:
        """Return a new place on this machine for an upload that is being received."""
        ...

    async def keep_upload(self, incoming: Path, task_id: str) -> None:
        """Make a received file the task's recording, durably. `incoming` may be there still."""
        ...

    def recording(self, task_id: str) -> AbstractAsyncContextManager[Path]:
        """Have the recording of a task as a file on this machine, to be read only."""
        ...

    async def stored(self, task_id: str) -> Path | StoredObject:
        """Return where the recording of a task can be read from as it is asked for."""
        ...

    # --- what is made of them ---

    def audio(self, task_id: str, epoch: int) -> Path:
        """Where an attempt's decoded audio goes, on this machine."""
        ...

    def local(self, task_id: str, name: str) -> AbstractAsyncContextManager[Path]:
        """Have the file `name` of a task as one on this machine, to be read only."""
        ...

    async def write(self, task_id: str, name: str, data: bytes) -> None:
        """Write the file `name` of a task, durably, replacing it as a whole."""
        ...

    async def read(self, task_id: str, name: str) -> bytes:
        """Return the file `name` of a task."""
        ...

    # --- the end ---

    async def clear(self, task_id: str, keep: Collection[str], epoch: int | None = None) -> None:
        """Delete what was made for a task except the files named in `keep`, and those of later attempts than `epoch`.

        What can't be deleted stays until the task is, which is logged: it raises nothing.
        """
        ...

    async def delete(self, task_id: str) -> None:
        """Delete the recording and all that was made of it."""
        ...

    async def sweep(self, known: Collection[str]) -> int:
        """Delete what belongs to no task in `known`, unfinished uploads included; return how many things that were.

        Where no other machine has it, to be called before uploads are received; else what is new is left alone.
        """
        ...

    # --- how it is ---

    def free(self) -> int:
        """Bytes free on the fullest of the disks of this machine that are used."""
        ...

    async def fault(self) -> str | None:
        """Return why what is on other machines can't be reached, a sentence; None where it can be, or none is used."""
        ...
