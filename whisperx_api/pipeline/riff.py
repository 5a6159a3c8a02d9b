"""What the header of a RIFF WAVE file says of its length."""

from __future__ import annotations

import os
import struct
from pathlib import Path


def stated_by_wav(path: Path) -> float | None:
    """Return the length in seconds that a RIFF WAVE header states; None for any other file.

    FFmpeg takes a WAV file to be as long as its bytes, so this alone tells that one was cut off.
    """
    with path.open("rb") as file:
        riff, _, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if riff != b"RIFF" or form != b"WAVE":
            return None
        bytes_a_second = 0
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"fmt " and size >= 16:
                chunk = file.read(size)
                bytes_a_second = struct.unpack_from("<I", chunk.ljust(16, b"\0"), 8)[0]
                file.seek(size % 2, os.SEEK_CUR)
            elif name == b"data":
                # A program that writes to a pipe can't know the size and states the largest, or none.
                return size / bytes_a_second if bytes_a_second and 0 < size < 0x7FFFFFFF else None
            else:
                file.seek(size + size % 2, os.SEEK_CUR)
    return None
