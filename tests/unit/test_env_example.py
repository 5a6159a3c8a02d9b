"""`.env.example` is what the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest
from dotenv import dotenv_values

from tests.conftest import ROOT
from whisperx_api.env_example import render
from whisperx_api.settings import Settings, load_settings


def test_file_is_what_the_generator_gives() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert text == render(), "run `python -m whisperx_api.env_example > .env.example`"


def test_every_setting_is_there_once_with_its_meaning() -> None:
    entries = [entry for entry in render().split("\n\n") if not entry.startswith("# ---")][1:]
    names = [entry.splitlines()[-1].partition("=")[0] for entry in entries]
    assert names == [f"#{name.upper()}" for name in Settings.model_fields]
    for entry, field in zip(entries, Settings.model_fields.values(), strict=True):
        meaning = " ".join(line.removeprefix("# ") for line in entry.splitlines()[:-1])
        assert meaning == field.description


def test_values_written_there_are_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = load_settings()
    lines = [line.removeprefix("#") for line in render().splitlines() if line[1:2].isupper()]
    Path(".env").write_text("\n".join(lines))
    assert dotenv_values(".env").keys() == {name.upper() for name in Settings.model_fields}
    assert load_settings() == defaults
