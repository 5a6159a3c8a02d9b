"""`whisperx-api transcribe --watch`: a folder in which recordings appear, against a real server on the fake engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.program import Command, at, tasks, until, written

SETTLED = ["--settle-seconds", "0.4"]


@pytest.fixture
def server(start_server):
    return start_server(fake=True)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def test_what_appears_is_transcribed_and_what_is_done_is_left(server, tone, inbox: Path) -> None:
    recording = tone()
    shutil.copy(recording, inbox / "before.wav")
    command = Command("--watch", inbox, *at(server), *SETTLED, "--json")
    assert written(inbox / "before.txt") == "[SPEAKER_00]: Hello there.\n"
    shutil.copy(tone(2, name="other.wav"), inbox / "after.wav")
    (inbox / "notes.txt").write_text("no recording")
    written(inbox / "after.txt")
    code, printed, said = command.end(signal.SIGTERM)
    assert code == 0, said
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["outputs"] for line in lines] == [[str(inbox / "before.txt")], [str(inbox / "after.txt")]]
    assert len(tasks(server)) == 2
    shutil.copy(tone(3, name="third.wav"), inbox / "third.wav")
    again = Command("--watch", inbox, *at(server), *SETTLED)
    written(inbox / "third.txt")
    code, _, said = again.end(signal.SIGINT)
    assert code == 130 and "before.wav" not in said and "Traceback" not in said
    assert len(tasks(server)) == 3


def test_file_is_sent_once_it_is_whole(server, tone, inbox: Path, tmp_path: Path) -> None:
    sound = tone(4).read_bytes()
    command = Command("--watch", inbox, *at(server), "--settle-seconds", "1", "--output-dir", tmp_path / "out")
    with (inbox / "growing.wav").open("wb") as file:
        for start in range(0, len(sound), len(sound) // 5):
            file.write(sound[start : start + len(sound) // 5])
            file.flush()
            os.fsync(file.fileno())
            time.sleep(0.5)
            assert tasks(server) == []
    shutil.copy(tone(), inbox / "moved.wav.part")
    (inbox / "moved.wav.part").rename(inbox / "moved.wav")
    written(tmp_path / "out" / "moved.txt")
    written(tmp_path / "out" / "growing.txt")
    assert command.end(signal.SIGTERM)[0] == 0
    durations = {task["filename"]: task["duration"] for task in tasks(server)}
    assert durations == {"growing.wav": 4.0, "moved.wav": 1.0}


def test_server_that_is_away_is_waited_for(server, tone, inbox: Path) -> None:
    server.kill()
    shutil.copy(tone(), inbox / "call.wav")
    command = Command("--watch", inbox, *at(server), *SETTLED)
    assert command.process.stderr is not None
    while "Trying again in 5 s." not in command.process.stderr.readline():
        assert command.process.poll() is None
    server.start()
    written(inbox / "call.txt")
    slow = json.dumps({"seconds": 0.5})
    command.end(signal.SIGTERM)
    shutil.copy(tone(2), inbox / "next.wav")
    command = Command("--watch", inbox, *at(server), *SETTLED, "--prompt", slow)
    until(lambda: len(tasks(server)) == 2 and tasks(server)[1]["stage"] == "transcribe")
    server.kill()
    time.sleep(1)
    server.start()
    written(inbox / "next.txt")
    code, _, said = command.end(signal.SIGTERM)
    assert code == 0 and "Traceback" not in said
    assert len(tasks(server)) == 2


def test_stopped_watch_finds_its_tasks_again(server, tone, inbox: Path) -> None:
    shutil.copy(tone(), inbox / "call.wav")
    flags = ["--watch", inbox, *at(server), *SETTLED, "--prompt", json.dumps({"seconds": 0.7})]
    command = Command(*flags)
    until(lambda: tasks(server) and tasks(server)[0]["stage"] == "transcribe")
    assert command.end(signal.SIGTERM)[0] == 0
    command = Command(*flags)
    written(inbox / "call.txt")
    assert command.end(signal.SIGTERM)[0] == 0
    assert [task["status"] for task in tasks(server)] == ["completed"]


def test_what_is_no_audio_is_told_once_and_a_wrong_key_ends_it(server, tone, inbox: Path) -> None:
    (inbox / "letter.wav").write_text("Dear Sir or Madam, this is no sound at all.")
    shutil.copy(tone(), inbox / "call.wav")
    command = Command("--watch", inbox, *at(server), *SETTLED)
    written(inbox / "call.txt")
    time.sleep(2.5)
    code, _, said = command.end(signal.SIGTERM)
    assert code == 0 and said.count("letter.wav: The recording can't be read") == 1
    code, _, said = Command("--watch", inbox, *at(server), *SETTLED, "--api-key", "wrong").end()
    assert code == 3 and "--api-key" in said


def test_recordings_of_one_stem_have_transcripts_of_their_own_over_restarts(server, tone, inbox: Path) -> None:
    shutil.copy(tone(), inbox / "call.wav")
    command = Command("--watch", inbox, *at(server), *SETTLED)
    written(inbox / "call.txt")
    shutil.copy(tone(2), inbox / "call.ogg.part")
    os.utime(inbox / "call.ogg.part", (1000, 1000))
    (inbox / "call.ogg.part").rename(inbox / "call.ogg")
    written(inbox / "call.ogg.txt")
    assert command.end(signal.SIGTERM)[0] == 0
    command = Command("--watch", inbox, *at(server), *SETTLED)
    shutil.copy(tone(3), inbox / "next.wav")
    written(inbox / "next.txt")
    assert command.end(signal.SIGTERM)[0] == 0
    assert {path.name for path in inbox.glob("*.txt")} == {"call.txt", "call.ogg.txt", "next.txt"}
    assert len(tasks(server)) == 3


def test_pipe_that_nobody_reads_any_more_ends_it(server, tone, inbox: Path) -> None:
    shutil.copy(tone(), inbox / "one.wav")
    command = Command("--watch", inbox, *at(server), *SETTLED, "--json")
    assert command.process.stdout is not None and command.process.stderr is not None
    assert json.loads(command.process.stdout.readline())["status"] == "completed"
    command.process.stdout.close()
    shutil.copy(tone(2), inbox / "two.wav")
    assert command.process.wait(30) == 1
    assert "Traceback" not in command.process.stderr.read()


def test_folder_that_goes_away_ends_it(server, inbox: Path) -> None:
    command = Command("--watch", inbox, *at(server), *SETTLED)
    time.sleep(2.5)
    inbox.rmdir()
    code, _, said = command.end()
    assert code == 1 and "can't be watched" in said and "Traceback" not in said
