"""The audit of the lock files: a known vulnerability fails it, and a network that is not there does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import ROOT

SOUND = {"name": "alembic", "version": "1.0", "vulns": []}
ILL = {"name": "pillow", "version": "9.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["9.1"]}]}


def audited(folder: Path, said: str, complaint: str, status: int) -> tuple[int, str]:
    """Run the audit with a stand-in for pip-audit that says and complains of something."""
    stand_in = folder / "pip_audit"
    stand_in.mkdir()
    (stand_in / "__main__.py").write_text(
        f"import sys\nsys.stdout.write({said!r})\nsys.stderr.write({complaint!r})\nsys.exit({status})\n"
    )
    (stand_in / "__init__.py").touch()
    command = [sys.executable, str(ROOT / "requirements" / "audit.py"), "dev.txt"]
    done = subprocess.run(command, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("said", "complaint", "status", "ends", "says"),
    [
        (json.dumps({"dependencies": [SOUND]}), "", 0, 0, "nothing is known against the 1 packages"),
        (json.dumps({"dependencies": [SOUND, ILL]}), "Found 1", 1, 1, "pillow 9.0: PYSEC-1, CVE-1; mended in 9.1"),
        ("", "ERROR:pip_audit._cli:Could not connect to OSV's vulnerability feed", 1, 0, "audit: not done"),
        ("", "ERROR:pip_audit._cli:invalid requirements input", 1, 1, "invalid requirements input"),
        ("", "", 3, 1, ""),
    ],
)
def test_audit_fails_for_what_is_known_and_not_for_a_network_that_is_away(
    tmp_path: Path, said: str, complaint: str, status: int, ends: int, says: str
) -> None:
    code, printed = audited(tmp_path, said, complaint, status)
    assert code == ends, printed
    assert says in printed
