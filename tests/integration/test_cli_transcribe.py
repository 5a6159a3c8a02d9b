"""`whisperx-api transcribe` against a real server on the fake engine: many files, faults, and what is left of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.program import Command, at, run, tasks, until

SLOW = json.dumps({"seconds": 0.4})
LONG = json.dumps({"seconds": 30})


@pytest.fixture
def server(start_server):
    return start_server(fake=True)


@pytest.fixture
def no_audio(tmp_path: Path) -> Path:
    (tmp_path / "letter.wav").write_text("Dear Sir or Madam, this is no sound at all.")
    return tmp_path / "letter.wav"


def test_several_files_are_written_each_in_every_format(server, tone, tmp_path: Path) -> None:
    files = [tone(name=name) for name in ("one.wav", "two.wav")]
    (tmp_path / "again").mkdir()
    files.append(tone(name="again/one.wav"))
    out = tmp_path / "made" / "here"
    code, printed, said = run(*files, *at(server), "--format", "srt,verbose_json,json", "--output-dir", out)
    assert code == 0, said
    assert printed == ""
    names = {f"{base}.{end}" for base in ("one", "two", "one.wav") for end in ("srt", "verbose.json", "json")}
    assert {path.name for path in out.iterdir()} == names
    assert "Hello there." in (out / "two.srt").read_text()
    assert json.loads((out / "one.json").read_text())["text"] == "Hello there."
    assert f"one.wav: written to {out / 'one.srt'}" in said


def test_files_are_printed_under_their_names_or_as_lines(server, tone) -> None:
    one, two = tone(name="one.wav"), tone(2, name="two.wav")
    code, printed, _ = run(one, two, *at(server))
    assert code == 0
    for file in (one, two):
        assert f"==> {file} <==\n[00:00.0 → " in printed
    code, printed, _ = run(one, two, *at(server), "--json")
    lines = [json.loads(line) for line in printed.splitlines()]
    assert {line["file"] for line in lines} == {str(one), str(two)}
    assert all(line["status"] == "completed" and line["transcript"]["text"] == "Hello there." for line in lines)
    assert all(line["error"] is None and line["task_id"] for line in lines)


def test_name_that_is_no_text_is_no_hindrance(server, tone, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.wav")
    shutil.copy(tone(), odd)
    code, printed, said = run(odd, tone(2), *at(server), "--output-dir", tmp_path / "out", "--json")
    assert code == 0, said
    assert {Path(json.loads(line)["file"]).name for line in printed.splitlines()} == {"caf?.wav", "tone.wav"}
    assert (tmp_path / "out" / os.fsdecode(b"caf\xe9.txt")).is_file()
    assert run(odd, tone(2), *at(server))[0] == 0


def test_pipe_is_read_once_and_sent_beside_the_others(server, tone, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    sound = tone(2).read_bytes()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe.wav").write_bytes(sound), daemon=True)
    writer.start()
    code, _, said = run(tmp_path / "pipe.wav", tone(name="good.wav"), *at(server), "--output-dir", tmp_path / "out")
    assert code == 0, said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"pipe.txt", "good.txt"}
    assert {task["filename"]: task["duration"] for task in tasks(server)} == {"pipe.wav": 2.0, "good.wav": 1.0}
    code, _, said = run(tmp_path / "pipe.wav", "--local")
    assert code == 1 and "is no file but a pipe or the like: --local reads files." in said


def test_stdout_of_another_encoding_is_no_hindrance(server, tone) -> None:
    one, two = tone(name="caf\xe9.wav"), tone(2)
    greek: dict[str, Any] = {"PYTHONIOENCODING": "iso8859-7"}  # which has no arrow and no é
    code, printed, said = run(one, *at(server), **greek)
    assert code == 0 and printed.startswith("[00:00.0 ? 00:"), said
    code, printed, said = run(one, two, *at(server), "--json", **greek)
    assert code == 0 and {json.loads(line)["file"] for line in printed.splitlines()} == {str(one), str(two)}, said


def test_one_that_is_no_audio_keeps_none_of_the_others(server, tone, no_audio: Path, tmp_path: Path) -> None:
    good = tone(name="good.wav")
    code, printed, said = run(no_audio, good, *at(server), "--output-dir", tmp_path / "out", "--json")
    assert code == 1
    assert (tmp_path / "out" / "good.txt").read_text() == "[SPEAKER_00]: Hello there.\n"
    by_file = {line["file"]: line for line in map(json.loads, printed.splitlines())}
    assert by_file[str(good)]["outputs"] == [str(tmp_path / "out" / "good.txt")]
    assert by_file[str(no_audio)]["status"] == "failed" and "can't be read" in by_file[str(no_audio)]["error"]
    assert "letter.wav: The recording can't be read" in said


def test_failed_task_is_taken_up_by_the_same_command(server, tone, tmp_path: Path) -> None:
    script = json.dumps({"stage": "align", "what": "refuse", "marker": str(tmp_path / "marker")})
    command = [tone(), *at(server), "--prompt", script, "--json"]
    code, printed, said = run(*command)
    assert (code, printed) == (1, "") and "The model is out of reach." in said
    code, printed, said = run(*command)
    assert code == 0, said
    assert "It was sent before and has failed" in said
    [task] = tasks(server)
    assert json.loads(printed)["task_id"] == task["task_id"]


@pytest.mark.parametrize("remembers", [True, False])
def test_killed_command_is_gone_on_with_by_the_same(server, tone, tmp_path: Path, remembers: bool) -> None:
    files = [tone(name="one.wav"), tone(2, name="two.wav"), tone(3, name="three.wav")]
    command = [*files, *at(server), "--prompt", SLOW, "--output-dir", tmp_path / "out", "--jobs", "1"]
    first = Command(*command)
    until(lambda: len(tasks(server)) == 2 and tasks(server)[0]["stage"] == "transcribe")
    until(lambda: len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 2)
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    forgetful: dict[str, Any] = {} if remembers else {"WHISPERX_API_CACHE_DIR": str(tmp_path / "another")}
    before = sent(server)
    code, _, said = run(*command, **forgetful)
    assert code == 0, said
    done = tasks(server)
    assert sorted(task["filename"] for task in done) == ["one.wav", "three.wav", "two.wav"]
    assert all(task["status"] == "completed" for task in done)
    assert sent(server) - before == (1 if remembers else 3), "what is remembered is not sent again"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"one.txt", "two.txt", "three.txt"}


def sent(server) -> int:
    """Return how many uploads have begun."""
    lines = server.client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("whisperx_http_requests_total{") and "/upload" in line]
    return sum(round(float(line.rpartition(" ")[2])) for line in found)


def test_ctrl_c_cancels_what_is_not_done_and_the_same_command_goes_on(server, tone, tmp_path: Path) -> None:
    files = [tone(name="one.wav"), tone(2, name="two.wav")]
    out = tmp_path / "out"
    script = json.dumps({"seconds": 30, "stage": "x", "what": "x"})
    first = Command(*files, *at(server), "--prompt", script, "--output-dir", out)
    until(lambda: len(tasks(server)) == 2)
    code, printed, said = first.end(signal.SIGINT)
    assert code == 130 and printed == "" and "Cancelled." in said and "Traceback" not in said
    until(lambda: [task["status"] for task in tasks(server)] == ["cancelled"] * 2)
    again = Command(*files, *at(server), "--prompt", script, "--output-dir", out)
    until(lambda: all(task["status"] in ("pending", "processing") for task in tasks(server)))
    assert len(tasks(server)) == 2
    code, _, said = again.end(signal.SIGTERM)
    assert code == 130 and "What was sent goes on at the server: the same command waits for it." in said
    time.sleep(0.5)
    assert all(task["status"] in ("pending", "processing") for task in tasks(server)), "SIGTERM leaves them going"
    only = Command(files[0], *at(server), "--prompt", script)
    assert only.process.stderr is not None
    task_id = next(line for line in only.process.stderr if line.startswith("Task ")).split()[1]
    code, _, said = only.end(signal.SIGTERM)
    assert code == 130 and f"The task goes on at the server: --resume {task_id} waits for it" in said


def test_deleted_task_is_sent_anew_and_again_makes_a_new_one(server, tone) -> None:
    command = [tone(), *at(server), "--json"]
    first = json.loads(run(*command)[1])["task_id"]
    assert json.loads(run(*command)[1])["task_id"] == first
    second = json.loads(run(*command, "--again")[1])["task_id"]
    assert second != first and len(tasks(server)) == 2
    assert json.loads(run(*command)[1])["task_id"] == second, "the newest is the one that goes on"
    for task in tasks(server):
        assert server.client.delete(f"/api/v1/transcribe/task/{task['task_id']}").status_code == 204
    third = json.loads(run(*command)[1])["task_id"]
    assert third not in (first, second) and len(tasks(server)) == 1


def test_files_go_side_by_side_and_one_more_is_sent_ahead(server, tone) -> None:
    files = [tone(seconds, name=f"{seconds}.wav") for seconds in (1, 2, 3, 4)]
    command = Command(*files, *at(server), "--prompt", LONG, "--jobs", "2")
    until(lambda: len(tasks(server)) == 3)
    time.sleep(0.7)
    assert len(tasks(server)) == 3
    assert command.end(signal.SIGINT)[0] == 130


def test_restart_of_the_server_is_waited_for(server, tone, tmp_path: Path) -> None:
    command = Command(tone(), *at(server), "--prompt", SLOW, "--output-dir", tmp_path)
    until(lambda: tasks(server) and tasks(server)[0]["stage"] == "transcribe")
    server.kill()
    time.sleep(1)
    server.start()
    code, _, said = command.end()
    assert code == 0, said
    assert (tmp_path / "tone.txt").is_file() and "no answer, trying on" in said
    assert len(tasks(server)) == 1


def test_every_option_of_an_upload_has_its_flag(server, tone) -> None:
    flags = [
        "--language", "german", "--model", "starter", "--task", "translate", "--min-speakers", "1",
        "--max-speakers", "3", "--prompt", "{}", "--hotwords", "Katie", "--temperature", "0.2", "--suppress-numerals",
        "--no-word-timestamps", "--speaker-embeddings", "--priority", "-1", "--channels", "mix",
    ]  # fmt: skip
    code, printed, said = run(tone(), *at(server), *flags, "--json")
    assert code == 0, said
    transcript = json.loads(printed)
    assert transcript["language"] == "de" and "words" not in transcript["segments"][0]
    assert transcript["speakers"][0]["embedding"] == [0.1, 0.2]
    for flag, value in (("--temperature", "2"), ("--priority", "11"), ("--channels", "both"), ("--task", "x")):
        code, _, said = run(tone(), *at(server), flag, value)
        assert code == 2 and said.startswith(f"{flag} must "), said
    assert len(tasks(server)) == 1


def test_exit_codes_are_those_that_help_names(server, tone, no_audio: Path, tmp_path: Path) -> None:
    good = tone()
    explained = " ".join(run("--help")[1].split())
    assert "0 when all is done, 1 if a recording could not be transcribed, 2 for a wrong option" in explained
    assert run(good, *at(server))[0] == 0
    assert run(no_audio, *at(server))[0] == 1
    assert run(good, *at(server), "--format", "docx")[0] == 2
    assert run(good, *at(server), "--model", "hugo")[0] == 2
    assert run(tmp_path / "none.wav", *at(server))[0] == 2
    assert run(good, *at(server), "--output", tmp_path / "none" / "good.srt")[0] == 2
    code, _, said = run(good, *at(server), "--api-key", "k\xe4SECRET")
    assert code == 2 and said.endswith("Here: --api-key, or WHISPERX_API_KEY.\n")
    assert "SECRET" not in said and "Traceback" not in said
    assert run(good, no_audio, *at(server), "--api-key", "wrong")[0] == 3
    assert run(good, "--server", "http://127.0.0.1:9", "--api-key", "k")[0] == 3


def test_resumed_task_is_written_under_the_name_that_it_was_sent_with(server, tone, tmp_path: Path) -> None:
    task = server.upload(tone(name="board.wav"))
    code, printed, said = run("--resume", task, *at(server), "--output-dir", tmp_path / "out", "--json")
    assert code == 0, said
    line = json.loads(printed)
    assert line["task_id"] == task and line["outputs"] == [str(tmp_path / "out" / "board.txt")]


def test_recording_is_never_overwritten(server, tone, tmp_path: Path) -> None:
    path = tone()
    sound = path.read_bytes()
    (tmp_path / "talk.srt").write_bytes(sound)
    for files, places in (
        ([path], ["--format", "srt", "--output", tmp_path / "." / path.name]),
        ([path, tmp_path / "talk.srt"], ["--format", "srt", "--output-dir", tmp_path]),
    ):
        code, _, said = run(*files, *at(server), *places)
        assert code == 2 and "is a recording, which its transcript would take the place of" in said
    assert path.read_bytes() == (tmp_path / "talk.srt").read_bytes() == sound
    assert tasks(server) == []


def test_stdout_that_is_full_is_said_to_be_so_and_keeps_no_file_from_being_written(
    server, tone, tmp_path: Path
) -> None:
    files = [tone(name="a.wav"), tone(name="b.wav")]
    for places in ([], ["--json", "--output-dir", tmp_path / "out"]):
        with open("/dev/full", "wb") as full:
            command = Command(*files, *at(server), *places, stdout=full, PYTHONUNBUFFERED="")
            _, said = command.process.communicate(timeout=60)
        assert command.process.returncode == 1
        assert said.count("stdout can't be written to: No space left on device.") == 2
        assert "Traceback" not in said and "Exception ignored" not in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.txt", "b.txt"}


def test_whoever_reads_no_further_is_told_what_goes_on(server, tone) -> None:
    command = Command(*(tone(name=f"{name}.wav") for name in "abcdef"), *at(server), "--prompt", '{"seconds": 0.5}')
    assert command.process.stdout is not None
    command.process.stdout.close()
    assert command.process.stderr is not None
    said = command.process.stderr.read()
    assert command.process.wait(60) == 1
    assert "What was sent goes on at the server: the same command waits for it." in said and "Traceback" not in said


def test_what_would_have_no_effect_is_said_to_be_left_out(tone) -> None:
    for given, said in (
        (["--resume", "t", "--language", "de"], "--resume waits for a task as it was sent: leave --language out."),
        (["--resume", "t", "--no-diarization"], "leave --diarization out."),
        (["--resume", "t", "--again"], "--again makes a new task"),
        ([tone(), "--words", "--format", "srt"], "--words is for what is printed"),
        ([tone(), "--words", "--json"], "--words is for what is printed"),
    ):
        code, _, told = run(*given)
        assert code == 2 and said in told, told


def test_without_a_terminal_progress_is_plain_lines(server, tone) -> None:
    code, _, said = run(tone(), *at(server), "--prompt", SLOW)
    assert code == 0
    assert "\x1b" not in said and "\r" not in said and "━" not in said
    lines = said.splitlines()
    assert lines[0].startswith("Task ") and any(line.startswith("Transcribing speech") for line in lines)
    assert len(lines) == len(set(lines)) < 20
