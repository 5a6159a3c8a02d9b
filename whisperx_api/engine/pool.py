"""Which models stay on the device between stages."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

logger = logging.getLogger(__name__)

Model = TypeVar("Model")

HEADROOM = 1.5
"""A model needs its weights' size times this while it loads and works."""
RESERVE = 1024**3
"""Bytes that must stay free besides, for batches."""


class Memory(Protocol):
    """What the pool asks of `engine.memory.DeviceMemory`."""

    def free(self) -> int: ...

    def used(self) -> int: ...

    def release(self) -> None: ...


class ModelPool:
    """Loads models by name and keeps them, or does not, as `residency` says.

    `release` keeps none, `keep` keeps all, `auto` keeps what fits: before a model is loaded, the least recently used
    ones go until the device's free memory has room for it.
    """

    def __init__(
        self,
        residency: str,
        memory: Memory,
        on_change: Callable[[tuple[str, ...], int], None],
        on_load: Callable[[str], None],
    ) -> None:
        """`on_change` hears the names of the models held and the memory in use, after each load and release;
        `on_load` the name of a model before it is loaded."""
        self._residency = residency
        self._memory = memory
        self._on_change = on_change
        self._on_load = on_load
        self._held: OrderedDict[str, object] = OrderedDict()

    def get(self, name: str, load: Callable[[], Model], weights: int) -> Model:
        """Return the model `name`, loaded with `load` unless it is held; `weights` is the size of its files in bytes.

        The model is the caller's until `settle`.
        """
        if name not in self._held:
            self._make_room(round(weights * HEADROOM) + RESERVE)
            self._on_load(name)
            self._held[name] = load()
            self._said("loaded", name)
        self._held.move_to_end(name)
        return cast("Model", self._held[name])  # a name always comes with the same loader

    def settle(self) -> None:
        """Let go what is not to stay. To be called when the stage has returned: its references are gone by then."""
        if self._residency == "release":
            for name in tuple(self._held):
                self.release(name)

    def release(self, name: str) -> None:
        """Let a model go and give its memory back."""
        del self._held[name]
        self._memory.release()
        self._said("released", name)

    def _make_room(self, needed: int) -> None:
        while self._residency == "auto" and self._held and self._memory.free() < needed:
            self.release(next(iter(self._held)))

    def _said(self, what: str, name: str) -> None:
        used = self._memory.used()
        logger.info("%s %s; memory in use: %.0f MB", what, name, used / 1e6)
        self._on_change(tuple(self._held), used)
