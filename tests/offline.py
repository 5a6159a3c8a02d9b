"""A whole job on a real server that is watched, and where possible in a network of its own that leads nowhere.

`python -m tests.offline MODELS RECORDING` runs it and prints what came of it as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.server import ROOT, Server

GUARD = ROOT / "tests" / "guard"
ELSEWHERE = "192.0.2.1"
"""An address of documents (RFC 5737): nobody has it."""
CALL = f"import socket; socket.socket().connect(({ELSEWHERE!r}, 80))"
ALONE = (["unshare", "--net"], ["unshare", "--map-root-user", "--net"])
"""Commands that give a program a network of its own: root's, and everybody's where the system allows it."""
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


@dataclass(frozen=True)
class Outcome:
    """What came of the job. `alone`: it had a network that leads nowhere, where the kernel counts who wants out."""

    alone: bool
    status: dict[str, Any]
    calls: list[str]
    processes: list[str]
    wanted_out: int = 0
    counted: int = 0
    """How many times the kernel counted a call that was made on purpose, by a process that nobody watches."""


def prefix() -> list[str]:
    """Return the command under which a program has a network of its own; none where that is not to be had."""
    for command in ALONE:
        try:
            if subprocess.run([*command, "true"], capture_output=True, timeout=20, check=False).returncode == 0:
                return command
        except OSError:
            continue
    return []


def loopback_up() -> None:
    """Have 127.0.0.1 answer in a new network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))


def unreachable() -> int:
    """Return how many packets had nowhere to go, as the kernel counts them for this network."""
    names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:"))
    count = int(dict(zip(names, values, strict=True))["OutNoRoutes"])
    for line in Path("/proc/net/snmp6").read_text().splitlines() if Path("/proc/net/snmp6").exists() else ():
        if line.startswith("Ip6OutNoRoutes"):
            count += int(line.split()[1])
    return count


def run(models: Path, recording: Path, alone: bool) -> Outcome:
    """Run a job with everything that the service does for one, in the current folder."""
    record = Path("calls").absolute()
    os.environ["PYTHONCALLS"] = str(record)
    if alone:
        loopback_up()
    before = unreachable()
    settings = {
        "data_dir": Path("data").absolute(), "api_key": "test-key", "whisper_model": "starter",
        "align_model": "attention", "diarization_model": "starter", "model_dir": models,
    }  # fmt: skip
    server = Server(settings, "test-key", engine=None, log=Path("server.log").absolute(), path=[GUARD])
    server.start()
    try:
        status = server.wait(server.upload(recording), seconds=240)
    finally:
        server.terminate()
    wanted_out = unreachable() - before
    lines = [line.partition(" ") for line in record.read_text().splitlines()]
    calls = [rest for kind, _, rest in lines if kind == "call"]
    processes = [rest for kind, _, rest in lines if kind == "process"]
    if not alone:
        return Outcome(alone, status, calls, processes)
    subprocess.run([sys.executable, "-c", CALL], env=os.environ | {"PYTHONPATH": ""}, capture_output=True, check=False)
    return Outcome(alone, status, calls, processes, wanted_out, unreachable() - before - wanted_out)


if __name__ == "__main__":
    models, recording, alone = sys.argv[1:]
    print(json.dumps(asdict(run(Path(models), Path(recording), alone == "alone"))))
