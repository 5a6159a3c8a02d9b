"""Calls to URLs that others name: the guard, and the client that it guards, opened with the first call.

httpx and its certificates take a quarter of the time that the server has to start in; most servers call nobody.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from whisperx_api.outgoing.addresses import Allowed
from whisperx_api.outgoing.guard import Guard, SystemResolver

if TYPE_CHECKING:
    import httpx


class Calls:
    """What the service calls others with."""

    def __init__(self, allowed: Allowed) -> None:
        self._resolver = SystemResolver()
        self.guard = Guard(allowed, self._resolver)
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def client(self) -> httpx.AsyncClient:
        """Return the client. What it raises is said in `outgoing.client`."""
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(_open, self.guard)
            return self._client

    async def aclose(self) -> None:
        """Close the client, and let the resolver go."""
        self._resolver.close()
        if self._client is not None:
            await self._client.aclose()


def _open(guard: Guard) -> httpx.AsyncClient:
    from whisperx_api.outgoing.client import guarded_client, trusted

    return guarded_client(guard, trusted())
