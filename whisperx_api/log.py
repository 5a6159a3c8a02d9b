"""Where the service's log goes: to stderr, a line a message."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"

CHATTY = ("whisperx", "lightning", "pytorch_lightning", "lightning.pytorch", "speechbrain", "httpx")
"""Libraries whose everyday messages tell an operator nothing."""


def configure(level: str, form: str = FORMAT) -> None:
    """Log this package's messages from `level` on, and of everything else the warnings."""
    logging.basicConfig(format=form)  # does nothing where whoever started the process has set its log up
    logging.getLogger("whisperx_api").setLevel(level.upper())


def quieten() -> None:
    """Silence the chatty libraries; to be called once they are imported, for some set themselves up then."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
