"""Imported by a server that finds it on its path: kills it at the write that `DIE_AT` counts to, as a power cut would.

A write is a file that is opened to be written, made, renamed or deleted, and a transaction that is committed; each
counts before it is done, and a commit also after. `DIE_AT` and `STEPS`, the file that gets a byte for each, are taken
out of the environment, so that the server's children live. 0 kills never.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
from typing import Any

CHANGING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")

last = int(os.environ.pop("DIE_AT", "0"))
steps = os.environ.pop("STEPS", "")
one_at_a_time = threading.Lock()
count = 0


def step() -> None:
    """Count a write; the last one is never made."""
    global count
    with one_at_a_time:
        count += 1
        os.write(record, b".")
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in CHANGING or (event == "open" and is_to_be_written(*arguments)):
        step()


def is_to_be_written(path: object, mode: object, flags: object) -> bool:
    """Tell whether a file that is opened so is one that stays."""
    writing = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
    return writing and not str(path).startswith(("/dev/", "/proc/"))


class Connection(sqlite3.Connection):
    def commit(self) -> None:
        changing = self.in_transaction
        if changing:
            step()
        super().commit()
        if changing:
            step()


def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
    return really_connect(*arguments, **{"factory": Connection} | options)


if steps:
    record = os.open(steps, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    really_connect = sqlite3.connect
    sqlite3.connect = connect  # the server has nobody else's
    sys.addaudithook(watch)
