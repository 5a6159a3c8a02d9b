"""An S3 server on 127.0.0.1, in memory, whose requests can be made to fail."""

from __future__ import annotations

import itertools
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ALL_FAULTS = ("500", "503", "hung up", "done, then 500", "cut")
"""How requests fail: refused in two ways, without an answer, done but not said so, and with half an answer."""
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@dataclass
class S3:
    """The server, with one bucket. It may be told to fail one request in `every`; 0: none."""

    url: str = ""
    bucket: str = "recordings"
    every: int = 0
    faults: tuple[str, ...] = ALL_FAULTS
    failed: int = 0
    """How many have failed."""
    requests: list[str] = field(default_factory=list)
    """Method, path and query of every request, in their order."""
    on_request: Callable[[str], None] = field(default=lambda request: None)
    """Called with each as it comes, before it is answered."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, every: int, *faults: str) -> None:
        """Let one request in `every` fail from now on, in each of these ways by turns."""
        self.every, self.faults, self.failed = every, faults or ALL_FAULTS, 0
        self.requests.clear()

    def mend(self) -> None:
        """Fail nothing any more."""
        self.every, self.failed, self.on_request = 0, 0, lambda request: None
        self.requests.clear()

    def reset(self) -> None:
        """Empty the bucket, and fail nothing any more."""
        self.mend()
        for method, url in (("POST", "moto-api/reset"), ("PUT", self.bucket)):
            httpx2.request(method, f"{self.url}/{url}", headers={"X-Test": "let through"}).raise_for_status()

    def objects(self, prefix: str = "") -> list[str]:
        """Return the names of all objects under a prefix, whatever is to fail."""
        return sorted(re.findall("<Key>(.*?)</Key>", self._ask(f"list-type=2&prefix={prefix}")))

    def unfinished(self) -> int:
        """Return how many uploads in parts have neither been completed nor broken off."""
        return len(re.findall("<UploadId>", self._ask("uploads")))

    def _ask(self, query: str) -> str:
        return httpx2.get(f"{self.url}/{self.bucket}?{query}", headers={"X-Test": "let through"}).text

    def due(self, request: str) -> str | None:
        """Return how a request is to fail; None if it is not to."""
        with self.lock:
            self.requests.append(request)
            if not self.every or len(self.requests) % self.every:
                return None
            self.failed += 1
            return self.faults[self.failed % len(self.faults)]


@contextmanager
def serving() -> Iterator[S3]:
    """Run a server."""
    s3, really = S3(), DomainDispatcherApplication(create_backend_app)

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_X_TEST"):
            return really(environ, start)
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        s3.on_request(request)
        fault = s3.due(request)
        if fault is None:
            return really(environ, start)
        if fault == "hung up":
            return hang_up(environ)
        if fault in ("500", "503"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        else:
            status, headers, body = answered(environ)
            if fault == "cut" and len(body) > 1:
                start(status, headers)
                return itertools.chain([body[: len(body) // 2]], cut(environ))
        start(f"{fault if fault in ('500', '503') else '500'} Out of order", [("Content-Length", "0")])
        return [b""]

    def answered(environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        """Have a request done, and return its answer."""
        said: list[Any] = []
        body = b"".join(really(environ, lambda status, headers, error=None: said.extend((status, headers))))
        return said[0], said[1], body

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    server.log = lambda *args: None  # type: ignore[method-assign]  # what it says of connections that a test cuts
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    s3.url = f"http://127.0.0.1:{server.port}"
    try:
        yield s3
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hang_up(environ: dict[str, Any]) -> list[bytes]:
    """Close the connection of a request without an answer."""
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionError("the test hangs up")


def cut(environ: dict[str, Any]) -> Iterator[bytes]:
    """Close the connection in the middle of an answer."""
    yield from hang_up(environ)
