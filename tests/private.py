"""What lies in a data folder, whose it is, and what can be read there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def check_private(folder: Path) -> set[str]:
    """Check that a folder and all in it is for its owner alone; return the names of the files."""
    names: set[str] = set()
    for path in (folder, *folder.rglob("*")):
        try:
            mode = path.lstat().st_mode & 0o777
        except FileNotFoundError:  # it has just been put in its place, or deleted
            continue
        wanted = 0o700 if path.is_dir() else 0o600
        assert mode == wanted, f"{path.relative_to(folder)} has the mode {mode:o}"
        if path.is_file():
            names.add(path.name)
    return names


def readable(folder: Path, marks: Iterable[str]) -> dict[str, list[str]]:
    """Return which of `marks` can be read in the bytes of the files under a folder, with the names of these files."""
    found: dict[str, list[str]] = {}
    contents = {}
    for path in folder.rglob("*"):
        try:
            contents[str(path.relative_to(folder))] = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
    for mark in marks:
        files = [name for name, content in contents.items() if mark.encode() in content or mark in name]
        if files:
            found[mark] = files
    return found
