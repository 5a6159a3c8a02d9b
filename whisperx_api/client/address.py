"""A server's URL and the key to it, looked at before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from whisperx_api.client.errors import ServerUnreachable

LAST_PORT = 65_535
HERE: Mapping[str, None] = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
"""httpx's mounts of a client that asks this machine itself, whatever proxy the environment names for others."""
AUTHORITY = re.compile(r"^(\s*(?:[^/?#:@]*://)?)[^/?#]*@")
"""What a URL begins with where a user is named in it."""


def url_of(base_url: str) -> str:
    """Return a server's URL, with http:// where it names no scheme. Raises `ServerUnreachable` for what is none."""
    url = base_url.strip()
    url = url if "://" in url else f"http://{url}"
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _none(base_url, f": {error}") from error
    if read.scheme not in ("http", "https") or not read.host:
        raise _none(base_url, ": it is to begin with http:// or https:// and a host")
    if (read.port or 0) > LAST_PORT:
        raise _none(base_url, f": ports end at {LAST_PORT}")
    return url.rstrip("/")


def shown(url: str) -> str:
    """Return a URL as it may be said: without the user and the password that may stand in it."""
    return AUTHORITY.sub(r"\1", url, count=1)


def headers_of(api_key: str | None) -> dict[str, str]:
    """Return the header that carries a key, without the line end of a file that it was read from.

    Raises `ValueError` for what no header can carry. The message does not show it.
    """
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("The API key has characters in it that no key has, like accents or line ends: copy it anew.")
    return {"X-API-Key": key} if key else {}


def _none(base_url: str, why: str) -> ServerUnreachable:
    return ServerUnreachable(f"{shown(base_url)} is no URL of a server{why}.", passing=False)
