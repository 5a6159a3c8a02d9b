"""Looks whether a database is whole, and whether it and the files of its tasks belong together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from whisperx_api.engine.protocol import Stage
from whisperx_api.errors import StartError
from whisperx_api.jobs import backup
from whisperx_api.jobs.job import JobStatus
from whisperx_api.jobs.migrate import check_known
from whisperx_api.storage.local import LocalStorage

Row = tuple[str, str, str]
"""A task's id, its status and its checkpoints as JSON."""


def faults(database: Path, storage: LocalStorage) -> Iterator[str]:
    """Yield what is wrong, a sentence each; nothing where all is well. A server may be at work meanwhile."""
    if what := backup.fault(database):
        yield f"{database} is damaged ({what}): restore a backup."
        return
    if (at := backup.revision(database)) is None:
        yield f"{database} is no database of this service."
        return
    try:
        check_known(at)
    except StartError as error:
        yield str(error)
        return
    owned = [path for folder in storage.folders for path in storage.own(folder, ())]
    rows = _rows(database)
    known = {row[0] for row in rows}
    strays = [path for path in owned if path.name not in known and not path.name.endswith(".part")]
    suspects = {row[0] for row in rows if any(_missing(row, storage))}
    again = {row[0]: row for row in _rows(database)} if strays or suspects else {}  # for what has changed meanwhile
    for path in strays:
        if path.name not in again and path.exists():
            yield f"{path} belongs to no task: the next start deletes it."
    for task_id in sorted(suspects & again.keys()):
        for name in _missing(again[task_id], storage):
            yield f"Task {task_id} is {again[task_id][1]}, and its {name} is not there."


def _rows(database: Path) -> list[Row]:
    with closing(backup.connect(database)) as connection:
        return connection.execute("SELECT id, status, checkpoints FROM jobs ORDER BY seq").fetchall()


def _missing(row: Row, storage: LocalStorage) -> Iterator[str]:
    """Yield what a task should have and has not."""
    task_id, status, checkpoints = row
    if not storage.upload(task_id).is_file():
        yield "recording"
    if status == JobStatus.COMPLETED.value:
        name = json.loads(checkpoints).get(Stage.ASSIGN.value, "")
        if not name or not storage.path(task_id, name).is_file():
            yield "transcript"
