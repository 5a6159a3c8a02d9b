"""A worker that is cut off from the database for two minutes: others take its task over, and it is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.partition import CUT_SECONDS
from tests.server import ROOT


@pytest.mark.timeout(600)
def test_task_of_a_worker_that_is_cut_off_is_taken_over_and_its_late_result_refused(tmp_path: Path) -> None:
    """It needs to be root, for networks of its own."""
    run = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.partition", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=580, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    outcome = json.loads(run.stdout.splitlines()[-1])
    print(json.dumps(outcome))
    assert outcome["status"] == "completed"
    assert outcome["taken_over"] < 60 < CUT_SECONDS
    assert outcome["refused"], run.stderr
    assert outcome["ends"] == 2 and outcome["second_task"] == "completed"
    (result,) = [name for name in outcome["objects"] if "assign" in name]
    assert result.endswith("assign.2.json") and len(outcome["objects"]) == 1
