"""Backups made while a server works, put back, and what is no backup left alone."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import tarfile
import threading
import wave
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from tests.backend import Folder
from tests.conftest import KEY
from tests.databases import dump, rows_of
from tests.receiver import eventually
from tests.server import Server
from tests.waiting import transcript_of
from whisperx_api.cli import app
from whisperx_api.jobs.backup import fault

API = "/api/v1/transcribe"
SOMEBODY = "00000000-0000-4000-8000-0000000000ff"

Start = Callable[..., Server]
Tone = Callable[..., Path]


def db(*arguments: str | Path, folder: Path | str = "data") -> Result:
    """Run `whisperx-api db` in the test's folder."""
    return CliRunner().invoke(app, ["db", *map(str, arguments), "--data-dir", str(folder)])


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder, by name; of the lock only that it is there."""
    return {
        str(path.relative_to(folder)): b"" if path.name == "lock" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def left(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, starter_server: Callable[..., Server]
) -> tuple[Path, str]:
    """What a server has left that was stopped: its folder, and its one task, which is completed."""
    folder = tmp_path_factory.mktemp("left")
    server = starter_server(folder, model_dir, fake=True)
    server.start()
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(32000))
    task = server.upload(folder / "a.wav")
    assert server.wait(task)["status"] == "completed"
    server.client.patch(f"{API}/result/{task}", json={"speakers": {"SPEAKER_00": "Katie"}})
    server.terminate()
    return folder / "data", task


@pytest.fixture
def task(left: tuple[Path, str], tmp_path: Path) -> str:
    """The task that was left; the test has all of it in its folder `data`."""
    shutil.copytree(left[0], tmp_path / "data")
    return left[1]


# --- back up ---


def test_backup_of_a_server_at_work_is_of_one_moment(start_server: Start, tone: Tone, tmp_path: Path) -> None:
    server = start_server(fake=True, result_cache=True)
    recording = tone(0.2)
    server.wait(server.upload(recording))  # what comes after it is done at once
    sent: list[str] = []
    stop = threading.Event()

    def keep_sending() -> None:
        with httpx.Client(base_url=str(server.client.base_url), headers={"X-API-Key": KEY}, timeout=30) as client:
            while not stop.is_set():
                files = {"file": ("a.wav", recording.read_bytes())}
                sent.append(client.post(f"{API}/upload", files=files).json()["task_id"])

    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        for number in range(2):
            enough = len(sent) + 4
            eventually(lambda: len(sent) >= enough)  # noqa: B023  # it is called at once
            known = list(sent)
            made = db("backup", f"copy-{number}.db", *(["--with-files"] if number % 2 else []))
            assert made.exit_code == 0, made.output
            copy = tmp_path / f"copy-{number}.db"
            if number % 2:
                with tarfile.open(copy) as tar:
                    tar.extract("whisperx-api.db", tmp_path / "out", filter="data")
                copy = tmp_path / "out" / "whisperx-api.db"
            assert fault(copy) is None
            assert {row["id"] for row in rows_of(copy)["jobs"]} >= set(known)
    finally:
        stop.set()
        sender.join()
    assert [server.wait(task)["status"] for task in sent] == ["completed"] * len(sent)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "copy"))) == [
        f"copy-{number}.db" for number in range(2)
    ]


def test_backup_with_files_holds_what_a_task_needs_and_no_more(start_server: Start, tone: Tone, tmp_path: Path) -> None:
    server = start_server(fake=True)
    script = json.dumps({"stage": "transcribe", "what": "hang"})
    done = server.upload(tone())
    assert server.wait(done)["status"] == "completed"
    transcript_of(Folder(tmp_path / "data"), done)
    at_work = server.upload(tone(), prompt=script, enable_diarization="false")
    server.client.patch(f"{API}/result/{done}", json={"speakers": {"SPEAKER_00": "Katie"}})
    server.wait(at_work, until="transcribe")
    assert db("backup", "all.tar", "--with-files").exit_code == 0
    with tarfile.open("all.tar") as tar:
        names = tar.getnames()
        assert all(member.isreg() and member.mode == 0o600 for member in tar)
    assert names[0] == "whisperx-api.db" and names[-1] == "backup.json"
    assert set(names[1:-1]) == {
        f"uploads/{done}", f"tasks/{done}/assign.1.json", f"tasks/{done}/edits.json",
        f"uploads/{at_work}", f"tasks/{at_work}/decode.1.json",
    }  # fmt: skip
    assert Path("all.tar").stat().st_mode & 0o777 == 0o600
    assert db("check").exit_code == 0, "a server at work is taken for one that lacks files"


@pytest.mark.usefixtures("task")
def test_backup_is_for_its_owner_and_takes_no_file_s_place(tmp_path: Path) -> None:
    said = db("backup", "copy.db")
    assert (said.exit_code, said.stdout) == (0, "copy.db holds 1 tasks, without their files.\n")
    assert Path("copy.db").stat().st_mode & 0o777 == 0o600
    before = Path("copy.db").read_bytes()
    for flags in ([], ["--with-files"]):
        again = db("backup", "copy.db", *flags)
        assert again.exit_code == 1 and "is there already" in again.stderr
    assert Path("copy.db").read_bytes() == before
    assert dump(Path("copy.db")) == dump(tmp_path / "data" / "whisperx-api.db")
    assert db("backup", "no/such/folder.db").exit_code == 1
    nothing = db("backup", "other.db", folder="elsewhere")
    assert nothing.exit_code == 1 and "nothing to back up" in nothing.stderr


# --- restore ---


def test_what_is_restored_elsewhere_is_served_there(task: str, start_server: Start, tmp_path: Path) -> None:
    recording = (tmp_path / "data" / "uploads" / task).read_bytes()
    assert db("backup", "all.tar", "--with-files").exit_code == 0
    said = db("restore", "all.tar", folder="new")
    assert said.exit_code == 0, said.output
    assert said.stdout.startswith("1 tasks and 3 files are restored to ")
    for path in (tmp_path / "new").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    server = start_server(fake=True, data_dir=tmp_path / "new")
    result = server.client.get(f"{API}/result/{task}").json()
    assert (result["text"], result["speakers"][0]["name"]) == ("Hello there.", "Katie")
    assert server.client.get(f"{API}/audio/{task}").content == recording


def test_restore_keeps_what_was_there_and_the_files_that_the_backup_does_not_know(
    task: str, start_server: Start, tone: Tone, tmp_path: Path
) -> None:
    assert db("backup", "copy.db").exit_code == 0
    server = start_server(fake=True)
    new = server.upload(tone(0.5))
    server.wait(new)
    refused = db("restore", "copy.db", "--force")
    assert refused.exit_code == 3 and "is in use by another server" in refused.stderr
    server.terminate()
    before = dump(tmp_path / "data" / "whisperx-api.db")
    transcript = (tmp_path / "data" / "tasks" / new / "assign.1.json").read_bytes()
    refused = db("restore", "copy.db")
    assert refused.exit_code == 3 and "--force keeps that one" in refused.stderr
    said = db("restore", "copy.db", "--force")
    assert said.exit_code == 0, said.output
    (kept,) = (tmp_path / "data").glob("whisperx-api.db.before-*Z")
    assert dump(kept) == before
    server.start()
    assert server.status(task)["status"] == "completed"
    assert server.client.get(f"{API}/status/{new}").status_code == 404
    mark = kept.name.removeprefix("whisperx-api.db.")
    assert (tmp_path / "data" / "tasks" / mark / new / "assign.1.json").read_bytes() == transcript
    assert (tmp_path / "data" / "uploads" / mark / new).is_file()


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xa5" * 4096
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def another_program_s(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE jobs (id TEXT)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


def without_a_file(path: Path) -> None:
    repacked(path, lambda member: None if member.name.startswith("uploads/") else member)


def without_its_end(path: Path) -> None:
    repacked(path, lambda member: None if member.name == "backup.json" else member)


def leading_out(path: Path) -> None:
    repacked(path, lambda member: member.replace(name="../../escaped") if "uploads/" in member.name else member)


def absolute(path: Path) -> None:
    repacked(path, lambda member: member.replace(name="/tmp/escaped") if "uploads/" in member.name else member)


def a_link(path: Path) -> None:
    def change(member: tarfile.TarInfo) -> tarfile.TarInfo:
        if "uploads/" in member.name:
            member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
        return member

    repacked(path, change)


def repacked(path: Path, change: Callable[[tarfile.TarInfo], tarfile.TarInfo | None]) -> None:
    """Write a tar anew with its members changed, or left out."""
    written = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=written, mode="w") as new:
        for member in old:
            content = old.extractfile(member)
            if (changed := change(member)) is not None:
                new.addfile(changed, content if changed.isreg() else None)
    path.write_bytes(written.getvalue())


@pytest.mark.usefixtures("task")
def test_what_is_no_backup_or_not_all_of_one_changes_nothing(tmp_path: Path) -> None:
    assert db("backup", "copy.db").exit_code == 0
    assert db("backup", "all.tar", "--with-files").exit_code == 0
    before = contents(tmp_path / "data")
    cases = {
        "copy.db": (damaged, cut, nothing, another_program_s, newer),
        "all.tar": (cut, nothing, without_a_file, without_its_end, leading_out, absolute, a_link),
    }
    for name, mishaps in cases.items():
        for mishap in mishaps:
            broken = tmp_path / "broken"
            broken.write_bytes((tmp_path / name).read_bytes())
            mishap(broken)
            said = db("restore", "broken", "--force")
            assert said.exit_code in (1, 3), (mishap, said.output)
            assert said.stderr.endswith("Nothing was changed.\n") and said.stderr.count("\n") == 1, said.output
            assert contents(tmp_path / "data") == before, mishap
            broken.unlink()
    assert not (tmp_path / "escaped").exists() and not Path("/tmp/escaped").exists()
    assert db("restore", "no-such-file").exit_code == 2


@pytest.mark.usefixtures("task")
def test_folder_that_can_not_be_made_is_told_with_nothing_changed(tmp_path: Path) -> None:
    assert db("backup", "copy.db").exit_code == 0
    (tmp_path / "file").touch()
    said = db("restore", "copy.db", folder="file/data")
    assert said.exit_code == 1 and said.stderr.endswith(" Nothing was changed.\n"), said.output


# --- check ---


def test_check_says_what_is_missing_and_what_is_too_much(task: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    said = db("check")
    assert said.exit_code == 0 and said.stdout.endswith("is whole, and the files of its tasks are there.\n")
    (data / "uploads" / SOMEBODY).write_bytes(b"sound")
    (data / "uploads" / "notes.txt").write_text("somebody's own")
    (data / "uploads" / task).unlink()
    (data / "tasks" / task / "assign.1.json").unlink()
    said = db("check")
    assert said.exit_code == 1
    assert said.stdout.splitlines() == [
        f"data/uploads/{SOMEBODY} belongs to no task: the next start deletes it.",
        f"Task {task} is completed, and its recording is not there.",
        f"Task {task} is completed, and its transcript is not there.",
    ]
    damaged(data / "whisperx-api.db")
    said = db("check")
    assert said.exit_code == 1 and "is damaged" in said.stdout
    assert "is damaged, and no backup was made" in db("backup", "copy.db").stderr
    assert db("check", folder="elsewhere").exit_code == 1


def test_database_of_another_kind_is_left_to_its_own_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://service@127.0.0.1/whisperx")
    for arguments in (("backup", "copy.db"), ("restore", "copy.db"), ("check",)):
        said = db(*arguments)
        assert said.exit_code == 2 and "use the tools of that database" in said.stderr


@pytest.mark.parametrize("command", [["backup", "all.tar", "--with-files"], ["restore", "backup.db"], ["check"]])
def test_files_in_a_bucket_are_left_to_its_own_tools(command: list[str], tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "data").mkdir()
    for file in ("backup.db", "data/whisperx-api.db"):
        (tmp_path / file).touch()
    monkeypatch.setenv("STORAGE_URL", "s3://bucket")
    refused = db(*command)
    assert refused.exit_code == 2 and "STORAGE_URL" in refused.output, refused.output
