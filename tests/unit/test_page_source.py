"""What the page's source says of the service, held against the service."""

from __future__ import annotations

import json
import re

from tests.conftest import ROOT
from whisperx_api.engine.protocol import Stage
from whisperx_api.formats.writing import Format
from whisperx_api.jobs.job import JobStatus
from whisperx_api.languages import LANGUAGES

SOURCE = ROOT / "web" / "src"


def test_languages_are_whispers() -> None:
    listed = json.loads((SOURCE / "text" / "languages.json").read_text())
    assert {code: name.lower() for code, name in listed.items()} == LANGUAGES
    assert all(name[0].isupper() for name in listed.values())


def test_every_format_can_be_downloaded_under_its_own_ending() -> None:
    text = (SOURCE / "text" / "formats.ts").read_text()
    offered = dict(re.findall(r'format: "(\w+)", suffix: "([.\w]+)"', text))
    assert set(offered) == {one.value for one in Format}
    assert len(set(offered.values())) == len(offered)
    assert all(suffix.endswith(Format(name).suffix) for name, suffix in offered.items())


def test_states_and_stages_are_the_services() -> None:
    types = (SOURCE / "api" / "types.ts").read_text()
    (states,) = re.findall(r"type State = (.*);", types)
    assert re.findall(r'"(\w+)"', states) == [status.value for status in JobStatus]
    (stages,) = re.findall(r"const STAGES = \[(.*?)\] as const", (SOURCE / "view" / "Progress.tsx").read_text(), re.S)
    assert re.findall(r'\["(\w+)"', stages) == [stage.value for stage in Stage]


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages and all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert not [name for name, entry in packages.items() if "resolved" in entry]
