"""What the libraries would tell their makers, switched off. They read the environment when they are imported."""

from __future__ import annotations

import os

OFF = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime, whose newer versions report over HTTPS from native code, on Linux too
    "PYANNOTE_METRICS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",  # what many programs agree to heed
}
"""Variables of the environment, and what they are to be."""


def switch_off() -> None:
    """Have no library of this process, or of those that it starts, tell anybody of its use."""
    os.environ.update(OFF)
