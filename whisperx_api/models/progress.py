"""How far a download is: what is reported, and to whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Progress:
    """`done` of `total` bytes of the file `name` are here."""

    name: str
    done: int
    total: int


Report = Callable[[Progress], None]
"""Called as bytes arrive, from any thread."""


def silent(progress: Progress) -> None:
    """Report to nobody."""


@contextmanager
def watch_folder(folder: Path, name: str, total: int, report: Report) -> Iterator[None]:
    """Report the growth of `folder` as the progress of `name`, for downloaders that say nothing themselves.

    The last report is of the whole; it is left out when the body raises.
    """
    start, stop = _bytes(folder), threading.Event()

    def look() -> None:
        while not stop.wait(POLL_SECONDS):
            report(Progress(name, max(0, min(_bytes(folder) - start, total)), total))

    watcher = threading.Thread(target=look, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
    report(Progress(name, total, total))


def _bytes(folder: Path) -> int:
    """Bytes of the files under `folder`, those that vanish meanwhile left out."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
        except OSError:  # renamed or removed by the downloader between the two looks
            continue
    return size
