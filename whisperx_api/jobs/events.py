"""What is told about a job while it runs, to whoever listens."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from whisperx_api.transcript import Segment

Heard = Mapping[int | None, float]
"""Up to where, in seconds, the text of each channel was told; of a recording that is taken as one, that of None."""
NOTHING: Heard = MappingProxyType({})


def further(one: Heard, other: Heard) -> Heard:
    """Return up to where the text was told by either."""
    return {channel: max(one.get(channel, 0.0), other.get(channel, 0.0)) for channel in {**one, **other}}


class EventKind(str, Enum):
    """Names of the events, as they are sent."""

    PROGRESS = "progress"
    SEGMENT = "segment"
    ENDED = "ended"


@dataclass(frozen=True)
class Event:
    """Something has changed: look at the job, or take the segment."""

    kind: EventKind
    segment: Segment | None = None


class Events:
    """Passes events from the runs of jobs to listeners in the same process."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[asyncio.Queue[Event]]] = defaultdict(set)
        self._relays: dict[str, Collection[str]] = {}

    def publish(self, task_id: str, event: Event) -> None:
        """Tell whoever listens to the task, or to one that follows it.

        Of a slow listener's events only segments pile up: any other says no more than to look at the job, which
        whatever is still unread makes it do as well.
        """
        for told in (task_id, *self._relays.get(task_id, ())):
            for queue in self._listeners.get(told, ()):
                if event.segment is not None or queue.empty():
                    queue.put_nowait(event)

    def publish_to_all(self, event: Event) -> None:
        """Tell whoever listens to any task."""
        for task_id in tuple(self._listeners):
            self.publish(task_id, event)

    async def flush(self) -> None:
        """Wait until what was published has reached who is to pass it on: here everybody has heard it at once."""

    def relay(self, task_id: str, followers: Collection[str]) -> None:
        """From now on tell what is told of a task to those who listen to its followers too, and to no others."""
        if followers:
            self._relays[task_id] = followers
        else:
            self._relays.pop(task_id, None)

    @contextmanager
    def listen(self, task_id: str) -> Iterator[asyncio.Queue[Event]]:
        """Give a queue of the task's events from now on."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._listeners[task_id].add(queue)
        try:
            yield queue
        finally:
            self._listeners[task_id].discard(queue)
            if not self._listeners[task_id]:
                del self._listeners[task_id]
