"""Files on disk: whole or not there, for the service alone, gone when they should be."""

from __future__ import annotations

import asyncio
import os
import uuid
from pathlib import Path

import pytest

from whisperx_api.storage import local
from whisperx_api.storage.local import LocalStorage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    made = LocalStorage(tmp_path / "tasks", tmp_path / "uploads")
    made.prepare()
    return made


def test_what_is_written_is_read_and_replaced_as_a_whole(storage: LocalStorage) -> None:
    asyncio.run(storage.write("t", "align.1.json", b"first"))
    asyncio.run(storage.write("t", "align.1.json", b"second"))
    assert asyncio.run(storage.read("t", "align.1.json")) == b"second"
    with pytest.raises(FileNotFoundError):
        asyncio.run(storage.read("t", "other"))


def test_write_that_fails_leaves_the_old_file_and_no_part(storage: LocalStorage, tmp_path: Path, monkeypatch) -> None:
    asyncio.run(storage.write("t", "result", b"old"))

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local.os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        asyncio.run(storage.write("t", "result", b"new"))
    assert [path.name for path in (tmp_path / "tasks" / "t").iterdir()] == ["result"]
    assert asyncio.run(storage.read("t", "result")) == b"old"


def test_file_and_folder_are_synced_before_a_write_returns(storage: LocalStorage, tmp_path: Path, monkeypatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(local.os, "fsync", watch)
    asyncio.run(storage.write("t", "result", b"data"))
    incoming = storage.incoming()
    incoming.write_bytes(b"sound")
    asyncio.run(storage.keep_upload(incoming, "t"))
    folder = tmp_path / "tasks" / "t"
    assert synced == [str(folder / "result.part"), str(folder), str(tmp_path / "uploads")]


def test_clear_keeps_only_what_is_named(storage: LocalStorage, tmp_path: Path) -> None:
    for name in ("decode.1.json", "audio.1.f32", "assign.1.json"):
        asyncio.run(storage.write("t", name, b"x"))
    asyncio.run(storage.clear("t", keep=("assign.1.json",)))
    assert [path.name for path in (tmp_path / "tasks" / "t").iterdir()] == ["assign.1.json"]
    (tmp_path / "tasks" / "t" / "edits.json.part").write_bytes(b"on its way")
    asyncio.run(storage.clear("t", keep=("edits.json",)))
    assert [path.name for path in (tmp_path / "tasks" / "t").iterdir()] == ["edits.json.part"]
    asyncio.run(storage.clear("nobody", keep=()))


def test_what_can_not_be_cleared_stays_and_is_logged(storage: LocalStorage, tmp_path: Path, caplog) -> None:
    asyncio.run(storage.write("t", "decode.1.json", b"x"))
    (tmp_path / "tasks" / "t" / "audio.1.f32").mkdir()
    asyncio.run(storage.clear("t", keep=()))
    assert [path.name for path in (tmp_path / "tasks" / "t").iterdir()] == ["audio.1.f32"]
    assert "audio.1.f32 can't be deleted" in caplog.text


def test_delete_takes_recording_and_results(storage: LocalStorage, tmp_path: Path) -> None:
    incoming = storage.incoming()
    incoming.write_bytes(b"sound")
    asyncio.run(storage.keep_upload(incoming, "t"))
    asyncio.run(storage.write("t", "result", b"x"))
    asyncio.run(storage.delete("t"))
    assert not list((tmp_path / "tasks").iterdir()) and not list((tmp_path / "uploads").iterdir())
    asyncio.run(storage.delete("t"))


def test_sweep_takes_what_no_task_owns(storage: LocalStorage, tmp_path: Path) -> None:
    mine, stray = str(uuid.uuid4()), str(uuid.uuid4())
    for task in (mine, stray):
        incoming = storage.incoming()
        incoming.write_bytes(b"sound")
        asyncio.run(storage.keep_upload(incoming, task))
        asyncio.run(storage.write(task, "result", b"x"))
    storage.incoming().write_bytes(b"half")
    assert asyncio.run(storage.sweep({mine})) == 3
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [mine]
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == [mine]


def test_sweep_leaves_other_peoples_files_alone(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "uploads" / "interview.mp3").write_bytes(b"precious")
    (tmp_path / "tasks" / "notes").mkdir()
    assert asyncio.run(storage.sweep(set())) == 0
    assert (tmp_path / "uploads" / "interview.mp3").exists()
    assert (tmp_path / "tasks" / "notes").exists()


def test_files_and_folders_are_for_the_service_alone(storage: LocalStorage, tmp_path: Path) -> None:
    asyncio.run(storage.write("t", "result", b"x"))
    assert (tmp_path / "tasks" / "t" / "result").stat().st_mode & 0o077 == 0
    assert (tmp_path / "tasks" / "t").stat().st_mode & 0o077 == 0
    assert storage.free() > 0
