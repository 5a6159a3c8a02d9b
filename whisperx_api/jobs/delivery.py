"""Takes messages out of the outbox and sends them, until each is delivered or given up.

What is on its way when the server dies is sent again after the next start, under the same id: a receiver that has seen
the id knows the message.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timezone

from anyio import move_on_after

from whisperx_api import log
from whisperx_api.happenings import Delivery, MessageTried, Observer, nobody
from whisperx_api.jobs.faults import persist
from whisperx_api.jobs.outbox import Due, Outbox
from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.jobs.webhooks import Answer, Backoff, Message, MessageStatus, Webhook

logger = logging.getLogger(__name__)

Send = Callable[[Webhook, Message], Awaitable[Answer]]

AT_ONCE = 64
"""Messages on their way at once."""
AT_ONCE_TO_ONE = 4
"""Messages on their way to one receiver: a slow one does not hold up the others."""
LONGEST_PAUSE = 60.0
"""Seconds between two looks into the outbox, at most."""
FAULT_PAUSE = 5.0
"""Seconds until the next look after one that failed."""

DELIVERIES = {
    MessageStatus.DELIVERED: Delivery.DELIVERED,
    MessageStatus.PENDING: Delivery.RETRIED,
    MessageStatus.DEAD: Delivery.DEAD,
}
"""What is observed of a try, by where the message then stands."""


class Deliverer:
    """Delivers messages as they come due. `chance` gives numbers of 0..1, for pauses that differ."""

    def __init__(
        self, outbox: Outbox, send: Send, backoff: Backoff,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc), chance: Callable[[], float] = random.random,
        observer: Observer = nobody,
    ) -> None:  # fmt: skip
        self._outbox = outbox
        self._send = send
        self._backoff = backoff
        self._now = now
        self._chance = chance
        self._observer = observer
        self._on_their_way: dict[str, tuple[Due, asyncio.Task[None]]] = {}
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin to deliver."""
        self._loop = asyncio.create_task(self._deliver())

    async def stop(self, grace: float) -> None:
        """Take up nothing more; what is on its way has `grace` seconds, then the next start sends it again."""
        self._stopping = True  # before Python 3.12 a wait that is over just then swallows the cancel
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        tasks = [task for _, task in self._on_their_way.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        left = [due.message for due, _ in self._on_their_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(StoreUnavailable):  # they are let go by themselves in a while
            await self._outbox.put_back(left)

    async def _deliver(self) -> None:
        while not self._stopping:
            self._outbox.posted.clear()
            try:
                pause = await self._take_up()
            except StoreUnavailable as error:
                logger.error("webhooks wait: %s", error)
                pause = FAULT_PAUSE
            except Exception:
                logger.exception("webhooks could not be looked after; the next look tries again")
                pause = FAULT_PAUSE
            with move_on_after(pause):
                await self._outbox.posted.wait()

    async def _take_up(self) -> float:
        """Send what is due, as far as there is room; return the seconds until the next look."""
        while (room := AT_ONCE - len(self._on_their_way)) > 0:
            found = await self._outbox.due(self._now(), tuple(self._on_their_way), self._busy(), room)
            if not found:
                break
            for due in found:  # the first of them is begun at least: none is to a busy receiver
                if due.message.receiver not in self._busy():
                    self._begin(due)
            await self._outbox.put_back([due.message for due in found if due.message.id not in self._on_their_way])
        else:
            return LONGEST_PAUSE  # the first that is done makes room, and wakes
        coming = await self._outbox.next_due(tuple(self._on_their_way), self._busy())
        if coming is None:
            return LONGEST_PAUSE
        return min(max((coming - self._now()).total_seconds(), 0.0), LONGEST_PAUSE)

    def _busy(self) -> set[str]:
        """Return the receivers that have as many messages on their way as they may."""
        receivers = Counter(due.message.receiver for due, _ in self._on_their_way.values())
        return {receiver for receiver, count in receivers.items() if count >= AT_ONCE_TO_ONE}

    def _begin(self, due: Due) -> None:
        task = asyncio.create_task(self._try(due))
        self._on_their_way[due.message.id] = due, task
        task.add_done_callback(lambda ended: self._done(due, ended))

    def _done(self, due: Due, task: asyncio.Task[None]) -> None:
        del self._on_their_way[due.message.id]
        self._outbox.posted.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s: a webhook's message failed", due.message.task_id, exc_info=error)

    async def _try(self, due: Due) -> None:
        message = due.message
        log.note(task_id=message.task_id)
        try:
            answer = await self._send(due.webhook, message)
        except Exception:
            logger.exception("task %s: message %s could not be sent", message.task_id, message.id)
            answer = Answer(None, "The service ran into an error of its own, which is in its log.")
        now, failures = self._now(), message.attempts + 1
        pause = self._backoff.pause(failures, self._chance(), answer.retry_after)
        again_at = None if pause is None else now + pause
        status = await persist(lambda: self._outbox.tried(message, answer, now, again_at))
        self._observer(MessageTried(DELIVERIES[status]))
        if status is MessageStatus.DELIVERED:
            logger.info("task %s: message %s is delivered, try %d", message.task_id, message.id, failures)
        elif status is MessageStatus.PENDING:
            logger.info("task %s: message %s, try %d: %s", message.task_id, message.id, failures, answer.fault)
        else:
            logger.warning("task %s: message %s is given up: %s", message.task_id, message.id, answer.fault)
