"""The database's tables. `migrations/` makes them; a test holds the two together."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISION = "0008"
"""The migration that makes these tables."""
Number = BigInteger().with_variant(Integer, "sqlite")
"""Of a row, in the order of their coming. SQLite numbers rows itself only by what it calls INTEGER, of any size."""
WAITING = text("status = 'pending'")


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone, kept and given as UTC; SQLite itself keeps no zone, and PostgreSQL gives its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or timezone.utc).astimezone(timezone.utc)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})


class JobRow(Base):
    """One job; `whisperx_api.jobs.job.Job` says what the columns mean."""

    __tablename__ = "jobs"

    seq: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    owner: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    priority: Mapped[int] = mapped_column(Integer, default=0)
    epoch: Mapped[int] = mapped_column(Integer, default=0)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    upload: Mapped[dict[str, Any]] = mapped_column(JSON)
    checkpoints: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    stage: Mapped[str | None] = mapped_column(String(16))
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    failures: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    work: Mapped[str | None] = mapped_column(String(64))
    cached: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    worker: Mapped[str | None] = mapped_column(String(64))
    trace: Mapped[str | None] = mapped_column(String(64))
    live: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """What only a run knows: its message, how long it may take yet."""
    turn: Mapped[int | None] = mapped_column(Integer)
    """When it is to run among those of its priority, where the queue is the database's."""

    __table_args__ = (
        Index("ix_jobs_status_completed_at", "status", "completed_at"),
        Index("ix_jobs_owner_seq", "owner", "seq"),
        Index("ix_jobs_owner_idempotency_key", "owner", "idempotency_key"),
        Index("ix_jobs_waiting", "priority", "turn", sqlite_where=WAITING, postgresql_where=WAITING),
        Index("ix_jobs_waiting_of_owner", "owner", "priority", "turn", sqlite_where=WAITING, postgresql_where=WAITING),
        {"sqlite_autoincrement": True},
    )


class WebhookRow(Base):
    """One webhook; `whisperx_api.jobs.webhooks.Webhook` says what the columns mean."""

    __tablename__ = "webhooks"

    seq: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    task_id: Mapped[str] = mapped_column(String(36))
    owner: Mapped[str] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(Text)
    receiver: Mapped[str] = mapped_column(String(300))
    secret: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index("ix_webhooks_task_id", "task_id"),
        Index("ix_webhooks_owner_seq", "owner", "seq"),
        {"sqlite_autoincrement": True},
    )


class MessageRow(Base):
    """The outbox: one message to one webhook; `whisperx_api.jobs.webhooks.Message` says what the columns mean."""

    __tablename__ = "webhook_messages"

    seq: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    webhook_id: Mapped[str] = mapped_column(String(36))
    task_id: Mapped[str] = mapped_column(String(36))
    type: Mapped[str] = mapped_column(String(32))
    body: Mapped[str] = mapped_column(Text)
    receiver: Mapped[str] = mapped_column(String(300))
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_status_code: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Until then it is one server's to send."""

    __table_args__ = (
        Index("ix_webhook_messages_status_next_attempt_at", "status", "next_attempt_at"),
        Index("ix_webhook_messages_webhook_id", "webhook_id"),
        Index("ix_webhook_messages_task_id", "task_id"),
        {"sqlite_autoincrement": True},
    )


class ResultRow(Base):
    """The transcript of one completed job, for others of the same work. It goes with its job."""

    __tablename__ = "results"

    task_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    work: Mapped[str] = mapped_column(String(64))
    file: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    used_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (Index("ix_results_work_used_at", "work", "used_at"),)


class KeyRow(Base):
    """One key on record; `whisperx_api.keys.StoredKey` says what the columns mean."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SecretRow(Base):
    """A secret that all servers on one database share."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary(64))


class UsageRow(Base):
    """One day of one key's name; `whisperx_api.jobs.usage.Usage` says what the columns mean. No job is named in it."""

    __tablename__ = "usage"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    completed: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    cached: Mapped[int] = mapped_column(Integer)
    seconds: Mapped[float] = mapped_column(Float)
    cached_seconds: Mapped[float] = mapped_column(Float)


class WorkerRow(Base):
    """One process that runs jobs, of several on one database, as it was when it was last seen."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    queues: Mapped[list[str]] = mapped_column(JSON)
    devices: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    task_ids: Mapped[list[str]] = mapped_column(JSON)
    capacity: Mapped[int] = mapped_column(Integer)
    draining: Mapped[bool] = mapped_column(Boolean)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (Index("ix_workers_seen_at", "seen_at"),)
