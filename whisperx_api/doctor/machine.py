"""The machine: Python, the engine's packages, the device and its libraries, memory and disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from whisperx_api import confinement
from whisperx_api.doctor.check import Check, engine_installed, fail, ok, warn
from whisperx_api.extras import how_to_install
from whisperx_api.memory import memory_free
from whisperx_api.settings import GIB, Settings

PROBE_SECONDS = 180
"""How long importing torch may take on a slow disk."""

LIBRARIES = ("libcublas.so.12", "libcudnn.so.9")
"""What ctranslate2 opens by name on a CUDA device."""

_PROBE = f"""
import ctypes, json, torch
def opens(name):
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
cuda = torch.cuda.is_available()
print(json.dumps({{
    "version": torch.__version__, "built_for": torch.version.cuda or "", "rocm": bool(torch.version.hip), "cuda": cuda,
    "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
    "missing": [name for name in {LIBRARIES!r} if not opens(name)] if cuda else [],
}}))
"""
"""Run in a process of its own, so that this one imports no torch; the libraries are opened after torch, as at work."""


@dataclass(frozen=True)
class Torch:
    """What torch sees."""

    version: str
    built_for: str
    rocm: bool
    cuda: bool
    devices: tuple[str, ...]
    missing: tuple[str, ...]


def machine_checks(settings: Settings) -> Iterator[Check]:
    """Look at the machine."""
    yield _python()
    driver = nvidia_driver()
    if not engine_installed():
        yield fail(
            "engine",
            "The engine is not installed, so this machine can take uploads but not transcribe them: run "
            f"{how_to_install('engine')}.",
        )
    else:
        try:
            torch = probe_torch()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            yield fail("engine", f"torch can't be imported ({_last_line(error)}): install the engine again.")
        else:
            yield ok("engine", f"The engine is installed, with torch {torch.version}.")
            yield from device_checks(settings.devices, torch, driver)
    yield _confinement()
    yield _memory()
    yield from (_disk(name, folder) for name, folder in (("data", settings.data_dir), ("models", settings.models)))


def device_checks(devices: tuple[str, ...], torch: Torch, driver: str | None) -> Iterator[Check]:
    """Compare the devices asked for with what torch and the driver (its version, or None) offer."""
    asked = [device for device in devices if device.startswith("cuda")]
    if devices == ("cpu",):
        yield ok("device", "DEVICE=cpu: the processor computes, many times slower than a GPU.")
        return
    if not torch.cuda:
        yield (
            fail("device", f"DEVICE={','.join(devices)}, but {_why_no_cuda(torch, driver)}")
            if asked
            else warn("device", f"The processor computes, many times slower than a GPU: {_why_no_cuda(torch, driver)}")
        )
        return
    if torch.rocm:
        yield warn("device", "torch is built for ROCm, which ctranslate2 can't use: set DEVICE=cpu.")
        return
    for device in asked:
        number = int(device.partition(":")[2] or 0)
        if number >= len(torch.devices):
            yield fail("device", f"DEVICE names {device}, but there are only {len(torch.devices)}: count from cuda:0.")
    yield ok("device", f"CUDA {torch.built_for} on {', '.join(torch.devices)}, driver {driver or 'unknown'}.")
    if torch.missing:
        yield fail(
            "cuda",
            f"ctranslate2 needs {' and '.join(torch.missing)}, not found: run `pip install nvidia-cublas-cu12 "
            "nvidia-cudnn-cu12`, or add the folder that holds them to LD_LIBRARY_PATH.",
        )
    else:
        yield ok("cuda", f"{' and '.join(LIBRARIES)} are found.")


def probe_torch() -> Torch:
    """Ask torch, in another process, what it sees."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return Torch(**{**answer, "devices": tuple(answer["devices"]), "missing": tuple(answer["missing"])})


def nvidia_driver() -> str | None:
    """Return the version of the NVIDIA driver, or None if there is none at work."""
    if not (command := shutil.which("nvidia-smi")):
        return None
    try:
        done = subprocess.run(
            [command, "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else None


def _why_no_cuda(torch: Torch, driver: str | None) -> str:
    if sys.platform == "darwin":
        return "Whisper runs on the processor on a Mac, ctranslate2 has no MPS: leave DEVICE at auto."
    if driver is None:
        return (
            "no NVIDIA driver answers: install one (or, in a container, run it with `--gpus all`), or set DEVICE=cpu."
        )
    if not torch.built_for:
        return f"torch {torch.version} is built without CUDA: install torch's CUDA build."
    return f"torch, built for CUDA {torch.built_for}, can't use driver {driver}: update the driver."


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        return ok("python", f"Python {version}.")
    return fail("python", f"Python {version} is not supported: use 3.10 to 3.13.")


def _confinement() -> Check:
    if lacking := confinement.lacking():
        mend = "A newer kernel mends that, or a sandbox around the service that lets it be used."
        return warn("decoder", f"{' '.join(lacking)} {mend}")
    return ok("decoder", "The kernel keeps what decodes recordings from files, network and programs.")


def _memory() -> Check:
    free = memory_free()
    if free is None:
        return ok("memory", "How much memory is free can't be told on this system.")
    sentence = f"{free / GIB:.1f} GiB of memory are free"
    if free < 2 * GIB:
        return warn("memory", f"{sentence}: 2 are needed for the small models and 6 for large ones on a processor.")
    return ok("memory", f"{sentence}.")


def _disk(name: str, folder: Path) -> Check:
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    variable = {"data": "DATA_DIR", "models": "MODEL_DIR"}[name]
    if not os.access(place, os.W_OK | os.X_OK):
        return fail(name, f"{variable}={folder} can't be written to: give this user write access to {place}.")
    free = shutil.disk_usage(place).free
    if free < 5 * GIB:
        return warn(name, f"Only {free / GIB:.1f} GiB are free in {variable}={folder}: large models need 5, make room.")
    return ok(name, f"{free / GIB:.0f} GiB are free in {variable}={folder}.")


def _last_line(error: Exception) -> str:
    """Return what the other process complained about last."""
    output = str(getattr(error, "stderr", None) or error).strip()
    return output.splitlines()[-1] if output else type(error).__name__
