"""`whisperx-api transcribe --local`: the real engine without a server, on the starter models."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from tests.program import Command, at, run, until
from tests.server import Server

MODELS = {
    "WHISPER_MODEL": "starter", "DIARIZATION_MODEL": "starter", "ALIGN_MODEL": "attention",
    "WHISPER_AUTO_DOWNLOAD": "false",
}  # fmt: skip


@pytest.fixture
def models(model_dir: Path, tmp_path: Path) -> dict[str, str]:
    """The settings of a run without a server, as its environment has them; what is temporary goes to a folder."""
    (tmp_path / "temporary").mkdir()
    return MODELS | {"MODEL_DIR": str(model_dir), "TMPDIR": str(tmp_path / "temporary")}


@pytest.mark.timeout(400)
def test_transcript_is_the_servers_own(server: Server, sample_dir: Path, models, tmp_path: Path) -> None:
    sample, out = sample_dir / "sample.wav", tmp_path / "out"
    options = ["--speakers", "2", "--language", "en", "--speaker-embeddings", "--format", "json,srt,rttm,verbose_json"]
    subtitles = ["--max-line-width", "30", "--max-line-count", "2", "--highlight-words"]
    for name, way in (("server", at(server)), ("here", ["--local"])):
        code, printed, said = run(
            sample, *way, *options, *subtitles, "--output-dir", out / name, "--json", seconds=300, **models
        )
        assert code == 0, said
        assert json.loads(printed)["status"] == "completed"
    mine, theirs = (json.loads((out / name / "sample.json").read_text()) for name in ("here", "server"))
    assert mine.pop("task_id") != theirs.pop("task_id")
    assert mine == theirs and len(mine["segments"]) > 5 and len(mine["speakers"]) == 2
    for name in ("sample.srt", "sample.rttm", "sample.verbose.json"):
        assert (out / "here" / name).read_bytes() == (out / "server" / name).read_bytes(), name


def test_nothing_is_left_and_nobody_is_asked(sample_dir: Path, models, tmp_path: Path, tone) -> None:
    silence = tone(0.5, name="short.wav")
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # which would have to be asked, were there a server
        nobody.settimeout(0)
        code, printed, said = run(silence, "--local", "--json", PORT=str(nobody.getsockname()[1]), **models)
        with pytest.raises(BlockingIOError):
            nobody.accept()
    assert code == 0, said
    assert json.loads(printed)["duration"] == 0.5
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "data").exists()
    assert silence.is_file(), "a recording stays where it lies"


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_it_no_process_stays(by: signal.Signals, sample_dir: Path, models, tmp_path: Path) -> None:
    command = Command(sample_dir / "sample.wav", "--local", **models)
    assert command.process.stderr is not None
    while not command.process.stderr.readline().startswith("Transcribing speech"):
        assert command.process.poll() is None
    children = [child.pid for child in psutil.Process(command.process.pid).children(recursive=True)]
    assert children
    code, printed, said = command.end(by)
    assert code == (-signal.SIGKILL if by is signal.SIGKILL else 130) and printed == "" and "Traceback" not in said
    until(lambda: not any(map(alive, children)), seconds=5)
    if by is not signal.SIGKILL:
        assert list((tmp_path / "temporary").iterdir()) == []


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_others_go_on_and_wrong_options_are_told_as_by_a_server(models, tmp_path: Path, tone) -> None:
    (tmp_path / "letter.wav").write_text("Dear Sir or Madam, this is no sound at all.")
    out = tmp_path / "out"
    code, _, said = run(tmp_path / "letter.wav", tone(0.5), "--local", "--output-dir", out, **models)
    assert code == 1 and "letter.wav: The recording can't be read" in said
    assert (out / "tone.txt").is_file()
    code, _, said = run(tone(), "--local", "--temperature", "2", **models)
    assert code == 2 and "--temperature must be" in said
    code, _, said = run("--resume", "t1", "--local", **models)
    assert code == 2 and "--local" in said


def test_a_servers_limits_of_waiting_tasks_are_not_these_ones(models, tmp_path: Path, tone) -> None:
    several = [tone(0.5, name=f"{number}.wav") for number in range(4)]
    code, _, said = run(
        *several, "--local", "--output-dir", tmp_path / "out", MAX_QUEUE="1", MAX_QUEUE_PER_KEY="1", **models
    )
    assert code == 0, said
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_folder_is_watched_without_a_server_too(models, tone, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    command = Command("--watch", tmp_path / "inbox", "--local", "--settle-seconds", "0.3", **models)
    for seconds in (0.5, 0.7):
        tone(seconds, name=f"inbox/{seconds}.wav")
        until(lambda: (tmp_path / "inbox" / f"{seconds}.txt").is_file())  # noqa: B023  # it is waited for within
    assert command.end(signal.SIGTERM)[0] == 0
    assert list((tmp_path / "temporary").iterdir()) == []


def test_model_that_is_not_there_is_told(models, tone, tmp_path: Path) -> None:
    code, _, said = run(tone(3), "--local", "--model", "tiny", **models)
    assert code == 2 and said.startswith("--model tiny ")
    code, _, said = run(tone(3), "--local", **models | {"WHISPER_MODEL": "tiny"})
    assert code == 1 and "models pull tiny" in said


def test_without_the_engine_it_says_what_to_install(tone, tmp_path: Path, models) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    path = os.pathsep.join([str(tmp_path / "bare"), os.environ["PYTHONPATH"]])
    code, _, said = run(tone(), "--local", **models, PYTHONPATH=path)
    assert code == 3 and "pip install '.[engine]'" in said and said.count("\n") == 1
    assert sys.modules.get("torch", True) is not None
