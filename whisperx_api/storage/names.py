"""Names of what is kept. All come from the service, never from a client."""

from __future__ import annotations

import re

PART = ".part"
"""Ends the name of what is still being written."""
TASK_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
OF_ATTEMPT = re.compile(r"\w+\.(\d+)\.(?:json|f32)(?:\.\d+)?")
"""Names of files that carry the epoch of the attempt which has made them."""


def of_later_attempt(name: str, epoch: int | None) -> bool:
    """Whether an attempt after `epoch` has made the file `name`; False where no epoch is given."""
    made = OF_ATTEMPT.fullmatch(name.removesuffix(PART))
    return epoch is not None and made is not None and int(made[1]) > epoch
