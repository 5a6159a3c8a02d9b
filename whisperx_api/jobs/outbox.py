"""Webhooks and their messages in the database.

A message is written in the transaction that ends its job, so there is one for every end, whatever happens then; it
stays until it is delivered or given up, and is deleted with its task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from whisperx_api.happenings import Observer, nobody
from whisperx_api.jobs.database import Database
from whisperx_api.jobs.sessions import Changes, Sessions
from whisperx_api.jobs.tables import JobRow, MessageRow, WebhookRow
from whisperx_api.jobs.webhooks import MAX_WEBHOOKS, Answer, Message, MessageStatus, MessageType, Webhook, body, utc

ENDS = {
    "completed": MessageType.COMPLETED,
    "failed": MessageType.FAILED,
    "cancelled": MessageType.CANCELLED,
}
"""What is told of a job by its status; of any other, nothing."""

FARTHEST = timedelta(hours=8)
"""No message is put off for longer: one that is due only then was put off by a clock that has been set back since."""

LEASE = timedelta(seconds=60)
"""How long a message is one server's to send: longer than a try takes, and where that server dies another sends it."""

WEBHOOK_COLUMNS = tuple(column.name for column in WebhookRow.__table__.columns if column.name != "seq")
MESSAGE_COLUMNS = tuple(
    column.name for column in MessageRow.__table__.columns if column.name not in ("seq", "claimed_until")
)


class NoSuchTask(LookupError):
    """The task is not there, or is another's."""


class TooManyWebhooks(ValueError):
    """The task has as many webhooks as it may have."""


@dataclass(frozen=True)
class WebhookView:
    """A webhook with what it was sent, oldest first."""

    webhook: Webhook
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Due:
    """A message that is to be sent now, with where to."""

    message: Message
    webhook: Webhook


def data_of(row: JobRow) -> dict[str, Any]:
    """Return what a message says of a job. No text of the recording is in it: a receiver fetches that with its key."""
    return {
        "task_id": row.id,
        "status": row.status,
        "filename": row.upload["name"],
        "duration": row.upload.get("duration"),
        "created_at": utc(row.created_at),
        "started_at": utc(row.started_at),
        "completed_at": utc(row.completed_at),
        "error": row.error,
    }


async def add_webhook(session: AsyncSession, webhook: Webhook) -> None:
    """Put a webhook on record within a transaction."""
    session.add(WebhookRow(**asdict(webhook)))
    await session.flush()


async def post_ends(session: AsyncSession, rows: Sequence[JobRow]) -> int:
    """Write the messages of jobs that end in this transaction; return how many those are."""
    ended = {row.id: row for row in rows if row.status in ENDS}
    if not ended:
        return 0
    wanted = select(WebhookRow).where(WebhookRow.task_id.in_(ended), WebhookRow.disabled_at.is_(None))
    webhooks = [_webhook(row) for row in await session.scalars(wanted.order_by(WebhookRow.seq))]
    for webhook in webhooks:
        _post(session, webhook, ended[webhook.task_id])
    return len(webhooks)


def _post(session: AsyncSession, webhook: Webhook, job: JobRow) -> Message:
    """Write the message of an ended job to one webhook, within a transaction."""
    now, kind = datetime.now(timezone.utc), ENDS[job.status]
    text = body(kind, data_of(job), now)
    message = Message(webhook.id, job.id, kind, text, webhook.receiver, created_at=now, next_attempt_at=now)
    session.add(MessageRow(**asdict(message) | {"type": kind.value, "status": message.status.value}))
    return message


async def forget(session: AsyncSession, task_id: str) -> None:
    """Delete a task's webhooks with their messages, within a transaction."""
    await session.execute(delete(MessageRow).where(MessageRow.task_id == task_id))
    await session.execute(delete(WebhookRow).where(WebhookRow.task_id == task_id))


