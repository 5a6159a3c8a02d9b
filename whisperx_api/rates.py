"""How often a key may submit: rates as the settings write them, and the counting, in memory or in Redis.

The library `limits` takes a third of a second to import, so it is imported only where rates are set.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.strategies import RateLimiter

logger = logging.getLogger(__name__)

MEMORY = "memory://"
REDIS_SECONDS = 1.0
"""How long Redis may take to answer."""
BACKWARDS = 60.0
"""Seconds by which the clock may be set back without a word: for no longer then a rate forbids more than it should."""
RETRY_SECONDS = 10.0
"""How long a Redis that did not answer is not asked again."""


def parse_rate(text: str) -> RateLimitItem:
    """Read `10/minute`, `10 per hour` or `5/30 seconds`. Raises `ValueError` that says what a rate must be."""
    from limits import parse_many

    try:
        (rate,) = parse_many(text)
    except ValueError:
        rate = None
    if rate is None or not rate.amount:
        raise ValueError(f"must list rates like 10/minute or 50/hour; '{text}' is none")
    return rate


@dataclass(frozen=True)
class Standing:
    """How a key stands after a submission: of its rates, the one that is tightest for it.

    `limit` submissions in its window, of which `remaining` are left; the next one comes free in `reset` seconds.
    """

    allowed: bool
    rate: str
    limit: int
    remaining: int
    reset: int


class Limiter:
    """Counts submissions over windows that move: in no stretch of a rate's length are there more than it allows.

    Counts in Redis are shared by every server that uses it. While it can't be reached, each server counts for itself.
    """

    def __init__(self, rates: Sequence[str], storage: str = MEMORY) -> None:
        """`rates` are not empty. To be made on the event loop that counts."""
        from limits.aio.storage import MemoryStorage
        from limits.aio.strategies import MovingWindowRateLimiter

        self._rates = [parse_rate(text) for text in rates]
        self._counted = MemoryStorage()
        self._own = MovingWindowRateLimiter(self._counted)
        self._clock = _ahead()
        self._redis: Any = None
        self._shared: RateLimiter | None = None
        self._ask_again = 0.0
        self._away = False
        if storage != MEMORY:
            self._redis = _redis(storage)
            self._shared = MovingWindowRateLimiter(self._redis)

    async def submit(self, owner: str) -> Standing:
        """Count one submission of `owner` unless a rate forbids it; what is forbidden is not counted."""
        await self._notice_the_clock()
        if self._shared is None or time.monotonic() < self._ask_again:
            return await self._count(self._own, owner)
        try:
            standing = await self._count(self._shared, owner)
        except self._redis.base_exceptions as error:
            self._ask_again = time.monotonic() + RETRY_SECONDS
            if not self._away:
                logger.warning("Redis can't be reached (%s): submissions are counted by this server alone", error)
            self._away = True
            return await self._count(self._own, owner)
        if self._away:
            logger.info("Redis is back: submissions are counted there again")
        self._away = False
        return standing

    async def _notice_the_clock(self) -> None:
        """Begin to count anew where the clock was set back: what was counted lies in the future, and would last."""
        now = _ahead()
        if now < self._clock - BACKWARDS:
            logger.warning("the clock was set back by %.0f s: submissions are counted anew", self._clock - now)
            await self._counted.reset()
        self._clock = now

    async def redis(self) -> str | None:
        """Return how Redis is, ok or what is wrong with it; None where it is not used."""
        if self._redis is None:
            return None
        return "ok" if await self._redis.check() else "Redis does not answer."

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.bridge.get_connection().aclose()

    async def _count(self, limiter: RateLimiter, owner: str) -> Standing:
        key = ("submissions", owner)
        free = [await limiter.test(rate, *key) for rate in self._rates]
        if all(free):  # each is asked again as it is counted: another server may have taken the last place meanwhile
            free = [await limiter.hit(rate, *key) for rate in self._rates]
        return _tightest([
            Standing(taken, str(rate), rate.amount, stats.remaining, _seconds_until(stats.reset_time))
            for rate, taken in zip(self._rates, free, strict=True)
            for stats in [await limiter.get_window_stats(rate, *key)]
        ])  # fmt: skip


def _tightest(standings: Sequence[Standing]) -> Standing:
    """Return the rate that forbids, of several the one that does so longest; else that with the least left."""
    forbidding = [standing for standing in standings if not standing.allowed]
    if forbidding:
        return max(forbidding, key=lambda standing: standing.reset)
    return min(standings, key=lambda standing: (standing.remaining, -standing.reset))


def _ahead() -> float:
    """Return by how much the clock is ahead of one that nobody sets, in seconds: the same until it is set."""
    return time.time() - time.monotonic()


def _seconds_until(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))


def _redis(url: str) -> Any:
    from limits.aio.storage import RedisStorage

    return RedisStorage(
        f"async+{url}", implementation="redispy", key_prefix="whisperx-api",
        socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS,
    )  # fmt: skip
