"""A child process leaves the processor to those who answer people."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import os
from whisperx_api.lifeline import AUTOGROUP, let_others_go_first


def of_the_session():
    # Nothing is said of the session that a machine starts with: its tasks are in no group.
    said = AUTOGROUP.read_text().split() if AUTOGROUP.exists() else []
    return said[-1] if said else "none"


print(os.nice(0), of_the_session())
let_others_go_first(7)
print(os.nice(0), of_the_session(), os.sched_getscheduler(0) == os.SCHED_BATCH)
"""


@pytest.mark.parametrize("leads_a_session", [True, False])
def test_process_and_the_session_it_leads_go_behind_others(leads_a_session: bool) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD], start_new_session=leads_a_session, check=True, capture_output=True, text=True
    )
    niceness, session, niceness_then, session_then, is_batch = child.stdout.split()
    assert niceness_then == str(min(19, int(niceness) + 7))
    assert session_then == ("7" if leads_a_session and session != "none" else session)
    assert is_batch == "True"
