"""Which device an engine computes on, and what it is."""

from __future__ import annotations

import os

import torch

from whisperx_api.engine.protocol import EngineReady
from whisperx_api.errors import DeviceUnavailable


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(setting: str) -> str:
    """Return cpu or cuda:N for a setting of auto, cpu, cuda or cuda:N. Raises `DeviceUnavailable`."""
    if setting == "cpu" or (setting == "auto" and not torch.cuda.is_available()):
        return "cpu"
    index = int(setting.partition(":")[2] or 0)
    if not torch.cuda.is_available():
        raise DeviceUnavailable(f"DEVICE={setting} can't be used: no CUDA device or driver is found. Set DEVICE=cpu.")
    if index >= (count := torch.cuda.device_count()):
        raise DeviceUnavailable(f"DEVICE={setting} can't be used: there are {count} CUDA devices, counted from 0.")
    return f"cuda:{index}"


def describe(device: str) -> EngineReady:
    """Say what a device is, for the server."""
    if device == "cpu":
        return EngineReady("cpu", f"{cores()} cores")
    properties = torch.cuda.get_device_properties(torch.device(device))
    return EngineReady(device, properties.name, properties.total_memory)
