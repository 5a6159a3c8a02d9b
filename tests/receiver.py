"""A real HTTP server on 127.0.0.1 that others call: it answers as it is told and keeps what it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int


@dataclass
class Receiver:
    """`statuses` are given out one after the other, `default` when they are used up."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    default: int = 200
    content: bytes = b""
    """What a GET is answered, and a POST too."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with it; an empty one takes away what is sent otherwise."""
    gate: threading.Event | None = None
    """Requests wait for it before they are answered."""
    requests: list[Received] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self, count: int, seconds: float = 20.0) -> list[Received]:
        """Wait until there were so many requests, and return them."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= count, seconds), self.requests
            return list(self.requests)

    def receive(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        with self.changed:
            status = self.statuses.pop(0) if self.statuses else self.default
            self.requests.append(Received(method, path, headers, body, status))
            self.changed.notify_all()
            return status


@contextmanager
def receiving(receiver: Receiver, wrap: Callable[[Any], Any] | None = None) -> Iterator[Receiver]:
    """Serve a receiver; `wrap` makes something else of its socket, such as one that speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def do_GET(self) -> None:
            self.answer(b"")

        def answer(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.receive(self.command, self.path, headers, body)
            if receiver.gate is not None:
                receiver.gate.wait(60)
            try:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(receiver.content)), **receiver.headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(receiver.content)
            except OSError:  # who asked has hung up
                pass

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None
    receiver.port = server.server_address[1]
    if wrap is not None:
        server.socket = wrap(server.socket)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        if receiver.gate is not None:
            receiver.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def eventually(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Return what `look` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
    return found
