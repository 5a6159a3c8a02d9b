"""Files of decoded sound: silence takes no room on the disk, and the last of that is left to others."""

from __future__ import annotations

import errno
import os
from typing import BinaryIO

SPARE = 256 * 1024**2
"""Bytes of the disk that decoding leaves free: for uploads, results and the database."""
LOOK_EVERY = 16 * 1024**2
"""Bytes written to a file between two looks at how many are free."""


class SparseFile:
    """Appends to `sink`, with a hole in place of what is all zeros.

    Recordings of silence are small and may be days long, so what they unpack to has to be.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._end = self._written = sink.seek(0, os.SEEK_END)
        self._unlooked = 0

    def write(self, data: bytes) -> None:
        """Append `data`. Raises `OSError` when the disk is full, or as good as that."""
        if not data.lstrip(b"\0"):  # where there is sound that is told by the first byte
            self.skip(len(data))
            return
        self._unlooked += len(data)
        if self._unlooked >= LOOK_EVERY:
            self._unlooked = 0
            self._look()
        self._sink.write(data)
        self._end += len(data)
        self._written = self._end

    def skip(self, size: int) -> None:
        """Append so many zeros."""
        self._sink.seek(size, os.SEEK_CUR)
        self._end += size

    def finish(self) -> None:
        """Have the file be as long as it is to be, with what is at its end."""
        if self._end > self._written:
            self._sink.truncate(self._end)
        self._sink.flush()

    def _look(self) -> None:
        disk = os.fstatvfs(self._sink.fileno())
        if disk.f_bavail * disk.f_frsize < SPARE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
