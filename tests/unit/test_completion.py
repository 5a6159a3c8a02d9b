"""Completion, by the protocol that shells speak: variables in, words out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from whisperx_api.cli import COMMANDS
from whisperx_api.formats.writing import Format

PROGRAM = [sys.executable, "-m", "whisperx_api"]
NONE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}


def ask(**variables: str) -> str:
    return subprocess.run(PROGRAM, env=NONE | variables, capture_output=True, text=True, check=False).stdout


def bash(line: str) -> list[str]:
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_WHISPERX_API_COMPLETE": "complete_bash"}
    return ask(**asked).split()


def test_bash_completes_commands_flags_and_values():
    assert set(bash("whisperx-api ")) == set(COMMANDS)
    assert bash("whisperx-api tr") == ["transcribe"]
    assert bash("whisperx-api transcribe --speak") == ["--speakers", "--speaker-embeddings"]
    assert bash("whisperx-api serve --max-queue-") == ["--max-queue-per-key"]
    assert bash("whisperx-api models pul") == ["pull"]
    assert set(bash("whisperx-api transcribe --format ")) == {one.value for one in Format}
    assert bash("whisperx-api transcribe --format srt,v") == ["srt,verbose_json", "srt,vtt"]
    assert bash("whisperx-api transcribe --format vtt,v") == ["vtt,verbose_json"]
    assert bash("whisperx-api transcribe --language ger") == ["german"]
    assert "de" in bash("whisperx-api transcribe --language d")
    assert bash("whisperx-api transcribe --task tra") == ["transcribe", "translate"]
    assert bash("whisperx-api transcribe --channels s") == ["separate"]
    assert bash("whisperx-api transcribe --model larg")[0] == "large-v1"
    assert bash("whisperx-api transcribe rec") == [], "files are the shell's own to complete"


def test_zsh_and_fish_get_words_with_their_meaning():
    zsh = ask(_WHISPERX_API_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="whisperx-api transcribe --language d")
    assert '"de":"german"' in zsh
    fish = {"_WHISPERX_API_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "de\tgerman" in ask(**fish, _TYPER_COMPLETE_ARGS="whisperx-api transcribe --language d").splitlines()


@pytest.mark.parametrize(
    ("shell", "place", "says"),
    [
        ("bash", ".bash_completions/whisperx-api.sh", "complete -o default -F"),
        ("zsh", ".zfunc/_whisperx-api", "#compdef whisperx-api"),
        ("fish", ".config/fish/completions/whisperx-api.fish", "complete --command whisperx-api"),
    ],
)
def test_completion_is_installed_where_the_shell_looks(shell: str, place: str, says: str, tmp_path: Path):
    detect = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    for flag in ("--show-completion", "--install-completion"):
        done = subprocess.run([*PROGRAM, flag, shell], env=NONE | detect, capture_output=True, text=True, check=True)
        if flag == "--show-completion":
            assert says in done.stdout
    assert says in (tmp_path / place).read_text()


def test_bash_itself_completes_with_it(tmp_path: Path):
    program = tmp_path / "whisperx-api"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m whisperx_api "$@"\n')
    program.chmod(0o755)
    shell = shutil.which("bash")
    assert shell is not None
    script = """
        eval "$(env _WHISPERX_API_COMPLETE=source_bash whisperx-api)"
        COMP_WORDS=(whisperx-api transcribe --format v); COMP_CWORD=3
        _whisperx_api_completion whisperx-api
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = NONE | {"PATH": f"{tmp_path}:{NONE['PATH']}"}
    done = subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["verbose_json", "vtt"], done.stderr
