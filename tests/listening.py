"""An application behind the service's own HTTP, in a thread of the test, and clients that speak it badly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.receiver import eventually
from whisperx_api.connections import Patience, protocol

PATIENT = Patience()


@contextmanager
def listening(application: Any, most: int = 100, patience: Patience = PATIENT) -> Iterator[uvicorn.Server]:
    """Serve an ASGI application on a port of its own."""
    config = uvicorn.Config(
        application, host="127.0.0.1", port=0, http=protocol(most, patience), ws="none", log_config=None,
        log_level="warning", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive())
        assert server.started
        yield server
    finally:
        server.should_exit = True
        thread.join(20)


def port_of(server: uvicorn.Server) -> int:
    """Return the port that a server listens on."""
    return server.servers[0].sockets[0].getsockname()[1]


class Raw:
    """One connection, on which anything may be sent."""

    def __init__(self, server: uvicorn.Server, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port_of(server)))

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, data: bytes | str) -> None:
        """Send all of it."""
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def head(self, line: str, **headers: object) -> None:
        """Send a request's head; underscores in the names stand for dashes."""
        named = {"Host": "test", **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.send("\r\n".join([f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]))

    def until(self, mark: bytes) -> bytes:
        """Return what comes up to `mark`, or to the end."""
        found = b""
        while mark not in found and (block := self.socket.recv(1)):
            found += block
        return found

    def rest(self) -> bytes:
        """Return all that comes until the server closes the connection."""
        found = b""
        while block := self.socket.recv(65536):
            found += block
        return found

    def push(self, most: int, seconds: float = 1.0) -> int:
        """Send zeros as long as the server takes them; return how many it took."""
        self.socket.setblocking(False)
        sent, deadline = 0, time.monotonic() + seconds
        try:
            while sent < most and time.monotonic() < deadline:
                try:
                    sent += self.socket.send(bytes(65536))
                except BlockingIOError:
                    time.sleep(0.01)
                except OSError:  # it has closed the connection
                    break
        finally:
            self.socket.settimeout(20)
        return sent
