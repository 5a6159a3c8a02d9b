"""Answers about tasks that have ended, from memory: what was read stays true as long as nothing is written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from weakref import WeakValueDictionary

from whisperx_api.jobs.sessions import Changes

ROOM = 8 * 1024 * 1024
"""Bytes that all answers may have."""
LARGEST = 256 * 1024
"""Bytes of the largest answer that is kept."""


@dataclass(frozen=True)
class Poll:
    """Whose poll it is, and for what: two that are equal get the same answer."""

    owner: str
    task_id: str
    with_result: bool


class Remembered:
    """Keeps answers until there is a change of any task or webhook. Then all are dropped: each is cheap to make again.

    It is for one server that alone writes to its database; `changes` counts what that one writes.
    """

    def __init__(self, changes: Changes, room: int = ROOM, largest: int = LARGEST) -> None:
        self._changes = changes
        self._room = room
        self._largest = largest
        self._answers: dict[Poll, bytes] = {}
        self._size = 0
        self._since = changes.count
        self._turns: WeakValueDictionary[Poll, asyncio.Lock] = WeakValueDictionary()

    @property
    def mark(self) -> int:
        """What to take before an answer's data are read, and to hand in with the answer."""
        return self._changes.count

    def turn(self, poll: Poll) -> asyncio.Lock:
        """Return what is held while an answer is made, so that of many who ask at once one reads."""
        return self._turns.setdefault(poll, asyncio.Lock())

    def get(self, poll: Poll) -> bytes | None:
        """Return the answer to a poll, or None."""
        self._drop_what_may_be_old()
        return self._answers.get(poll)

    def keep(self, poll: Poll, answer: bytes, mark: int) -> None:
        """Keep an answer, unless something changed while its data were read."""
        self._drop_what_may_be_old()
        if mark != self._since or len(answer) > self._largest or poll in self._answers:
            return
        self._size += len(answer)
        while self._size > self._room:
            oldest = next(iter(self._answers))
            self._size -= len(self._answers.pop(oldest))
        self._answers[poll] = answer

    def _drop_what_may_be_old(self) -> None:
        if self._since != self._changes.count:
            self._since, self._size = self._changes.count, 0
            self._answers.clear()
