"""Which models stay on the device between stages."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

logger = logging.getLogger(__name__)

Model = TypeVar("Model")

HEADROOM = 1.5
"""A model needs its weights' size times this while it loads and works."""
RESERVE = 1024**3
"""Bytes that must stay free besides, for batches."""
LOOK_SECONDS = 0.5
"""How often a stage that waits for room, or for another to load its model, looks whether it is cancelled."""


class Memory(Protocol):
    """What the pool asks of `engine.memory.DeviceMemory`."""

    def free(self) -> int: ...

    def used(self) -> int: ...

    def release(self) -> None: ...


class ModelPool:
    """Loads models by name and keeps them, or does not, as `residency` says. Stages in several threads may share it.

    `release` keeps none, `keep` keeps all, `auto` keeps what fits: before a model is loaded, the least recently used
    ones that no stage needs go until the device's free memory has room for it. Where that is not enough, the model
    waits until the stages at work are done with theirs. While one loads, which may take a download, others load too.
    """

    def __init__(
        self,
        residency: str,
        memory: Memory,
        on_change: Callable[[tuple[str, ...], int], None],
        on_load: Callable[[str], None],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` hears the names of the models held and the memory in use, after each load and release;
        `on_load` the name of a model before it is loaded; `on_wait` is called now and then by who waits, and may raise
        to give that up."""
        self._residency = residency
        self._memory = memory
        self._on_change = on_change
        self._on_load = on_load
        self._on_wait = on_wait
        self._held: OrderedDict[str, object] = OrderedDict()
        self._loading: dict[str, int] = {}
        """Bytes that the models which are being loaded will take, some of which they have already."""
        self._users: dict[str, set[int]] = {}
        self._leaving: set[str] = set()
        """Models that go when no stage needs them any more, whatever the residency."""
        self._changed = threading.Condition()

    def get(self, name: str, load: Callable[[], Model], weights: int) -> Model:
        """Return the model `name`, loaded with `load` unless it is held; `weights` is the size of its files in bytes.

        The model is this thread's until it calls `settle`.
        """
        needed = round(weights * HEADROOM) + RESERVE
        with self._changed:
            self._wait_for_room(name, needed)
            if name in self._held:
                return self._taken(name)
            self._loading[name] = needed
        try:
            self._on_load(name)
            model = load()
            with self._changed:
                self._held[name] = model
                self._said("loaded", name)
                return self._taken(name)
        finally:
            with self._changed:
                del self._loading[name]
                self._changed.notify_all()

    def _taken(self, name: str) -> Any:
        """Return a model that is held, as this thread's; a name always comes with the same loader."""
        self._held.move_to_end(name)
        self._users.setdefault(name, set()).add(threading.get_ident())
        return self._held[name]

    def measure(self) -> None:
        """Tell the memory that is in use now: what stages compute with takes some besides the models."""
        with self._changed:
            self._on_change(tuple(self._held), self._memory.used())

    def settle(self) -> None:
        """Let go what is not to stay. To be called when a stage has returned: its references are gone by then."""
        with self._changed:
            for users in self._users.values():
                users.discard(threading.get_ident())
            if self._residency == "release":
                self.release_unused()
            for name in self._leaving.intersection(self._unused()):
                self._release(name)
            self._changed.notify_all()

    def unload(self, names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Let models go; return those that are gone, and those that go when the stages that need them are done."""
        with self._changed:
            held, unused = [name for name in names if name in self._held], self._unused()
            self._leaving.update(held)
            for name in unused:
                if name in held:
                    self._release(name)
            self._changed.notify_all()
            gone = tuple(name for name in held if name not in self._held)
            return gone, tuple(name for name in held if name in self._held)

    def release_unused(self) -> bool:
        """Let every model go that no stage needs now; return whether there was any."""
        with self._changed:
            unused = self._unused()
            for name in unused:
                self._release(name)
            return bool(unused)

    def _release(self, name: str) -> None:
        """Let a model go and give its memory back."""
        del self._held[name]
        self._leaving.discard(name)
        self._memory.release()
        self._said("released", name)

    def _unused(self) -> list[str]:
        """Return the models that no stage needs now, the least recently used first."""
        return [name for name in self._held if not self._users.get(name)]

    def _wait_for_room(self, name: str, needed: int) -> None:
        """Have `needed` bytes free, as far as that can be had, or `name` loaded by another stage meanwhile."""
        while name not in self._held:
            if name not in self._loading and self._has_room(needed):
                return
            self._changed.wait(LOOK_SECONDS)
            self._on_wait()

    def _has_room(self, needed: int) -> bool:
        """Return whether there is all the room that can be had without waiting; unused models go for it."""
        if self._residency != "auto":
            return True
        needed += sum(self._loading.values())
        if self._memory.free() < needed:
            self._memory.release()  # what libraries keep for themselves of what no model needs any more
        while self._memory.free() < needed:
            if not (unused := self._unused()):
                return not self._others_at_work() and not self._loading
            self._release(unused[0])
        return True

    def _others_at_work(self) -> bool:
        """Whether others hold models. Who holds one too does not wait, for they may wait in turn."""
        users = set().union(*self._users.values())
        return bool(users) and threading.get_ident() not in users

    def _said(self, what: str, name: str) -> None:
        used = self._memory.used()
        logger.info("%s %s; memory in use: %.0f MB", what, name, used / 1e6)
        self._on_change(tuple(self._held), used)
