"""Keeps a server's key ring as the database has it, and writes down when keys were used: both beside its requests.

So no request waits for the database to be let in, and a wrong key costs it nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from whisperx_api.jobs.key_store import KeyStore
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.keys import KeyRing

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 2.0
"""How often the keys are read: so late, at most, a server knows that one was made or revoked."""
NOTE_SECONDS = 60.0
"""How often uses are written down."""


class KeyWatch:
    """Refreshes one ring. Reading and writing are errands apart: where the database is busy a write may take long."""

    def __init__(self, store: KeyStore, ring: KeyRing) -> None:
        self._store = store
        self._ring = ring
        self._uses: dict[str, datetime] = {}
        """Those that are not written down."""
        self._errands: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to refresh."""
        self._errands = [
            asyncio.create_task(_repeat(self._refresh, REFRESH_SECONDS)),
            asyncio.create_task(_repeat(self._note, NOTE_SECONDS)),
        ]

    async def stop(self) -> None:
        """Stop, with the last uses written down where the database takes them."""
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)
        try:
            await self._note()
        except StoreUnavailable as error:
            logger.warning("%s When keys were last used is not on record.", error)

    async def _refresh(self) -> None:
        self._ring.replace(await self._store.known())

    async def _note(self) -> None:
        self._uses |= self._ring.take_uses()
        await self._store.used(self._uses)
        self._uses = {}


async def _repeat(errand: Callable[[], Awaitable[None]], seconds: float) -> None:
    """For ever do an errand every so many seconds. What fails is said once, until it goes again."""
    failing = False
    while True:
        await asyncio.sleep(seconds)
        try:
            await errand()
            failing = False
        except Exception as error:
            if not failing:
                known = isinstance(error, StoreUnavailable)
                logger.warning("Keys stay as they are known for now: %s", error, exc_info=not known)
            failing = True
