"""The HTTP client for URLs that others give: it connects to checked addresses only, and follows no redirect."""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from whisperx_api import __version__
from whisperx_api.outgoing.guard import Guard

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 30.0
"""Longest wait for further bytes."""


def trusted() -> ssl.SSLContext:
    """Return a context that trusts the certificate authorities of certifi and those of the machine."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def guarded_client(guard: Guard, context: ssl.SSLContext) -> httpx.AsyncClient:
    """Return a client whose every request goes through `guard`. It raises `Refused`, `Unresolved`, `httpx.HTTPError`.

    No proxy is taken from the environment: it would do the connecting, to wherever it likes. No cookie is kept, for one
    that was set on one caller's behalf would be sent on another's.
    """
    return httpx.AsyncClient(
        transport=GuardedTransport(guard, context),
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(IDLE_SECONDS, connect=CONNECT_SECONDS, pool=None),
        headers={"User-Agent": f"whisperx-api/{__version__}"},
    )


class GuardedTransport(httpx.AsyncBaseTransport):
    """Resolves the host once, checks its addresses, and connects to those very ones.

    Host header, server name and certificate stay the name's. No connection is kept: one that was opened to an address
    for one name must not serve another name.
    """

    def __init__(self, guard: Guard, context: ssl.SSLContext) -> None:
        self._guard = guard
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.raw_host.decode("ascii")
        extensions = {**request.extensions, "sni_hostname": name}
        failure: httpx.TransportError | None = None
        for address in await self._guard.addresses(request.url):
            pinned = httpx.Request(
                request.method, request.url.copy_with(host=address), headers=request.headers, stream=request.stream,
                extensions=extensions,
            )  # fmt: skip
            try:
                return await self._transport.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # nothing was sent: the next address may do
                failure = error
        assert failure is not None
        raise failure

    async def aclose(self) -> None:
        await self._transport.aclose()
