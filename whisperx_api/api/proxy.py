"""Serves under a path of a reverse proxy (`ROOT_PATH`), whether the proxy strips the path off or leaves it on."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """Gives every request the root path, in the form of the ASGI specification: `path` begins with `root_path`."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope.get("root_path"):
            path = scope["path"]
            inside = path == self._root_path or path.startswith(self._root_path + "/")
            scope = {**scope, "root_path": self._root_path, "path": path if inside else self._root_path + path}
        await self._app(scope, receive, send)
