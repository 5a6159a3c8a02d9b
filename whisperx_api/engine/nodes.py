"""Whether a GPU can be there at all: seen in /dev, at once and without torch."""

from __future__ import annotations

import sys
from pathlib import Path

DEV = Path("/dev")
GPU_NODES = ("nvidia[0-9]*", "nvhost*", "nvgpu*", "dxg")
"""Device nodes of NVIDIA's driver: on a server, on a Jetson, and under Windows (WSL)."""


def device_absent(device: str, dev: Path = DEV) -> str | None:
    """Say why `device` can't be there; None where it may be, which only its driver knows for sure."""
    if not device.startswith("cuda") or sys.platform != "linux" or any(any(dev.glob(name)) for name in GPU_NODES):
        return None
    return (
        f"DEVICE={device} can't be used: there is no NVIDIA GPU here, or this container was not given it. Set "
        "DEVICE=cpu, or see what `whisperx-api doctor` says."
    )
