"""Copies of a SQLite database, made while a server works with it, alone or with the files of its tasks."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from whisperx_api.storage.archive import add, add_tasks
from whisperx_api.storage.local import LocalStorage, sync_folder

MEMBER, CLOSING = "whisperx-api.db", "backup.json"
"""The first member of an archive, the database, and the last one, which says that nothing is missing between."""
WAIT_SECONDS = 30.0
"""How long to wait for a lock on the database."""


class BackupError(Exception):
    """A backup can't be made, or is none. The message is a sentence."""


@dataclass(frozen=True)
class Contents:
    """What a backup holds; `files` is 0 for a database alone."""

    tasks: int
    files: int = 0


def back_up(database: Path, target: Path) -> Contents:
    """Write a copy of `database` to `target`, a SQLite file of one piece. Raises `BackupError`, `OSError`."""
    with _draft(target) as draft:
        _copy(database, draft)
        return Contents(len(task_ids(draft)))


def back_up_with_files(database: Path, storage: LocalStorage, target: Path) -> Contents:
    """Write a tar of `database` and the recordings and files of its tasks to `target`. Raises `BackupError`, `OSError`.

    The database is copied first: a task that is deleted meanwhile has no files in the tar, and one that comes is not in
    it at all.
    """
    with _draft(target) as draft, _draft(target.with_name(f"{target.name}.db")) as copy:
        _copy(database, copy)
        ids = task_ids(copy)
        with draft.open("wb") as stream, tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            add(tar, copy, MEMBER)
            contents = Contents(len(ids), add_tasks(tar, storage, ids))
            closing_words = json.dumps(asdict(contents)).encode()
            member = tarfile.TarInfo(CLOSING)
            member.size, member.mode = len(closing_words), 0o600
            tar.addfile(member, io.BytesIO(closing_words))
        copy.unlink()
        return contents


def task_ids(database: Path) -> set[str]:
    """Return the ids of the tasks in a database that nobody writes to."""
    with closing(connect(database)) as connection:
        return {task_id for (task_id,) in connection.execute("SELECT id FROM jobs")}


def connect(database: Path) -> sqlite3.Connection:
    """Open a SQLite database that is there. Raises `sqlite3.Error`."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=WAIT_SECONDS)


def fault(database: Path) -> str | None:
    """Return what SQLite finds wrong with a database; None if it is whole."""
    try:
        with closing(connect(database)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
            if found != ["ok"]:
                return "; ".join(found)
            if (row := connection.execute("PRAGMA foreign_key_check").fetchone()) is not None:
                return f"a row of {row[0]} refers to one of {row[2]} that is not there"
    except sqlite3.Error as error:
        return str(error)
    return None


def revision(database: Path) -> str | None:
    """Return the migration that a database is at; None for one that is not this service's. Raises `sqlite3.Error`."""
    with closing(connect(database)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return row[0] if row else None


def _copy(database: Path, target: Path) -> None:
    """Copy a database in one step, which is as it was at one moment, whatever is written meanwhile."""
    try:
        with closing(connect(database)) as source, closing(connect(target)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # so that it is one file, also once it is opened
    except sqlite3.Error as error:
        raise BackupError(f"{database} can't be copied: {error}.") from error
    if what := fault(target):
        raise BackupError(f"{database} is damaged, and no backup was made ({what}): `whisperx-api db check` says more.")
    if revision(target) is None:
        raise BackupError(f"{database} is no database of this service.")


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Give an empty file beside `target`, for its owner alone, that takes its name when all has gone well.

    One that is gone by then is not missed. Raises `BackupError` where `target` is there.
    """
    if target.exists():
        raise BackupError(f"{target} is there already: name another file, or move that one away.")
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield draft
        if draft.exists():
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.rename(target)
            sync_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)