class Outbox(Sessions):
    """Webhooks and messages. `posted` is set when there is a new message."""

    def __init__(
        self, database: Database, posted: asyncio.Event, erased: asyncio.Event | None = None,
        observer: Observer = nobody, changes: Changes | None = None,
    ) -> None:  # fmt: skip
        super().__init__(database, erased, observer, changes)
        self.posted = posted

    # --- webhooks ---

    async def add(self, webhook: Webhook) -> WebhookView:
        """Put a webhook on record; of a job that has ended it is told at once.

        Raises `NoSuchTask` and `TooManyWebhooks`.
        """
        async with self.transaction() as session:
            await add_webhook(session, webhook)  # a writer from here on, so that the job can't end unseen
            mine = and_(JobRow.id == webhook.task_id, JobRow.owner == webhook.owner)
            job = await session.scalar(select(JobRow).where(mine).with_for_update())
            if job is None:
                raise NoSuchTask(webhook.task_id)
            count = select(func.count()).select_from(WebhookRow).where(WebhookRow.task_id == webhook.task_id)
            if (await session.scalar(count) or 0) > MAX_WEBHOOKS:
                raise TooManyWebhooks(webhook.task_id)
            messages = (_post(session, webhook, job),) if job.status in ENDS else ()
        if messages:
            self.posted.set()
        return WebhookView(webhook, messages)

    async def get(self, owner: str, webhook_id: str) -> WebhookView | None:
        """Return the owner's webhook, or None."""
        found = await self._views(WebhookRow.id == webhook_id, WebhookRow.owner == owner)
        return found[0] if found else None

    async def page(self, owner: str, task_id: str | None, limit: int, after: str | None) -> Sequence[WebhookView]:
        """Return at most `limit` of the owner's webhooks, newest first, older than the one with the id `after`."""
        conditions = [WebhookRow.owner == owner]
        if task_id is not None:
            conditions.append(WebhookRow.task_id == task_id)
        if after is not None:
            of_after = select(WebhookRow.seq).where(WebhookRow.id == after, WebhookRow.owner == owner)
            conditions.append(WebhookRow.seq < of_after.scalar_subquery())
        return await self._views(*conditions, limit=limit)

    async def delete(self, owner: str, webhook_id: str) -> bool:
        """Delete the owner's webhook with its messages; False if there is none."""
        async with self.transaction() as session:
            mine = delete(WebhookRow).where(WebhookRow.id == webhook_id, WebhookRow.owner == owner)
            if await session.scalar(mine.returning(WebhookRow.id)) is None:
                return False
            await session.execute(delete(MessageRow).where(MessageRow.webhook_id == webhook_id))
        self.erased.set()
        return True

    async def _views(self, *conditions: ColumnElement[bool], limit: int | None = None) -> list[WebhookView]:
        def views(session: Session) -> list[WebhookView]:
            query = select(WebhookRow).where(*conditions).order_by(WebhookRow.seq.desc()).limit(limit)
            webhooks = [_webhook(row) for row in session.scalars(query)]
            if not webhooks:
                return []
            sent = select(MessageRow).where(MessageRow.webhook_id.in_([webhook.id for webhook in webhooks]))
            messages = [_message(row) for row in session.scalars(sent.order_by(MessageRow.seq))]
            return [
                WebhookView(webhook, tuple(message for message in messages if message.webhook_id == webhook.id))
                for webhook in webhooks
            ]

        return await self.read(views)

    # --- delivery ---

    async def due(self, now: datetime, at_work: Collection[str], busy: Collection[str], limit: int) -> Sequence[Due]:
        """Return messages to send now, the least tried first: neither those at work nor any to a busy receiver.

        One that was never tried is due whatever the clock says. Of several servers on one database only this one gets
        them, for as long as `LEASE`: what is not sent after all is to be `put_back`.
        """
        due = or_(
            MessageRow.next_attempt_at <= now, MessageRow.next_attempt_at > now + FARTHEST, MessageRow.attempts == 0
        )
        query = (
            select(MessageRow, WebhookRow)
            .join(WebhookRow, WebhookRow.id == MessageRow.webhook_id)
            .where(_pending(at_work, busy), due)
            .order_by(MessageRow.attempts, MessageRow.next_attempt_at, MessageRow.seq)
            .limit(limit)
        )
        rows = await (self._claim(query, now) if self._shared else self.read(lambda on: on.execute(query).all()))
        return [Due(_message(message), _webhook(webhook)) for message, webhook in rows]

    async def put_back(self, messages: Collection[Message]) -> None:
        """Let any server have messages that were `due` here and are not sent."""
        if self._shared and messages:
            ids = [message.id for message in messages]
            async with self.transaction() as session:
                await session.execute(update(MessageRow).where(MessageRow.id.in_(ids)).values(claimed_until=None))

    @property
    def _shared(self) -> bool:
        """Whether other servers may work with this database."""
        return self.database.engine.dialect.name != "sqlite"

    async def _claim(
        self, query: Select[MessageRow, WebhookRow], now: datetime
    ) -> Sequence[Row[MessageRow, WebhookRow]]:
        """Return what a query finds that is nobody else's, and make it this server's. What others take just now is
        theirs.
        """
        until = MessageRow.claimed_until
        free = query.where(or_(until.is_(None), until <= now, until > now + FARTHEST))
        async with self.transaction() as session:
            rows = (await session.execute(free.with_for_update(of=MessageRow, skip_locked=True))).all()
            if rows:
                ids = [message.id for message, _ in rows]
                claim = update(MessageRow).where(MessageRow.id.in_(ids)).values(claimed_until=now + LEASE)
                await session.execute(claim.execution_options(synchronize_session=False))
        return rows

    async def next_due(self, at_work: Collection[str], busy: Collection[str]) -> datetime | None:
        """Return when the next message is to be sent; None if there is none."""
        due, until = MessageRow.next_attempt_at, MessageRow.claimed_until
        first = select(func.min(case((until > due, until), else_=due))).where(_pending(at_work, busy))
        return await self.read(lambda session: session.scalar(first))

    async def tried(self, message: Message, answer: Answer, now: datetime, again_at: datetime | None) -> MessageStatus:
        """Record a try. Without `again_at` a message that was not taken is given up; return where it stands.

        A receiver that is gone is told nothing more: its webhook is disabled, and what else waits for it given up.
        """
        failed = MessageStatus.DEAD if answer.gone or again_at is None else MessageStatus.PENDING
        status = MessageStatus.DELIVERED if answer.delivered else failed
        values = {
            "status": status.value,
            "attempts": MessageRow.attempts + 1,
            "next_attempt_at": again_at if status is MessageStatus.PENDING else None,
            "last_attempt_at": now,
            "last_status_code": answer.status_code,
            "last_error": answer.fault,
            "claimed_until": None,
        }
        async with self.transaction() as session:
            await session.execute(update(MessageRow).where(MessageRow.id == message.id).values(**values))
            if answer.gone:
                webhook = update(WebhookRow).where(WebhookRow.id == message.webhook_id)
                await session.execute(webhook.values(disabled_at=now))
                others = and_(MessageRow.webhook_id == message.webhook_id, _pending((), ()))
                given_up = {"status": MessageStatus.DEAD.value, "next_attempt_at": None, "last_error": answer.fault}
                await session.execute(update(MessageRow).where(others).values(**given_up))
        return status


def _pending(at_work: Collection[str], busy: Collection[str]) -> ColumnElement[bool]:
    return and_(
        MessageRow.status == MessageStatus.PENDING.value,
        MessageRow.id.not_in(at_work),
        MessageRow.receiver.not_in(busy),
    )


def _webhook(row: WebhookRow) -> Webhook:
    return Webhook(**{name: getattr(row, name) for name in WEBHOOK_COLUMNS})


def _message(row: MessageRow) -> Message:
    values = {name: getattr(row, name) for name in MESSAGE_COLUMNS}
    return Message(**values | {"type": MessageType(row.type), "status": MessageStatus(row.status)})
