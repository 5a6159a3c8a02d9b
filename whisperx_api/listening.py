"""Whether the service can listen where it is told to."""

from __future__ import annotations

import errno
import socket


def port_fault(host: str, port: int) -> str | None:
    """Say why the service can't listen on `host` and `port`, or return None if it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"Port {port} on {host} is taken by another program: stop it, or choose another with PORT or --port."
        if error.errno == errno.EACCES:
            return f"Port {port} needs more rights than this user has: choose one above 1023 with PORT or --port."
        return f"HOST={host} is no address of this machine ({error.strerror or error}): use 127.0.0.1 or 0.0.0.0."
    return None
