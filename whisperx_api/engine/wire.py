"""The engine's end of the socket to the server: whole messages, blocking reads, sends from any thread."""

from __future__ import annotations

import socket
import threading

from whisperx_api.engine.protocol import HEADER, FromEngine, frame, from_engine


class Wire:
    """The engine's end of the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = sock.makefile("rwb")
        self._lock = threading.Lock()

    def read(self) -> bytes | None:
        """Return the next message, None when the server has hung up."""
        header = self._file.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        (length,) = HEADER.unpack(header)
        body = self._file.read(length)
        return body if len(body) == length else None

    def send(self, message: FromEngine) -> None:
        """Send a message, from any thread."""
        with self._lock:
            self._file.write(frame(from_engine.dump_json(message)))
            self._file.flush()
