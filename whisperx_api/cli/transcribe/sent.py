"""Which task a recording was sent for, remembered on this machine for a day, so that its bytes are not sent again.

Losing this costs an upload, no more: the server knows the idempotency key too. It holds hashes and tasks' ids alone.
"""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path

DAY = 24 * 3600.0
"""Seconds for which the server takes an idempotency key for the same request."""
TASK_ID = re.compile(r"[\w-]{1,64}")


class SentTasks:
    """A folder with a file for each request: its name is a hash of server and key, its content the task's id."""

    def __init__(self, folder: Path | None, server: str) -> None:
        """`folder` is the one for what can be made again; ~/.cache if it is None."""
        self._folder = (folder or Path("~/.cache").expanduser()) / "whisperx-api" / "sent"
        self._server = server

    def task(self, key: str) -> str | None:
        """Return the task that was sent under `key` within a day; None if there is none, or it can't be read."""
        try:
            file = self._file(key)
            found = file.read_text().strip() if time.time() - file.stat().st_mtime < DAY else ""
        except (OSError, UnicodeDecodeError):
            return None
        return found if TASK_ID.fullmatch(found) else None

    def remember(self, key: str, task_id: str) -> None:
        """Note what was sent, and forget what is older than a day."""
        with suppress(OSError):  # where nothing can be kept, the server is asked
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = self._file(key).with_suffix(".part")
            part.write_text(task_id)
            part.replace(self._file(key))
            for file in self._folder.iterdir():
                if time.time() - file.stat().st_mtime > DAY:
                    file.unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        """Forget what is not on the server any more."""
        with suppress(OSError):
            self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._folder / hashlib.sha256(f"{self._server}\n{key}".encode()).hexdigest()
