"""Who computes on a device when: a stage of each kind at once, or one stage that has to be alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from whisperx_api.engine.protocol import Stage

MODELS = "models"
"""The lane of every stage that needs a model, where models may not be on the device together."""


@dataclass(eq=False)
class _Turn:
    lane: str
    alone: bool
    rank: tuple[int, int]
    begins: asyncio.Future[None]


class Turns:
    """Gives turns by rank, and among equals in the order in which they are asked for."""

    def __init__(self, one_at_a_time: bool = False) -> None:
        """`one_at_a_time`: no two stages that need a model run at once. Words are given speakers at any time."""
        self._one_at_a_time = one_at_a_time
        self._running: list[_Turn] = []
        self._waiting: list[_Turn] = []

    @property
    def busy(self) -> bool:
        """Whether anybody has a turn."""
        return bool(self._running)

    @asynccontextmanager
    async def take(self, stage: Stage, alone: bool = False, rank: tuple[int, int] = (0, 0)) -> AsyncIterator[None]:
        """Wait for a turn, and hold it; lower ranks go first.

        `alone`: with no other stage in work; whoever has a higher rank, or comes later, waits for it.
        """
        lane = MODELS if self._one_at_a_time and stage is not Stage.ASSIGN else stage.value
        turn = _Turn(lane, alone, rank, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        self._waiting.sort(key=lambda waiting: waiting.rank)
        self._admit()
        try:
            await turn.begins
            yield
        finally:
            (self._running if turn in self._running else self._waiting).remove(turn)
            self._admit()

    def _admit(self) -> None:
        for turn in tuple(self._waiting):
            if self._fits(turn) and not turn.begins.done():
                self._waiting.remove(turn)
                self._running.append(turn)
                turn.begins.set_result(None)
            elif turn.alone:
                break

    def _fits(self, turn: _Turn) -> bool:
        if turn.alone:
            return not self._running
        return not any(other.alone or other.lane == turn.lane for other in self._running)
