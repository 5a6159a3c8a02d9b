"""`/v1/webhooks`: who is told when a task ends, and what came of it."""

from __future__ import annotations

from datetime import datetime, timezone
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from whisperx_api.api import answers
from whisperx_api.api.auth import Reader, Transcriber
from whisperx_api.api.bodies import json_body, read_json
from whisperx_api.api.errors import OPENAI_ERRORS, ApiError, bad_parameter
from whisperx_api.api.parts import Parts, PartsOf
from whisperx_api.api.webhook_schemas import (
    MessageOut,
    WebhookCreated,
    WebhookIn,
    WebhookOut,
    WebhookPage,
    WebhookTest,
)
from whisperx_api.jobs.outbox import NoSuchTask, TooManyWebhooks, WebhookView
from whisperx_api.jobs.webhooks import (
    MAX_WEBHOOKS,
    Message,
    MessageType,
    Webhook,
    body,
    checked_secret,
    new_secret,
)
from whisperx_api.keys import Caller
from whisperx_api.outgoing.guard import Guard, Refused

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=OPENAI_ERRORS)


@router.post(
    "", status_code=HTTPStatus.CREATED, response_model=WebhookCreated, openapi_extra=json_body(WebhookIn),
)  # fmt: skip
async def create(request: Request, parts: PartsOf, caller: Transcriber) -> WebhookCreated:
    """Have a url told when a task ends: by a Standard Webhooks message, signed with `secret`, which is shown once.

    A task that has ended is told of at once. The message says how it ended, and none of what was said in the recording:
    take that from the API, with your key.
    """
    given = await read_json(request, WebhookIn)
    await answers.find(parts, given.task_id, caller)
    webhook = await new_webhook(parts.calls.guard, given.task_id, caller, given.url, given.secret)
    try:
        view = await parts.outbox.add(webhook)
    except NoSuchTask:
        raise ApiError(HTTPStatus.NOT_FOUND, f"There is no task {given.task_id[:64]}.") from None
    except TooManyWebhooks:
        raise bad_parameter("task_id", f"A task can have {MAX_WEBHOOKS} webhooks: delete one first.") from None
    return WebhookCreated(**shown(view).model_dump(), secret=webhook.secret)


@router.get("", response_model=WebhookPage)
async def page(
    parts: PartsOf,
    caller: Reader,
    task_id: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> WebhookPage:
    """Your webhooks, newest first: all of them, or those of one task."""
    views = await parts.outbox.page(caller.name, task_id, limit + 1, after)
    return WebhookPage(data=[shown(view) for view in views[:limit]], has_more=len(views) > limit)


@router.get("/{webhook_id}", response_model=WebhookOut)
async def get(webhook_id: str, parts: PartsOf, caller: Reader) -> WebhookOut:
    """A webhook, and how its messages stand: `dead` is one that was given up."""
    return shown(await _find(parts, webhook_id, caller))


@router.delete("/{webhook_id}", status_code=HTTPStatus.NO_CONTENT, response_class=Response)
async def delete(webhook_id: str, parts: PartsOf, caller: Transcriber) -> None:
    """Delete a webhook: it is told nothing more."""
    if not await parts.outbox.delete(caller.name, webhook_id):
        raise _unknown(webhook_id)


@router.post("/{webhook_id}/test", response_model=WebhookTest)
async def test(webhook_id: str, parts: PartsOf, caller: Transcriber) -> WebhookTest:
    """Send a message of the type `webhook.test` once, now, and say what came of it."""
    webhook = (await _find(parts, webhook_id, caller)).webhook
    text = body(MessageType.TEST, {"task_id": webhook.task_id}, datetime.now(timezone.utc))
    message = Message(webhook.id, webhook.task_id, MessageType.TEST, text, webhook.receiver)
    async with parts.tests:
        answer = await parts.sender(webhook, message)
    return WebhookTest(
        message_id=message.id, delivered=answer.delivered, status_code=answer.status_code, error=answer.fault
    )


async def new_webhook(
    guard: Guard, task_id: str, caller: Caller, url: str, secret: str | None, prefix: str = ""
) -> Webhook:
    """Return a webhook that may be put on record. Raises a 400; `prefix` begins the names of the fields."""
    try:
        receiver = (await guard.look(url)).netloc.decode("ascii").lower()
    except Refused as error:
        raise bad_parameter(f"{prefix}url", f"{prefix}url {error}.") from None
    try:
        chosen = new_secret() if secret is None else checked_secret(secret)
    except ValueError as error:
        raise bad_parameter(f"{prefix}secret", f"{prefix}secret {error}.") from None
    return Webhook(task_id, caller.name, url, receiver, chosen)


async def _find(parts: Parts, webhook_id: str, caller: Caller) -> WebhookView:
    """Return the caller's webhook. Raises a 404, for another's as well."""
    if (view := await parts.outbox.get(caller.name, webhook_id)) is None:
        raise _unknown(webhook_id)
    return view


def _unknown(webhook_id: str) -> ApiError:
    return ApiError(HTTPStatus.NOT_FOUND, f"There is no webhook {webhook_id[:64]}.")


def shown(view: WebhookView) -> WebhookOut:
    """Return a webhook as it is answered: without its secret."""
    webhook = view.webhook
    return WebhookOut(
        id=webhook.id,
        task_id=webhook.task_id,
        url=webhook.url,
        enabled=webhook.disabled_at is None,
        created_at=webhook.created_at,
        disabled_at=webhook.disabled_at,
        messages=[MessageOut.model_validate(message, from_attributes=True) for message in view.messages],
    )
