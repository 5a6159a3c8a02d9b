"""Imported by every Python that finds it on its path: writes down whom it would call, and lets it call nobody outside.

`PYTHONCALLS` names the file to write to: variables of such names come as far as the decoder process. Lines are
`process …`, the command of each that was watched, and `call …`.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

RECORD = os.environ.get("PYTHONCALLS", "")
CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOOKING_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
HERE = ("", "localhost", "::1", "0.0.0.0", "::", "None")  # the last is no host: an address to listen on


def is_here(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    return name in HERE or name.startswith("127.")


def note(line: str) -> None:
    descriptor = os.open(RECORD, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (line + "\n").encode())
    os.close(descriptor)


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in CONNECTING and isinstance(address := arguments[1], tuple):
        host = address[0]
    elif event in LOOKING_UP:
        host = arguments[0]
    else:
        return
    if not is_here(host):
        note(f"call {event} {host!r}")
        raise OSError(errno.ENETUNREACH, "nobody outside is called here")


if RECORD:
    note("process " + Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
    sys.addaudithook(watch)
