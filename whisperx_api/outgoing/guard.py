"""Checks where a URL leads before it is called: nobody is to reach the operator's own network through the service."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

from anyio import fail_after

from whisperx_api.outgoing.addresses import HOST, Allowed

if TYPE_CHECKING:
    import httpx

LONGEST_URL = 2048
RESOLVE_SECONDS = 10.0
"""Longest time that a name may take to be resolved."""
RESOLVERS = 16
"""Names resolved at once. These threads are their own: a slow name server must not hold up what is done on disk."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a host. Raises `OSError` where it has none."""


class Refused(ValueError):
    """The URL is one that the service does not call. The message goes on from its name: "must …"."""


class Unresolved(OSError):
    """The host has no address now."""


class SystemResolver:
    """Resolves names as the machine does, off the event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVERS, "resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host. Raises `OSError`."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(entry[4][0]) for entry in found]

    def close(self) -> None:
        """Let the threads go; what is being resolved is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Guard:
    """Knows which URLs may be called, and at which addresses."""

    def __init__(self, allowed: Allowed, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve

    def read(self, text: str) -> httpx.URL:
        """Return a URL that is not plainly one to refuse. Raises `Refused`."""
        import httpx  # slow to import, and most servers call nobody

        if len(text) > LONGEST_URL:
            raise Refused(f"must have at most {LONGEST_URL} characters")
        try:
            url = httpx.URL(text)
            _ = url.host
        except (httpx.InvalidURL, UnicodeError):  # or a host in punycode that stands for no name
            raise _no_url() from None
        self._check(url)
        return url

    async def addresses(self, url: httpx.URL) -> list[str]:
        """Return the addresses to connect to, all of them checked. Raises `Refused` and `Unresolved`.

        One address that is refused refuses them all. What is connected to must be one of these: asked again, a name
        server may give others.
        """
        self._check(url)
        host = url.raw_host.decode("ascii")
        port = url.port or (443 if url.scheme == "https" else 80)
        if _literal(url.host):
            found = [url.host]
        else:
            try:
                with fail_after(RESOLVE_SECONDS):
                    found = list(dict.fromkeys(await self._resolve(host, port)))
            except (OSError, UnicodeError, TimeoutError) as error:
                raise Unresolved(f"the host {host} has no address") from error
            if not found:
                raise Unresolved(f"the host {host} has no address")
        if not self._may_call(host, found):
            raise _elsewhere()
        return found

    async def look(self, text: str) -> httpx.URL:
        """Return a URL that may be called as far as can be told now: its host may have no address yet.

        Raises `Refused`.
        """
        url = await asyncio.to_thread(self.read, text)
        with suppress(Unresolved):  # it is looked up again when it is called
            await self.addresses(url)
        return url

    def _check(self, url: httpx.URL) -> None:
        """Raise `Refused` for what can be told without asking a name server."""
        port = 80 if url.port is None else url.port
        if url.scheme not in ("http", "https") or not _can_be_host(url) or not 0 < port < 65536:
            raise _no_url()
        if url.userinfo:
            raise Refused("must have no user name and password in it")
        if _literal(url.host) and not self._may_call(url.host, [url.host]):
            raise _elsewhere()

    def _may_call(self, host: str, addresses: list[str]) -> bool:
        return self._allowed.host(host) or all(self._allowed.address(address) for address in addresses)


def _can_be_host(url: httpx.URL) -> bool:
    """Whether the host is written as an address or as a name can be."""
    return _literal(url.host) or HOST.fullmatch(url.raw_host.decode("ascii").lower().rstrip(".")) is not None


def _literal(host: str) -> bool:
    """Whether the host is written as an address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _no_url() -> Refused:
    return Refused("must be a URL like https://example.org/path, with http or https")


def _elsewhere() -> Refused:
    return Refused(
        "must not lead to a private, local or reserved address, unless the operator of this server allows it "
        "(OUTGOING_ALLOW)"
    )
