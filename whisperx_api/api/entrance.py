"""What every request goes through first and every answer last: its id, the log's context, headers, what is observed.

Pure ASGI, and in one pass: streams are not buffered, and whoever waits for a disconnect hears of it. It is outside of
everything else, so that the answer to an error nobody foresaw goes through it too.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperx_api import log
from whisperx_api.happenings import Observer, RequestBegan, RequestEnded

logger = logging.getLogger(__name__)

SANE_ID = re.compile(rb"[A-Za-z0-9._:+=/@-]{1,128}")
"""What a client may name its request: nothing that could be taken for more than that in a log or a header."""
HUNG_UP = 499
"""Counted as the status where the caller has gone before there was one, as nginx does."""
NO_ROUTE = "none"
"""Route of what no endpoint answers: unknown paths, files of the documents, CORS' own requests."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
"""Any other method. Names that strangers make up are no labels."""

_ROUTED = "routed"
"""Where a request's state holds the scope in which its route is found."""

FRAMES = "frame-ancestors 'none'; base-uri 'none'"
NOT_A_PAGE = f"default-src 'none'; {FRAMES}".encode()
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    f"media-src 'self' blob:; connect-src 'self'; form-action 'self'; {FRAMES}"
).encode()
"""For HTML that says nothing of its own: everything comes from here, and no script stands in the page itself."""
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
PRIVATE = ("/api/", "/v1", "/health", "/metrics")
"""Routes whose answers are for their caller alone: no cache is to keep them."""

EXPOSED = (
    "Location", "X-Request-ID", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
    "Content-Disposition", "Content-Range", "x-should-retry",
)  # fmt: skip
"""Headers that a page of another origin may read."""


def install(app: FastAPI, observer: Observer, origins: Sequence[str]) -> None:
    """Have every request to `app` come in through here; pages of `origins`, or of all for `*`, may send some too."""
    app.user_middleware.append(Middleware(Innermost))
    inner = app.build_middleware_stack

    def outer() -> ASGIApp:
        stack = inner()
        if origins:  # keys come in headers and never as cookies, so any header may be sent and no credentials are
            stack = CORSMiddleware(
                stack, allow_origins=origins, allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
                allow_headers=("*",), expose_headers=EXPOSED,
            )  # fmt: skip
        return Entrance(stack, observer)

    app.build_middleware_stack = outer


class Innermost:
    """Shows the entrance the scope in which the route is found: what lies between may have made copies of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"][_ROUTED] = scope
        await self._app(scope, receive, send)


class Entrance:
    """Gives a request its id, notes it for the log, puts headers on its answer, and says when it began and ended."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = time.perf_counter()
        given: dict[bytes, bytes] = dict(scope["headers"])
        named = given.get(b"x-request-id", b"")
        request_id = named if SANE_ID.fullmatch(named) else secrets.token_hex(16).encode()
        method = scope["method"] if scope["method"] in METHODS else OTHER
        parent = given.get(b"traceparent")
        state = scope.setdefault("state", {})
        # For good: uvicorn's own lines about this request, after its end, are of the same task.
        log.note(request_id=request_id.decode())
        self._observer(RequestBegan(method, request_id.decode(), parent.decode("latin-1") if parent else None))
        status = HUNG_UP

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                message = {**message, "headers": headers + _added(headers, request_id, _route(state))}
            await send(message)

        try:
            await self._app(scope, receive, tell)
        finally:
            seconds = time.perf_counter() - began
            route = _route(state)
            state.pop(_ROUTED, None)  # a scope that holds itself would stay until the garbage collector comes
            self._observer(RequestEnded(method, route, status, seconds))
            logger.debug("%s %s: %d after %.1f ms", method, route, status, 1000 * seconds)


def _route(state: Mapping[str, Any]) -> str:
    """Return the template of the path that a request is for, once its route is found."""
    return getattr(state.get(_ROUTED, {}).get("route"), "path", NO_ROUTE)


def _added(headers: list[tuple[bytes, bytes]], request_id: bytes, route: str) -> list[tuple[bytes, bytes]]:
    """Return what an answer's headers lack."""
    there = {name.lower(): value for name, value in headers}
    added = [(b"x-request-id", request_id), *(header for header in SECURITY if header[0] not in there)]
    if b"content-security-policy" not in there:
        is_page = there.get(b"content-type", b"").startswith(b"text/html")
        added.append((b"content-security-policy", PAGE if is_page else NOT_A_PAGE))
    if b"cache-control" not in there and route.startswith(PRIVATE):
        added.append((b"cache-control", b"no-store"))
    return added
