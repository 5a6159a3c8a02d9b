"""What of this takes minutes and root's rights is run with SOAK=long alone."""

from __future__ import annotations

from tests.soak import LONG

collect_ignore = [] if LONG else ["test_partition.py"]
