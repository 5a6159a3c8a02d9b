"""Where transcripts are written: a file a format, named for its recording."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from whisperx_api.formats.writing import Format

SUFFIXES: Mapping[Format, str] = {Format.VERBOSE_JSON: ".verbose.json", Format.DIARIZED_JSON: ".diarized.json"}
"""How names end where those of formats are alike; else they end as the format does."""


@dataclass(frozen=True)
class Output:
    """A file that a transcript is written to."""

    format: Format
    path: Path


def outputs(base: str, formats: Iterable[Format], folder: Path) -> tuple[Output, ...]:
    """Return the files of a recording whose names begin with `base`."""
    return tuple(Output(one, folder / f"{base}{SUFFIXES.get(one, one.suffix)}") for one in formats)


def bases(recordings: Iterable[Path]) -> dict[Path, str]:
    """Return what the names of each recording's files begin with: its stem.

    Of several with one stem the first has it. The others keep their whole name, a.mp3 beside a.wav, and a number where
    that too is taken, so that none writes over another's files.
    """
    given: dict[Path, str] = {}
    taken: set[str] = set()
    for recording in recordings:
        base, number = recording.stem, 1
        while base.casefold() in taken:
            base, number = recording.name if number == 1 else f"{recording.name}.{number}", number + 1
        taken.add(base.casefold())
        given[recording] = base
    return given


def made(wanted: Sequence[Output], since: float) -> bool:
    """Whether all files are there that are wanted, and none is older than `since`, in seconds since 1970."""
    try:
        return all(output.path.stat().st_mtime >= since for output in wanted)
    except OSError:
        return False


def put(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there. Raises `OSError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
