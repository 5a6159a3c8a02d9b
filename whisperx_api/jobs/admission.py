"""How many jobs may wait, in all and of each owner. They are counted in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from whisperx_api.jobs.queue.embedded import EmbeddedQueue
from whisperx_api.jobs.sharing import Sharing


class QueueFull(RuntimeError):
    """As many jobs wait as may; `own`: as many of this owner. The message is a sentence."""

    def __init__(self, sentence: str, own: bool) -> None:
        super().__init__(sentence)
        self.own = own


@dataclass(frozen=True)
class QueueLimits:
    """Most jobs that may wait: `most` in all, `most_of_one` of one owner."""

    most: int = 10_000
    most_of_one: int = 1000


def too_many(waiting: int, own: int, limits: QueueLimits) -> None:
    """Raise `QueueFull` where so many jobs wait, of them so many `own`, that no more may."""
    if waiting >= limits.most:
        raise QueueFull(f"The queue is full, {waiting} tasks wait (MAX_QUEUE): try again later.", own=False)
    if own >= limits.most_of_one:
        raise QueueFull(
            f"This key has {own} tasks waiting, as many as it may (MAX_QUEUE_PER_KEY): try again when some are done.",
            own=True,
        )


class Admission:
    """Lets jobs into the queue as long as there is room.

    Jobs that follow another wait too: each has its recording on the disk and its row in the database.
    """

    def __init__(self, queue: EmbeddedQueue, sharing: Sharing, limits: QueueLimits) -> None:
        self._queue = queue
        self._sharing = sharing
        self._limits = limits
        self._coming: Counter[str] = Counter()

    def check(self, owner: str) -> None:
        """Raise `QueueFull` where one more job of this owner would be too many."""
        waiting = len(self._queue) + self._sharing.following + self._coming.total()
        own = self._queue.of(owner) + self._sharing.following_of(owner) + self._coming[owner]
        too_many(waiting, own, self._limits)

    @contextmanager
    def place(self, owner: str) -> Iterator[None]:
        """Hold a place for a job until it waits, so that jobs that come at once stay within the limits.

        Raises `QueueFull`.
        """
        self.check(owner)
        self._coming[owner] += 1
        try:
            yield
        finally:
            self._coming[owner] -= 1
            if not self._coming[owner]:
                del self._coming[owner]
