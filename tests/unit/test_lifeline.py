"""A child process leaves the processor to those who answer people."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from whisperx_api.lifeline import AUTOGROUP

CHILD = """
import os
from pathlib import Path
from whisperx_api.lifeline import AUTOGROUP, let_others_go_first

let_others_go_first(7)
session = AUTOGROUP.read_text().split()[-1] if AUTOGROUP.exists() else "none"
print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_BATCH, session)
"""


@pytest.mark.parametrize("leads_a_session", [True, False])
def test_process_and_the_session_it_leads_go_behind_others(leads_a_session: bool) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD], start_new_session=leads_a_session, check=True, capture_output=True, text=True
    )
    ours = AUTOGROUP.read_text().split()[-1] if AUTOGROUP.exists() else "none"
    session = "7" if leads_a_session and AUTOGROUP.exists() else ours
    assert child.stdout.split() == [str(min(19, os.nice(0) + 7)), "True", session]
