"""Which device an engine computes on, and what it is."""

from __future__ import annotations

import os

import ctranslate2
import torch

from whisperx_api.engine.protocol import EngineReady
from whisperx_api.errors import DeviceUnavailable
from whisperx_api.memory import memory_total


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


def check_compute_type(device: str, compute_type: str | None) -> None:
    """Raise `DeviceUnavailable` where ctranslate2 can't compute in `compute_type` on `device`."""
    kind, _, index = device.partition(":")
    able = ctranslate2.get_supported_compute_types(kind, int(index or 0))
    if compute_type not in (None, "default", "auto", *able):
        raise DeviceUnavailable(
            f"COMPUTE_TYPE={compute_type} can't be used on {device}: leave it out, or set one of "
            f"{', '.join(sorted(able))}."
        )


def describe(device: str) -> EngineReady:
    """Say what a device is, for the server."""
    if device == "cpu":
        return EngineReady("cpu", f"{cores()} cores", memory_total())
    properties = torch.cuda.get_device_properties(torch.device(device))
    return EngineReady(device, properties.name, properties.total_memory)
