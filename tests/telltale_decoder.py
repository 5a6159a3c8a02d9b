"""The decoder process with something else in place of its look at a file: it tries what it must not, and tells.

What it does is named by the file's content. The answer is that of a look: `{"duration": …}`.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whisperx_api.pipeline import decoder_process
from whisperx_api.transcript import Audio


def tried(act: Callable[[], object]) -> str:
    """Return the name of the error that an act ends with; done if it ends with none."""
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except MemoryError:
        return "MemoryError"
    return "done"


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def fork() -> None:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)


def look(path: Path, separate: bool) -> Any:
    """Try all that a decoder has no business with. The file names a port and a secret file."""
    port, secret = path.read_text().split()
    acts: dict[str, Callable[[], object]] = {
        "connect": lambda: connect(int(port)),
        "socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "read": lambda: Path(secret).read_bytes(),
        "environment of the server": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "write": lambda: path.with_name("written").write_bytes(b"x"),
        "run": lambda: subprocess.run(["/bin/true"], check=True),
        "fork": fork,
        "signal": lambda: os.kill(os.getppid(), 0),
        "memory": lambda: bytearray(decoder_process.ADDRESS_SPACE),
        "files": lambda: [os.dup(0) for _ in range(500)],
    }
    return {
        "acts": {name: tried(act) for name, act in acts.items()},
        "environment": dict(os.environ),
        "umask": os.umask(0o077),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
    }


def overflow(source: Path, target: Path, report: object, longest: float, separate: bool) -> Audio:
    """Write more sound than the process may, as a decoder that counts wrongly would."""
    with target.open("wb") as sink:
        for _ in range(1000):
            sink.write(bytes(65536))
    raise AssertionError("there was no limit")


if __name__ == "__main__":
    decoder_process.probe = look
    decoder_process.decode = overflow
    sys.exit(decoder_process.main(sys.argv[1:]))
