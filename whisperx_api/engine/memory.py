"""Device memory, measured: what is free, what this process holds, and how to give it back."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

from whisperx_api.memory import memory_free


class DeviceMemory:
    """The memory of one device; for `cpu` that is the machine's, or the container's."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def free(self) -> int:
        """Bytes that can still be had, whoever holds the rest."""
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        if (free := memory_free()) is None:
            raise RuntimeError("/proc/meminfo has no MemAvailable")
        return free

    def used(self) -> int:
        """Bytes in use: on the whole device for CUDA, else by this process."""
        if self.device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self.device)
            return total - free
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def release(self) -> None:
        """Return what no reference holds any more to the system. The caller has dropped its references before."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
