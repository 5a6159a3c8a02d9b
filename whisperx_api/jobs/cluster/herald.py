"""Passes what runs on a worker say at once, which is their text, on to the servers, where who listens is."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

from pydantic import TypeAdapter

from whisperx_api.jobs.cluster.notices import TASKS, Kind, Notice
from whisperx_api.jobs.cluster.store import ClusterStore
from whisperx_api.jobs.events import Event, EventKind, Events
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.transcript import Segment

logger = logging.getLogger(__name__)

MOST_UNTOLD = 1000
"""Segments that wait to be told; with more than that nobody is reached, and what comes is in the result."""
_segment = TypeAdapter(Segment)


class Herald(Events):
    """Events whose listeners are on other hosts. That a job has changed they hear from who puts it on record."""

    def __init__(self, store: ClusterStore) -> None:
        super().__init__()
        self._store = store
        self._untold: asyncio.Queue[Notice] = asyncio.Queue(MOST_UNTOLD)
        self.moved: Callable[[str], None] = lambda task_id: None
        """Called when a run says something new of itself, which is to go on record for others to find."""

    def publish(self, task_id: str, event: Event) -> None:
        """Have a segment be told."""
        if event.kind is EventKind.PROGRESS:
            self.moved(task_id)
        if event.segment is not None and not self._untold.full():
            self._untold.put_nowait(Notice(Kind.SEGMENT, task_id, json.loads(_segment.dump_json(event.segment))))

    async def flush(self) -> None:
        """Wait until all that was published is told, or was tried to be."""
        await self._untold.join()

    async def tell(self) -> None:
        """For ever tell what was published, in its order."""
        while True:
            notice = await self._untold.get()
            try:
                await self._store.say(TASKS, notice)
            except StoreUnavailable as error:
                logger.warning("task %s: a piece of its text is told late, with the result: %s", notice.about, error)
            except Exception:
                logger.exception("task %s: a piece of its text could not be told", notice.about)
            finally:
                self._untold.task_done()


def event_of(notice: Notice) -> Event:
    """Return what those who listen to a task are told by a notice."""
    if notice.kind is Kind.SEGMENT:
        return Event(EventKind.SEGMENT, _segment.validate_python(notice.content))
    return Event(EventKind.PROGRESS)
