"""How much memory this machine, or this container, has, and has left."""

from __future__ import annotations

from pathlib import Path


def memory_free(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that are free: the machine's, or the container's where it may use less.

    What a container holds of files that are not in use is free too (cgroup v2). None where it can't be told.
    """
    try:
        free = _field(root / "proc/meminfo", "MemAvailable:") * 1024
    except (OSError, StopIteration):
        return None
    group = root / "sys/fs/cgroup"
    try:
        limit, used = (group / "memory.max").read_text().strip(), int((group / "memory.current").read_text())
        cached = _field(group / "memory.stat", "inactive_file")
    except (OSError, ValueError, StopIteration):
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - used + cached))


def memory_total(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that there are: the machine's, or what the container may use. None as above."""
    try:
        total = _field(root / "proc/meminfo", "MemTotal:") * 1024
    except (OSError, StopIteration):
        return None
    try:
        limit = (root / "sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return total if limit == "max" else min(total, int(limit))


def _field(file: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.split()[0] == name)
