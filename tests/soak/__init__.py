"""Many clients, many jobs, and a server that is killed again and again: nothing is lost, and nothing is left behind.

`make soak` does it at length; a test run does a little of the same.
"""

from __future__ import annotations

import os

LONG = os.environ.get("SOAK") == "long"
