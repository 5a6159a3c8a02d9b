"""Figures of the benchmarks: measured side by side, kept as JSON, printed as a table.

Every benchmark writes `build/bench/NAME.json`; `bench.report` makes the page and the plot of them.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import torch
from rich.console import Console
from rich.table import Table

FOLDER = Path("build/bench")

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One measurement of this project beside the same of a peer, on the same sound and models in the same run.

    `ours` and `peer` are in `unit`; `reach` says in words what is aimed at; `note` what else was seen.
    """

    what: str
    unit: str
    ours: float
    peer: float | None = None
    against: str = ""
    reach: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the peer's figure is of ours."""
        return self.peer / self.ours if self.peer is not None and self.ours else None


def machine() -> str:
    """Return what this runs on, in words."""
    model = next(
        (line.split(":")[1].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.machine(),
    )
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GB{gpu}"


def timed(run: Callable[[], T], repeat: int = 1) -> tuple[float, T]:
    """Return the shortest time in seconds of `repeat` runs, and what the last one made."""
    best = float("inf")
    while True:
        began = time.perf_counter()
        result = run()
        best, repeat = min(best, time.perf_counter() - began), repeat - 1
        if repeat <= 0:
            return best, result


@dataclass
class Peak:
    """The highest that something was."""

    size: int = 0


@contextmanager
def watched(look: Callable[[], int], pause: float) -> Iterator[Peak]:
    """Look at something for the time of the block, again after so many seconds; give the highest that it was."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while not over.wait(pause):
            peak.size = max(peak.size, look())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Have torch split its sums over so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def publish(name: str, figures: Sequence[Figure], folder: Path = FOLDER) -> None:
    """Print the figures as a table, and keep them."""
    table = Table(title=f"{name} on {machine()}")
    for column in ("what", "ours", "against", "its figure", "ratio", "reach", "note"):
        table.add_column(column, overflow="fold")
    for figure in figures:
        table.add_row(
            figure.what, f"{figure.ours:.4g} {figure.unit}", figure.against,
            "" if figure.peer is None else f"{figure.peer:.4g} {figure.unit}",
            "" if figure.ratio is None else f"{figure.ratio:.2f}", figure.reach, figure.note,
        )  # fmt: skip
    Console().print(table)
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
    (folder / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
