"""Whether a storage on other machines can be reached: asked often, looked at every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

AGAIN_SECONDS = 3.0
"""For how long what a look has found is taken to be so."""


class Watched:
    """What a look finds, given to all who ask within a few seconds; there is one look at a time."""

    def __init__(self, look: Callable[[], Awaitable[str | None]]) -> None:
        self._look = look
        self._lock = asyncio.Lock()
        self._found: str | None = None
        self._until = 0.0

    async def __call__(self) -> str | None:
        """Return why the storage can't be used, a sentence; None where it can be."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._found = await self._look()
                self._until = time.monotonic() + AGAIN_SECONDS
            return self._found
