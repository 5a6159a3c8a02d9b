"""The units of systemd in deploy/systemd, read and verified."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.server import ROOT

UNITS = ROOT / "deploy" / "systemd"
INSTALLED = "/opt/whisperx-api/bin/whisperx-api"


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `systemd-analyze`; a test can't do without it."""
    found = shutil.which("systemd-analyze")
    assert found, "There is no systemd-analyze here: install it, as Debian's package systemd does."
    return subprocess.run([found, *words], capture_output=True, text=True, timeout=60, check=False)


def read(name: str, more: str = "") -> dict[str, dict[str, list[str]]]:
    """Return a unit's sections, each name with all its values; `more` is a drop-in."""
    sections: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in ((UNITS / name).read_text() + more).splitlines():
        if found := re.fullmatch(r"\[(\w+)\]", line):
            section = found[1]
            sections.setdefault(section, {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            sections[section].setdefault(key, []).append(value)
    return sections


def verify(name: str, folder: Path, more: str = "") -> None:
    """Have systemd read a unit. Fails with what it says of it."""
    path = folder / name
    here = Path(sys.executable).parent / "whisperx-api"
    path.write_text((UNITS / name).read_text().replace(INSTALLED, str(here)))
    if more:
        (folder / f"{name}.d").mkdir()
        (folder / f"{name}.d" / "override.conf").write_text(more)
    done = analyze("verify", "--recursive-errors=no", "--man=no", str(path))
    said = done.stdout + done.stderr
    assert done.returncode == 0 and not said, said


def verify_drop_in(name: str, text: str, folder: Path) -> None:
    """Have systemd read a unit with a drop-in; its time to stop fits its time for the stages."""
    verify(name, folder, text)
    service = read(name, text)["Service"]
    grace = re.findall(r"SHUTDOWN_GRACE_SECONDS=(\d+)", " ".join(service["Environment"]))
    assert not grace or float(service["TimeoutStopSec"][-1]) > float(grace[-1]) + 30
