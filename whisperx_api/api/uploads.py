"""Takes an upload in: to disk, looked at, on record, and only then acknowledged."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from fastapi import Request

from whisperx_api.api import requests
from whisperx_api.api.auth import need
from whisperx_api.api.errors import ApiError
from whisperx_api.api.multipart import OVERHEAD, Form, receive, too_large
from whisperx_api.api.parts import Parts
from whisperx_api.api.webhooks import new_webhook
from whisperx_api.engine import decoder
from whisperx_api.jobs.job import Job, Upload
from whisperx_api.jobs.manager import Draining
from whisperx_api.jobs.webhooks import Webhook
from whisperx_api.keys import Caller, Scope


class Accepted(NamedTuple):
    """A job that is durable, and the webhook that was put on record with it."""

    job: Job
    webhook: Webhook | None = None


async def accept(request: Request, parts: Parts, caller: Caller, idempotency_key: str | None) -> Accepted:
    """Receive the recording of `request`, or fetch it from its url, and return its job, which is durable then.

    Raises `ApiError`: 400, 409 for an idempotency key used otherwise, 413, 415, 503, 507; and `Draining`.
    """
    if parts.manager.draining:
        raise Draining
    if absent := parts.fleet.absent:
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, f"This server can't transcribe. {absent}")
    limit = parts.settings.max_file_size
    if int(request.headers.get("content-length", 0)) > limit + OVERHEAD:
        raise too_large(limit)
    incoming = parts.storage.incoming()
    try:
        form = await receive(request.stream(), request.headers.get("content-type"), incoming, limit)
        return await _submit(parts, caller, form, incoming, idempotency_key)
    finally:
        await asyncio.to_thread(incoming.unlink, missing_ok=True)


async def _submit(parts: Parts, caller: Caller, form: Form, incoming: Path, idempotency_key: str | None) -> Accepted:
    given = requests.parse(form.fields)
    requests.check_source(given, form.filename is not None, parts.settings)
    if given.priority > 0:
        need(caller, Scope.ADMIN, "A priority above 0")
    options = requests.options(given, parts.settings)
    fingerprint = requests.fingerprint(options, given, form.sha256)
    webhook = None
    if given.webhook_url is not None:
        guard, secret = parts.calls.guard, given.webhook_secret
        webhook = await new_webhook(guard, "", caller, given.webhook_url, secret, prefix="webhook_")
    if given.url is not None:
        if (earlier := await _earlier(parts, caller, idempotency_key, fingerprint)) is not None:
            return Accepted(earlier)
        form = await _fetched(parts, given.url, incoming)
    async with parts.probes:
        duration = await _look(incoming, "file" if given.url is None else "url")
    if duration and duration > (longest := parts.settings.max_duration_hours) * 3600:
        raise ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The recording is longer than {longest:g} hours, the most this server takes (MAX_DURATION_HOURS).",
            param="file" if given.url is None else "url",
        )
    job = Job(
        owner=caller.name,
        options=options,
        upload=Upload(form.filename or "recording", form.size, form.sha256, duration),
        priority=given.priority,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
    )
    accepted = Accepted(job, webhook and replace(webhook, task_id=job.id))
    if idempotency_key is None:
        return await _kept(parts, accepted, incoming)
    async with parts.idempotency:
        earlier = await _earlier(parts, caller, idempotency_key, fingerprint)
        return Accepted(earlier) if earlier else await _kept(parts, accepted, incoming)


async def _fetched(parts: Parts, url: str, incoming: Path) -> Form:
    """Fetch the recording into `incoming`, in place of the empty file that the form has left there."""
    await asyncio.to_thread(incoming.unlink)
    client, settings = await parts.calls.client(), parts.settings
    from whisperx_api.api.fetching import fetch  # it needs httpx, which is loaded now

    return await fetch(parts.calls.guard, client, url, incoming, settings.max_file_size, settings.url_timeout_seconds)


async def _earlier(parts: Parts, caller: Caller, idempotency_key: str | None, fingerprint: str) -> Job | None:
    """Return the task that the same request has made under this key. Raises a 409 where it was another request."""
    if idempotency_key is None:
        return None
    earlier = await parts.store.by_idempotency_key(caller.name, idempotency_key)
    if earlier is not None and earlier.fingerprint != fingerprint:
        raise ApiError(HTTPStatus.CONFLICT, "This Idempotency-Key was used for another request: take a new one.")
    return earlier


async def _look(incoming: Path, param: str) -> float | None:
    try:
        return await decoder.probe(incoming)
    except decoder.NotAudio as error:
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The recording can't be read: {error}.", param=param
        ) from error
    except decoder.DecoderDied as error:  # killed for memory, or out of time: perhaps no fault of the file's
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE, f"The recording could not be looked at: {error}. Try again later.",
            headers={"Retry-After": "10"},
        ) from error  # fmt: skip


async def _kept(parts: Parts, accepted: Accepted, incoming: Path) -> Accepted:
    """Keep a recording and its job: both or neither, even if the request is cancelled meanwhile."""
    return await asyncio.shield(_keep(parts, accepted, incoming))


async def _keep(parts: Parts, accepted: Accepted, incoming: Path) -> Accepted:
    """Make the file the job's recording, then put the job on record; what fails leaves neither."""
    job, webhook = accepted
    await parts.storage.keep_upload(incoming, job.id)
    try:
        return Accepted(await parts.manager.submit(job, webhook), webhook)
    except Exception:
        await parts.storage.delete(job.id)
        raise
