"""A recording on its way to disk: the file it goes to, its name, and what is answered where it can't be taken."""

from __future__ import annotations

import errno
import logging
import os
import unicodedata
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from whisperx_api.api.errors import ApiError, out_of_reach

logger = logging.getLogger(__name__)

STEERING = ("Cc", "Zl", "Zp")
"""Unicode's categories of control characters and of ends of lines and paragraphs."""


def create(target: Path) -> BinaryIO:
    """Open a new file for a recording, for the service's user alone."""
    return open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def not_written(error: OSError, target: Path) -> ApiError:
    """Return what is answered where the disk does not take a recording: 507 when it is full, else 503."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ApiError(HTTPStatus.INSUFFICIENT_STORAGE, "The server's disk is full: try again later.")
    logger.error("an upload could not be written to %s", target.parent, exc_info=error)
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "The server's disk does not take the recording: its log says why.")


def not_kept(error: OSError) -> ApiError:
    """Return what is answered where the storage does not take a recording that has arrived: 507 or 503 as above."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ApiError(HTTPStatus.INSUFFICIENT_STORAGE, "The server's storage is full: try again later.")
    logger.error("an upload could not be put into the storage: %s", error)
    return out_of_reach()


def shown_name(path: str) -> str:
    """Return a recording's name. It is only shown to people, and never that of a file here.

    What stands before a separator is somebody's folder; characters that steer a terminal or end a line are left out.
    """
    name = path.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in name if unicodedata.category(char) not in STEERING)[:255] or "recording"


def too_large(limit: int, param: str = "file") -> ApiError:
    """A 413 that says what the limit is."""
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The recording is larger than {readable(limit)}, the most this server takes (MAX_FILE_SIZE).",
        param=param,
    )


def readable(size: int) -> str:
    """Return a number of bytes for people: 500 bytes, 1.5 MiB."""
    amount, unit = float(size), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.3g} {unit}" if amount < 1000 else f"{amount:.0f} {unit}"
