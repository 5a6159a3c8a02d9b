"""A number of places for what is done at once, of which who comes late gets none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Places:
    """So many, and no queue for them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0
        """How many are in use."""

    @contextmanager
    def take(self) -> Iterator[bool]:
        """Hold a place meanwhile; False where there is none."""
        if self.taken >= self._most:
            yield False
            return
        self.taken += 1
        try:
            yield True
        finally:
            self.taken -= 1
