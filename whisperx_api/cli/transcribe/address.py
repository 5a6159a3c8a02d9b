"""Which server recordings go to, and with which key."""

from __future__ import annotations

import httpx

from whisperx_api.cli.console import settings_or_end
from whisperx_api.client import address
from whisperx_api.keys import Scope, parse_key
from whisperx_api.settings import Auth

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
PORTS = {"http": 80, "https": 443}
"""Where a URL leads that names no port."""


def url_of(server: str | None) -> str:
    """Return the URL of a server; of the one on this machine where none is named. Raises `ServerUnreachable`."""
    return address.url_of(server or f"http://127.0.0.1:{settings_or_end().port}")


def local_key(server: str) -> str | None:
    """Return a key of the server on this machine, from the settings it shares with us or the file it wrote.

    None for what listens at another port than theirs: that is another program, or leads to another machine.
    """
    url = httpx.URL(server)
    if url.host not in LOCAL_HOSTS:
        return None
    settings = settings_or_end()
    if settings.auth is Auth.OFF or (url.port or PORTS.get(url.scheme)) != settings.port:
        return None
    if settings.api_key:
        return settings.api_key
    for caller, key in map(parse_key, settings.api_keys):
        if Scope.TRANSCRIBE in caller.scopes:
            return key
    try:
        return (settings.data_dir / "api_key").read_text().strip() or None
    except (OSError, UnicodeDecodeError):  # the server's answer says that a key is needed
        return None
