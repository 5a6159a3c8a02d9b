"""Where transcripts are written: a file a format, named for its recording."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from whisperx_api.cli.console import USAGE, end
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


def format_of(name: str) -> Format | None:
    """Return the format that a file's name asks for by its ending, the longest there is; None for none."""
    ends = {SUFFIXES.get(one, one.suffix): one for one in Format}
    return next((ends[end] for end in sorted(ends, key=len, reverse=True) if name.lower().endswith(end)), None)


def names(base: str, formats: Iterable[Format]) -> frozenset[str]:
    """Return what a recording's files are called, as a file system sees it that takes A for a."""
    return frozenset(output.path.name.casefold() for output in outputs(base, formats, Path()))


def bases(recordings: Iterable[Path], formats: Collection[Format], taken: Iterable[str] = ()) -> dict[Path, str]:
    """Return what the names of each recording's files begin with: its stem.

    Of several with one stem the first has it, if it is not `taken`. The others keep their whole name, a.mp3 beside
    a.wav, and a number where that too is taken, so that none writes over another's files. Nor does a.verbose.wav over
    the a.verbose.json of a.wav.
    """
    given: dict[Path, str] = {}
    others = {name for base in taken for name in names(base, formats)}
    for recording in recordings:
        base, number = recording.stem, 1
        while not others.isdisjoint(names(base, formats)):
            base, number = recording.name if number == 1 else f"{recording.name}.{number}", number + 1
        others |= names(base, formats)
        given[recording] = base
    return given


def made(wanted: Sequence[Output], since: float = 0) -> bool:
    """Whether all files are there that are wanted, and none is older than `since`, in seconds since 1970."""
    try:
        return all(output.path.stat().st_mtime >= since for output in wanted)
    except OSError:
        return False


def fault(path: Path, named: bool = False) -> str | None:
    """Say why a file can't be written, as far as that can be told before; `named` is one for `put_named`."""
    path, written_to = _meant(path) if named else (path, False)
    try:
        there = path.exists()
        path.lstat()  # which a name that is too long has no place for
    except FileNotFoundError:
        there = False
    except OSError as error:
        return f"{path} can't be written: {error.strerror}."
    if not path.parent.is_dir():
        return f"{path} can't be written: there is no folder {path.parent}."
    if path.is_dir():
        return f"{path} can't be written: it is a folder."
    return None if os.access(path if written_to and there else path.parent, os.W_OK) else unwritable(path)


def refuse_recordings(paths: Iterable[Path], recordings: Collection[Path]) -> None:
    """End where a transcript would take the place of a recording."""
    for path in paths:
        if any(_is_same(path, recording) for recording in recordings):
            end(f"{path} is a recording, which its transcript would take the place of: name another file.", USAGE)


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False  # one of them is not there


def unwritable(path: Path) -> str:
    """Say that this user may not write somewhere."""
    return f"{path} can't be written: this user has no right to."


def put(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there. Raises `OSError`."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")  # however long the name is
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def put_named(path: Path, data: bytes) -> None:
    """Do the same where somebody has named it: a link leads to the file, and a pipe or a device is written to."""
    path, written_to = _meant(path)
    if written_to:
        path.write_bytes(data)
    else:
        put(path, data)


def _meant(path: Path) -> tuple[Path, bool]:
    """Return what somebody means who has named a path, and whether nothing can be put in its place."""
    if os.path.exists(path) and not os.path.isfile(path):
        return path, True
    return (Path(os.path.realpath(path)) if os.path.islink(path) else path), False
