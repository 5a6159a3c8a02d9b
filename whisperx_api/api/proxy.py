"""Behind a reverse proxy: the path that it serves under (`ROOT_PATH`), and whom it speaks for (`TRUSTED_PROXIES`)."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from whisperx_api.proxies import Proxies

SCHEMES = ("http", "https")


class RootPath:
    """Gives every request the root path, in the form of the ASGI specification: `path` begins with `root_path`.

    Whether the proxy strips the path off or leaves it on is the same.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope.get("root_path"):
            path = scope["path"]
            inside = path == self._root_path or path.startswith(self._root_path + "/")
            scope = {**scope, "root_path": self._root_path, "path": path if inside else self._root_path + path}
        await self._app(scope, receive, send)


class TrustedProxies:
    """Gives every request that comes through a trusted proxy the address of its client, and the scheme it came by."""

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("client") and self._proxies.trusts(scope["client"][0]):
            headers = Headers(scope=scope)
            client = self._proxies.client(scope["client"][0], headers.getlist("x-forwarded-for"))
            scheme = headers.get("x-forwarded-proto", "").strip().lower()
            scope = {**scope, "client": (client, 0), "scheme": scheme if scheme in SCHEMES else scope["scheme"]}
        await self._app(scope, receive, send)
