"""From which state of a recording its transcript was made, and what its files are called, remembered on this machine.

A watch that begins anew knows by this what is done, and whose a transcript is. Losing it costs little: then names and
times of files tell, as far as they can.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

COARSE_NANOSECONDS = 2 * 10**9
"""How far two readings of one time may lie apart: a file system that is mounted anew may give it less finely."""


@dataclass(frozen=True)
class State:
    """A file as it was seen: size in bytes, and when it changed last, in nanoseconds since 1970."""

    size: int
    changed: int

    def like(self, other: State) -> bool:
        """Whether both may be readings of the same."""
        return self.size == other.size and abs(self.changed - other.changed) <= COARSE_NANOSECONDS


@dataclass(frozen=True)
class Note:
    """What the names of a transcript's files begin with, and the state of the recording that it was made from."""

    base: str
    state: State


class Notes:
    """A file for a folder that is watched and the one that its transcripts go to: a line of JSON a recording."""

    def __init__(self, cache: Path | None, folder: Path, target: Path) -> None:
        """`cache` is the folder for what can be made again; ~/.cache if it is None."""
        name = hashlib.sha256(f"{folder.resolve()}\n{target.resolve()}".encode(errors="surrogateescape")).hexdigest()
        self._file = (cache or Path("~/.cache").expanduser()) / "whisperx-api" / "watched" / name

    def read(self) -> dict[str, Note]:
        """Return the notes by the recordings' names."""
        try:
            lines = self._file.read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            return {}
        notes: dict[str, Note] = {}
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # such as the last of a disk that was full
                told = json.loads(line)
                notes[str(told["name"])] = Note(str(told["base"]), State(int(told["size"]), int(told["changed"])))
        return notes

    def add(self, notes: Mapping[str, Note]) -> None:
        """Note what is new."""
        with suppress(OSError):  # where nothing can be kept, this run alone knows
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._file.open("a") as file:
                file.write("".join(map(_line, notes, notes.values())))

    def write(self, notes: Mapping[str, Note]) -> None:
        """Note this in place of all that was noted."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        if notes:
            self.add(notes)


def _line(name: str, note: Note) -> str:
    told = {"name": name, "base": note.base, "size": note.state.size, "changed": note.state.changed}
    return json.dumps(told) + "\n"
