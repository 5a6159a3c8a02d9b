"""What goes over the wire at `/v1/webhooks`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from whisperx_api.jobs.webhooks import MessageStatus, MessageType


class WebhookIn(BaseModel):
    """A webhook to make."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    task_id: str = Field(max_length=64)
    """The task whose end is to be told."""
    url: str = Field(examples=["https://example.org/transcribed"])
    """Where to post it; private addresses only as far as the operator allows them."""
    secret: str | None = Field(None, examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    """What messages are signed with: `whsec_` and 24 to 64 bytes in base64; made if left out."""


class MessageOut(BaseModel):
    """A message, and how its delivery stands. Its id is the header `webhook-id` of every try."""

    id: str
    type: MessageType
    status: MessageStatus
    attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_status_code: int | None
    last_error: str | None
    created_at: datetime


class WebhookOut(BaseModel):
    """A webhook. One whose receiver answered 410 Gone is not enabled any more."""

    object: Literal["webhook"] = "webhook"
    id: str
    task_id: str
    url: str
    enabled: bool
    created_at: datetime
    disabled_at: datetime | None
    messages: list[MessageOut]


class WebhookCreated(WebhookOut):
    """A new webhook with its secret, which is not shown again."""

    secret: str


class WebhookPage(BaseModel):
    """Webhooks, newest first; with `has_more`, ask for those `after` the last one's id."""

    object: Literal["list"] = "list"
    data: list[WebhookOut]
    has_more: bool


class WebhookTest(BaseModel):
    """What came of a test message."""

    message_id: str
    delivered: bool
    status_code: int | None
    error: str | None
