"""Databases as earlier versions left them: made by Alembic, and filled from the file of their migration.

A migration comes with `NUMBER.sql` here: what a service at it may hold.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine

from whisperx_api.jobs import migrate

FOLDER = Path(__file__).parent
PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED = (f"00000000-0000-4000-8000-{n:012d}" for n in range(1, 6))
"""The tasks in every file."""

TRANSCRIPT = {
    "language": "en", "duration": 1.0, "models": {"transcribe": "large-v2", "align": None, "diarize": None},
    "warnings": [], "speakers": [{"id": "SPEAKER_00", "duration": 1.0, "name": None, "embedding": None}],
    "segments": [{
        "start": 0.0, "end": 1.0, "text": "It was kept.", "speaker": "SPEAKER_00", "avg_logprob": -0.2,
        "words": [{"word": "It", "start": 0.0, "end": 0.2, "score": 0.9, "speaker": "SPEAKER_00"}],
    }],
}  # fmt: skip
"""As the first version wrote it."""
TRANSCRIPTION = {
    "language": "en", "model": "large-v2", "align_model": None, "warnings": [],
    "segments": [
        {"start": 0.0, "end": 1.0, "text": "It goes on.", "words": [], "speaker": None, "avg_logprob": -0.2}
    ],
}  # fmt: skip


def empty_at(revision: str, database: Path) -> None:
    """Make a database at a migration."""
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        command.upgrade(migrate.configuration(connection), revision)
    engine.dispose()


def filled_at(revision: str, database: Path, recording: bytes = b"", port: int = 9) -> None:
    """Make a database at a migration that holds what one did; `port` is that of a webhook's receiver."""
    if not (rows := FOLDER / f"{revision}.sql").is_file():
        pytest.fail(f"Migration {revision} has no {rows.name} in tests/databases: write what a database at it holds.")
    empty_at(revision, database)
    script = rows.read_text().replace("@SHA256@", hashlib.sha256(recording).hexdigest()).replace("@PORT@", str(port))
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(script)
        connection.commit()


def write_files(data_dir: Path, recording: bytes) -> None:
    """Write the files of the tasks: recordings, checkpoints, a transcript."""
    (data_dir / "uploads").mkdir(parents=True)
    for task_id in (PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED):
        (data_dir / "uploads" / task_id).write_bytes(recording)
    gone = {"path": str(data_dir / "gone.f32"), "samples": 16000, "warnings": []}
    made = {
        (PROCESSING, "decode.1.json"): gone, (PROCESSING, "transcribe.1.json"): TRANSCRIPTION,
        (FAILED, "decode.1.json"): gone, (COMPLETED, "assign.1.json"): TRANSCRIPT,
    }  # fmt: skip
    for (task_id, name), content in made.items():
        path = data_dir / "tasks" / task_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def rows_of(database: Path) -> dict[str, list[dict[str, object]]]:
    """Return all rows of all tables, in the order in which they were added."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        names = [row["name"] for row in tables.fetchall()]
        return {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY rowid")] for name in names
        }


def dump(database: Path) -> str:
    """Return all of a database as SQL: tables, indexes and rows."""
    with closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump())
