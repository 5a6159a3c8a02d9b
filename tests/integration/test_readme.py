"""The commands and programs of the README, run as they stand there against a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import KEY
from tests.server import ROOT, Server

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture
def reader(server: Server, sample_dir: Path, tmp_path: Path) -> Path:
    """A folder such as the README speaks of: a recording in it, and the server's key."""
    shutil.copy(sample_dir / "sample.wav", tmp_path / "meeting.wav")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "api_key").write_text("test-key\n")
    return tmp_path


def run(command: list[str], server: Server, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PORT": str(server.port)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(text: str, server: Server) -> str:
    assert "http://127.0.0.1:8000" in text
    return text.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{server.port}")


def test_curl_example(server: Server, reader: Path) -> None:
    example, formats, _ = [block for block in blocks("bash") if "curl" in block]
    printed = run(["bash", "-euo", "pipefail", "-c", here(example + formats, server)], server, reader)
    assert '"status":"pe' in printed or '"status":"pr' in printed
    assert "event: completed" in printed
    assert re.search(r'^\{"task_id":"[^"]+".*"segments":\[\{.*"words":\[\{.*\}WEBVTT$', printed, re.M), printed
    assert "WEBVTT\n" in printed and "<v SPEAKER_01>" in printed
    result = json.loads(printed[printed.rindex('{"task_id":') :])
    assert [speaker["name"] for speaker in result["speakers"]] == ["Katie", None]
    assert result["segments"][0]["text"] == "Hello?"
    assert "Hello" in result["text"]


def test_python_example(server: Server, reader: Path) -> None:
    example, _ = blocks("python")
    printed = run([sys.executable, "-c", here(example, server)], server, reader)
    assert re.search(r"^\s*\d+\.\d %  \w+", printed, re.M)
    assert re.search(r"^\s+\d+\.\d\d  SPEAKER_0\d: \w+", printed, re.M)


def test_openai_example_in_python(server: Server, reader: Path) -> None:
    _, example = blocks("python")
    printed = run([sys.executable, "-c", here(example, server).replace("the key in data/api_key", KEY)], server, reader)
    assert re.search(r"^\s+\d+\.\d\d  [AB]: \w+", printed, re.M)


def test_openai_example_with_curl(server: Server, reader: Path) -> None:
    *_, example = [block for block in blocks("bash") if "curl" in block]
    printed = run(["bash", "-euo", "pipefail", "-c", f"KEY={KEY}\n" + here(example, server)], server, reader)
    answer = json.loads(printed)
    assert answer["language"] == "english" and answer["words"] and "".join(answer["text"].split())


def test_command_line_example(server: Server, reader: Path) -> None:
    (example,) = [block for block in blocks("bash") if "whisperx-api transcribe" in block]
    printed = run(example.split(), server, reader)
    assert re.search(r"^\[00:\d\d\.\d → 00:\d\d\.\d\] SPEAKER_00: \w+", printed, re.M)


def test_every_variable_and_target_that_it_names_exists() -> None:
    from whisperx_api.settings import Settings

    settings = {name.upper() for name in Settings.model_fields}
    rows = re.findall(r"^\| `([A-Z_]+)` \|", README, re.M)
    assert len(rows) > 8
    assert set(rows) <= settings
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"\]\(([a-z.][\w./-]+)\)", README):
        assert (ROOT / path).exists(), path
