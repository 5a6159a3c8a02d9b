"""Links to a recording that need no key, for a while: a browser's player sends no header of ours along.

A link is signed (HMAC-SHA256, RFC 2104) with a secret that all servers on one database share, so each of them knows the
links of the others, also after a restart.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone

LIFE_SECONDS = 3600
NAME = "links"
"""Name of the secret on record."""


@dataclass(frozen=True)
class Link:
    """What a URL needs in its query: until when it leads anywhere, in seconds since 1970, and the signature."""

    expires: int
    signature: str

    @property
    def expires_at(self) -> datetime:
        """Until when it leads anywhere."""
        return datetime.fromtimestamp(self.expires, timezone.utc)


class Links:
    """Signs links and knows its own. `secret` gives what is on record under a name, making it where it is not."""

    def __init__(self, secret: Callable[[str], Awaitable[bytes]], clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock
        self._known: bytes | None = None

    async def sign(self, task_id: str) -> Link:
        """Return a link to the recording of a task. Raises what `secret` raises."""
        expires = int(self._clock()) + LIFE_SECONDS
        return Link(expires, await self._signature(task_id, expires))

    async def good(self, task_id: str, link: Link) -> bool:
        """Return whether a link is one of ours, to this task, and not over. Raises what `secret` raises."""
        right = await self._signature(task_id, link.expires)
        return hmac.compare_digest(right.encode(), link.signature.encode()) and self._clock() < link.expires

    async def _signature(self, task_id: str, expires: int) -> str:
        if self._known is None:
            self._known = await self._secret(NAME)
        signed = hmac.digest(self._known, f"audio\n{task_id}\n{expires}".encode(), hashlib.sha256)
        return urlsafe_b64encode(signed).rstrip(b"=").decode()
