"""Puts a backup in the place of the database, and of the tasks' files where it has them.

All of it is written beside its place and looked at before anything is touched; what was there is kept.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter

from whisperx_api.jobs.backup import CLOSING, MEMBER, BackupError, Contents, fault, revision, task_ids
from whisperx_api.jobs.database import SQLITE_FILES
from whisperx_api.jobs.migrate import check_known
from whisperx_api.storage.archive import Arrivals, NoSuchMember, set_aside
from whisperx_api.storage.local import LocalStorage, sync_folder

SQLITE_BEGINS = b"SQLite format 3\0"


def restore(source: Path, database: Path, storage: LocalStorage, mark: str) -> Contents:
    """Put the backup `source` in place; `mark` names what was there: `DATABASE.mark`, and folders beside the files.

    Of a backup of the database alone, files of tasks that it does not know are moved there too: the next start would
    delete them. Nobody else may work with the database meanwhile. Raises `BackupError`, and `StartError` for a database
    of a newer version: then nothing was touched; and `OSError`.
    """
    arrived = database.with_name(f"{database.name}.{mark}.arriving")
    files = Arrivals(storage, mark)
    try:
        stated = _take(source, arrived, files)
        _check(source, arrived)
        ids = task_ids(arrived)
        found = Contents(len(ids), files.files)
        if stated not in (None, found):
            raise BackupError(f"{source} is not all of a backup: files of tasks are missing.")
        for added in SQLITE_FILES:
            with suppress(FileNotFoundError):
                Path(f"{database}{added}").rename(f"{database}.{mark}{added}")
        set_aside(storage, mark, keep=ids if stated is None else ())
        files.settle()
        arrived.rename(database)
        sync_folder(database.parent)
        return found
    finally:
        files.leave()
        arrived.unlink(missing_ok=True)


def _take(source: Path, arrived: Path, files: Arrivals) -> Contents | None:
    """Write down what a backup holds, and return what it says that this is; None for a database alone."""
    with source.open("rb") as stream:
        begins = stream.read(len(SQLITE_BEGINS))
        stream.seek(0)
        if begins == SQLITE_BEGINS:
            _write(arrived, stream)
            return None
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                return _take_all(tar, arrived, files)
        except NoSuchMember as error:
            raise BackupError(f"{source} is no backup: it holds {error}.") from error
        except (tarfile.TarError, ValueError) as error:
            raise BackupError(f"{source} is no backup, or not all of one: {error}.") from error


def _take_all(tar: tarfile.TarFile, arrived: Path, files: Arrivals) -> Contents:
    closing_words = b""
    for member in tar:
        content = tar.extractfile(member)
        if content is None:
            raise NoSuchMember(member.name)
        if member.name == MEMBER and not arrived.exists():
            _write(arrived, content)
        elif member.name == CLOSING:
            closing_words = content.read(10_000)
        else:
            files.take(member, content)
    if not arrived.exists() or not closing_words:
        raise tarfile.TarError("its end is missing")
    return TypeAdapter(Contents).validate_json(closing_words)


def _check(source: Path, arrived: Path) -> None:
    """Raise `BackupError` or `StartError` for what is no sound database that this version can work with."""
    if what := fault(arrived):
        raise BackupError(f"{source} is damaged: {what}.")
    if (at := revision(arrived)) is None:
        raise BackupError(f"{source} is no backup: it is a database of something else.")
    check_known(at)


def _write(path: Path, content: IO[bytes]) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        shutil.copyfileobj(content, file)
        file.flush()
        os.fsync(file.fileno())
