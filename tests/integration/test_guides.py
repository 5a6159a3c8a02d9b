"""The commands and programs of the guides to the command line and the Python client, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import KEY
from tests.program import written
from tests.server import ROOT, Server

COMMANDS, PROGRAMS = ((ROOT / "docs" / name).read_text() for name in ("command-line.md", "python-client.md"))
LOCAL = {"WHISPER_MODEL": "starter", "DIARIZATION_MODEL": "starter", "ALIGN_MODEL": "attention"}


def blocks(text: str, language: str) -> list[str]:
    """Return a guide's code blocks in a language; it has them in no other."""
    found = re.findall(r"```(\w+)\n(.*?)```", text, re.S)
    assert {kind for kind, _ in found} == {language}
    return [block for _, block in found]


@pytest.fixture
def reader(server: Server, sample_dir: Path, tmp_path: Path) -> Path:
    """A folder such as the guides speak of: recordings, and the server's key."""
    for name in ("meeting.wav", "calls/one.wav", "calls/two.wav", "inbox/call.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(sample_dir / "sample.wav", tmp_path / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "api_key").write_text(f"{KEY}\n")
    return tmp_path


@pytest.fixture
def environment(server: Server, reader: Path, model_dir: Path) -> dict[str, str]:
    """What the reader's shell has: the programs, and the settings of the server."""
    machine = {name: value for name, value in os.environ.items() if not name.endswith(("CACHE_DIR", "CACHE_HOME"))}
    return machine | LOCAL | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(reader), "PORT": str(server.port),
        "MODEL_DIR": str(model_dir),
    }  # fmt: skip


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_every_command_of_the_command_line_runs(server: Server, reader: Path, environment: dict[str, str]) -> None:
    for block in blocks(COMMANDS, "bash"):
        here = block.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{server.port}")
        if "--watch" in block:
            with subprocess.Popen(["bash", "-c", f"exec {here}"], cwd=reader, env=environment) as watching:
                try:
                    assert "-->" in written(reader / "inbox" / "call.srt")
                finally:
                    watching.terminate()
            assert watching.returncode == 0
            continue
        printed = run(["bash", "-euo", "pipefail", "-c", here], reader, environment)
        if "--json" in block:
            assert sorted(printed.splitlines()) == ["calls/one.wav completed", "calls/two.wav completed"]
        if "--local" in block:
            assert re.search(r"^\[00:\d\d\.\d → 00:\d\d\.\d\] SPEAKER_00: \w+", printed, re.M)
    made = {path.name for path in (reader / "out").iterdir()}
    assert made >= {"one.srt", "one.json", "two.srt", "two.json", "one.txt", "meeting.txt"}
    assert "-->" in (reader / "meeting.srt").read_text()
    assert list(reader.glob(".bash_completions/*")) and (reader / ".cache" / "whisperx-api" / "sent").is_dir()


@pytest.mark.timeout(900)
def test_every_program_of_the_python_client_runs(server: Server, reader: Path, environment: dict[str, str]) -> None:
    printed = []
    for block in blocks(PROGRAMS, "python"):
        assert "http://127.0.0.1:8000" in block
        here = block.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{server.port}")
        printed.append(run([sys.executable, "-c", here], reader, environment))
    first, both, progress, events, errors, edited = printed
    assert re.search(r"^\s+\d+\.\d\d  SPEAKER_0\d: \w+", first, re.M)
    assert [line.split()[0] for line in both.splitlines()] == ["one.wav", "two.wav"]
    assert re.search(r"^(\d+) of \1 bytes$", progress, re.M) and re.search(r"^\s*\d+\.\d %  \w+", progress, re.M)
    assert (reader / "back.wav").read_bytes() == (reader / "meeting.wav").read_bytes()
    assert "<v Katie>" not in (reader / "meeting.vtt").read_text() and "WEBVTT" in (reader / "meeting.vtt").read_text()
    assert re.search(r"^\s+\d+\.\d\d  \w+", events, re.M) and events.splitlines()[-1] == "completed"
    assert "SPEAKER_00" in errors and "the same task: True" in errors and "seconds of sound" in errors
    assert edited == "Hello?\n"


def test_guides_name_what_there_is() -> None:
    from whisperx_api.cli.transcribe.asked import FLAGS
    from whisperx_api.client import AsyncClient, Client

    shown = subprocess.run(
        [sys.executable, "-m", "whisperx_api", "transcribe", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for flag in set(re.findall(r"--[a-z][a-z-]+", COMMANDS)) - {"--install-completion", "--show-completion", "--help"}:
        assert flag in shown, flag
    assert all(flag in shown for flag in FLAGS.values())
    for name in re.findall(r"`(\w+)\(", PROGRAMS):
        assert name in ("Client", "Retries") or (hasattr(Client, name) and hasattr(AsyncClient, name)), name
    methods = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert methods == {name for name in vars(AsyncClient) if not name.startswith("_")} - {"close"}
    assert all(re.search(rf"`{name}\(", PROGRAMS) for name in methods)
    for text in (COMMANDS, PROGRAMS):
        for path in re.findall(r"\]\(([\w./-]+)", text):
            assert (ROOT / "docs" / path).exists(), path
