"""What the processes of a cluster tell each other at once, by PostgreSQL's LISTEN and NOTIFY.

Nothing rests on a notice: what it says of is on record, and who has heard nothing for a while looks there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from anyio import fail_after
from psycopg import AsyncConnection, Error, sql
from pydantic import TypeAdapter
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from whisperx_api.jobs.alone import share

logger = logging.getLogger(__name__)

TASKS = "whisperx_tasks"
"""The channel on which servers hear of tasks."""
LARGEST = 7000
"""Bytes of a notice that are sent at once: PostgreSQL takes less than 8000."""
LOOK_SECONDS = 10.0
"""How long nothing may be heard until it is looked whether the connection is there."""
ANSWER_SECONDS = 5.0
"""How long it may take to answer then."""
AGAIN_SECONDS = 1.0
"""Pause before it is connected anew."""
MOST_UNFINISHED = 1000
"""Notices in parts of which not all have come: what is left of one whose sender died goes in the end."""

NOTIFY: TextClause = text("SELECT pg_notify(:channel, :payload)")


def channel_of(worker: str) -> str:
    """Return the channel on which a worker hears of the tasks that it runs."""
    return f"whisperx_worker_{worker}"


class Kind(str, Enum):
    """What a notice is about: a task's state or progress, its text, or a model that is to go."""

    TASK = "task"
    SEGMENT = "segment"
    UNLOAD = "unload"
    UNLOADED = "unloaded"


@dataclass(frozen=True)
class Notice:
    """One notice: `about` is a task's id, or that of a request; `content` is JSON."""

    kind: Kind
    about: str
    content: Any = None


_notice = TypeAdapter(Notice)


def payloads(notice: Notice) -> Iterator[str]:
    """Yield what is to be sent of a notice: itself, or its parts."""
    whole = _notice.dump_json(notice, exclude_none=True).decode()
    if len(whole.encode()) <= LARGEST:
        yield whole
        return
    ascii_only = json.dumps(json.loads(whole))
    size = LARGEST // 2  # a part is JSON within JSON, in which quotes are escaped
    parts = [ascii_only[at : at + size] for at in range(0, len(ascii_only), size)]
    name = uuid.uuid4().hex
    for place, part in enumerate(parts):
        yield json.dumps({"of": name, "place": place, "parts": len(parts), "part": part})


@dataclass
class Assembly:
    """Puts notices together from what comes of them."""

    _unfinished: OrderedDict[str, dict[int, str]] = field(default_factory=OrderedDict)

    def take(self, payload: str) -> Notice | None:
        """Return the notice that is whole with this; None where more is to come. Raises `ValueError`."""
        content = json.loads(payload)
        if "of" not in content:
            return _notice.validate_python(content)
        come = self._unfinished.setdefault(content["of"], {})
        come[content["place"]] = content["part"]
        if len(come) < content["parts"]:
            if len(self._unfinished) > MOST_UNFINISHED:
                self._unfinished.popitem(last=False)
            return None
        del self._unfinished[content["of"]]
        return _notice.validate_json("".join(come[place] for place in range(content["parts"])))


class Ear:
    """Listens on one channel, for ever: where the connection is lost, on the next."""

    def __init__(
        self, alone: AsyncEngine, channel: str, hear: Callable[[Notice], None], missed: Callable[[], None]
    ) -> None:
        """`alone` gives a connection of its own; `missed` is called when it listens (anew): what was said before was
        not heard.
        """
        self._alone = alone
        self._channel = channel
        self._hear = hear
        self._missed = missed

    async def __call__(self) -> None:
        """Listen until it is cancelled."""
        lost = False
        while True:
            try:
                await self._listen()
            except (DBAPIError, Error, OSError, TimeoutError) as error:
                if not lost:
                    logger.warning("nothing is heard of other hosts, what is on record is looked at: %s", error)
                lost = True
            except Exception:
                logger.exception("a notice could not be heard")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        assembly = Assembly()
        async with self._alone.connect() as pooled:
            connection = await pooled.execution_options(isolation_level="AUTOCOMMIT")
            raw = (await connection.get_raw_connection()).driver_connection
            assert isinstance(raw, AsyncConnection)
            await raw.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            if not await share(connection):
                logger.error("a server with QUEUE=embedded runs the tasks of this database as well: stop it")
            self._missed()
            while not raw.closed:
                async for notify in raw.notifies(timeout=LOOK_SECONDS):
                    if (notice := assembly.take(notify.payload)) is not None:
                        self._hear(notice)
                with fail_after(ANSWER_SECONDS):
                    await raw.execute("SELECT 1")
