"""Failed authentications: how many an address may have, counted in memory over a window that moves.

`rates.py` counts submissions with the library `limits`. Here every stranger is counted, whose addresses may be without
number: so the memory has a bound, and nothing is imported that would make the server's start slower.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
MAX_AMOUNT = 1000
MAX_ADDRESSES = 10_000
"""Addresses that are remembered: those that failed longest ago are forgotten first."""
MAX_FAILURES = 200_000
"""Failures that are remembered of all of them; with both bounds reached they take some 10 MB."""


@dataclass(frozen=True)
class FailureRate:
    """At most `amount` failures in any `seconds`."""

    amount: int
    seconds: int

    @classmethod
    def read(cls, text: str) -> FailureRate:
        """Read `20/minute`, `20 per hour` or `5/30 seconds`. Raises `ValueError` that says what it must be."""
        pattern = r"(\d{1,9})\s*(?:/|per)\s*(\d{1,9})?\s*(second|minute|hour|day)s?"
        found = re.fullmatch(pattern, text.strip().lower())
        amount, seconds = (int(found[1]), int(found[2] or 1) * SECONDS[found[3]]) if found else (0, 0)
        if not (1 <= amount <= MAX_AMOUNT and seconds):
            raise ValueError(f"must be a rate of at most {MAX_AMOUNT}, like 20/minute")
        return cls(amount, seconds)


class Failures:
    """Who has failed how often. `now` is a clock that never goes back, in seconds."""

    def __init__(self, rate: FailureRate, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._times: OrderedDict[str, list[float]] = OrderedDict()
        """When each address failed, as far as the window goes; those that failed last are at the end."""
        self._count = 0

    def refused(self, address: str) -> int | None:
        """Return for how many seconds, at least one, an address is refused; None if it is not."""
        if len(self._times.get(address, ())) < self._rate.amount:
            return None
        left = self._times[address][0] + self._rate.seconds - self._now()
        return math.ceil(left) if left > 0 else None

    def add(self, address: str) -> int | None:
        """Count a failure, and return as `refused`."""
        now = self._now()
        before = self._times.pop(address, [])
        times = [*(moment for moment in before if moment > now - self._rate.seconds), now][-self._rate.amount :]
        self._times[address] = times
        self._count += len(times) - len(before)
        while len(self._times) > MAX_ADDRESSES or self._count > MAX_FAILURES:
            _, forgotten = self._times.popitem(last=False)
            self._count -= len(forgotten)
        return self.refused(address)
