"""Takes an upload in: to disk, looked at, on record, and only then acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Generic, TypeVar

from fastapi import Request

from whisperx_api import tracing
from whisperx_api.api import references, requests
from whisperx_api.api.arrivals import not_kept
from whisperx_api.api.auth import need
from whisperx_api.api.bodies import Patience, in_time
from whisperx_api.api.errors import ApiError
from whisperx_api.api.fetching import fetch
from whisperx_api.api.intake import taking_in
from whisperx_api.api.multipart import PLAIN, Form, Rules, receive
from whisperx_api.api.parts import Parts
from whisperx_api.api.references import Reference
from whisperx_api.api.webhooks import new_webhook
from whisperx_api.engine import decoder
from whisperx_api.jobs.cache import Found
from whisperx_api.jobs.job import Job, Upload
from whisperx_api.jobs.webhooks import Webhook
from whisperx_api.keys import Caller, Scope
from whisperx_api.options import Channels
from whisperx_api.settings import Settings

logger = logging.getLogger(__name__)

Wanted = TypeVar("Wanted", bound=requests.Wanted)
Read = Callable[[Form, Settings], Wanted]
"""Reads what a form asks for. Raises a 400."""


@dataclass(frozen=True)
class Accepted(Generic[Wanted]):
    """A job that is durable, the webhook that was put on record with it, and what was asked for."""

    job: Job
    webhook: Webhook | None
    wanted: Wanted


async def accept(
    request: Request,
    parts: Parts,
    caller: Caller,
    idempotency_key: str | None,
    read: Read[Wanted],
    rules: Rules = PLAIN,
    again: bool = False,
) -> Accepted[Wanted]:
    """Receive the recording of `request`, or fetch it from its url, and return its job, which is durable then.

    Where a client sends it `again`, its like that has failed a moment ago is the job: the client may not have been told
    of that. Raises `ApiError`: 400, 408, 409 for an idempotency key used otherwise, 413, 415, 429, 503, 507; and
    `Draining`.
    """
    async with taking_in(request, parts, caller, rules.most(parts.settings.max_file_size)):
        return await _accept(request, parts, caller, idempotency_key, read, rules, again)


async def _accept(
    request: Request,
    parts: Parts,
    caller: Caller,
    idempotency_key: str | None,
    read: Read[Wanted],
    rules: Rules,
    again: bool,
) -> Accepted[Wanted]:
    settings, incoming = parts.settings, parts.storage.incoming()
    patience = Patience(
        settings.upload_idle_seconds, settings.upload_timeout_seconds, "UPLOAD_IDLE_SECONDS", "UPLOAD_TIMEOUT_SECONDS"
    )
    try:
        body, kind = in_time(request, patience), request.headers.get("content-type")
        form = await receive(body, kind, incoming, settings.max_file_size, rules)
        wanted = read(form, parts.settings)
        voices = await references.read(parts, wanted.speaker_names, wanted.speaker_references)
        known = tuple(voice.speaker for voice in voices)
        wanted = replace(wanted, options=replace(wanted.options, known_speakers=known))
        if again and (failed := await parts.store.failed(caller.name, requests.fingerprint(wanted, form.sha256))):
            return Accepted(failed, None, wanted)
        job, webhook = await _submit(parts, caller, form, incoming, idempotency_key, wanted, voices)
        return Accepted(job, webhook, wanted)
    finally:
        await asyncio.to_thread(incoming.unlink, missing_ok=True)


Kept = tuple[Job, Webhook | None]
"""A job on record, and the webhook that went there with it."""


@dataclass(frozen=True)
class _New:
    """A job that is to go on record, with a webhook, and with the transcript of the same work where there is one.

    `voices` are those of the known speakers that its options name.
    """

    job: Job
    webhook: Webhook | None
    same: Found | None
    voices: Sequence[Reference]


async def _submit(
    parts: Parts,
    caller: Caller,
    form: Form,
    incoming: Path,
    idempotency_key: str | None,
    wanted: requests.Wanted,
    voices: Sequence[Reference],
) -> Kept:
    if wanted.priority > 0:
        need(caller, Scope.ADMIN, "A priority above 0")
    fingerprint = requests.fingerprint(wanted, form.sha256)
    webhook = None
    if wanted.webhook_url is not None:
        guard, secret = parts.calls.guard, wanted.webhook_secret
        webhook = await new_webhook(guard, "", caller, wanted.webhook_url, secret, prefix="webhook_")
    if wanted.url is not None:
        if (earlier := await _earlier(parts, caller, idempotency_key, fingerprint)) is not None:
            return earlier, None
        form = await _fetched(parts, wanted.url, incoming)
    job = parts.manager.named(
        Job(
            owner=caller.name,
            options=wanted.options,
            upload=Upload(form.filename or "recording", form.size, form.sha256),
            priority=wanted.priority,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            trace=tracing.traceparent(),
        )
    )
    param = "file" if wanted.url is None else "url"
    same = await parts.manager.find(job)
    duration = same.duration if same else await _duration(parts, job, incoming, param)
    if duration and duration > (longest := parts.settings.max_duration_hours) * 3600:
        raise ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The recording is longer than {longest:g} hours, the most this server takes (MAX_DURATION_HOURS).",
            param=param,
        )
    job = replace(job, upload=replace(job.upload, duration=duration))
    new = _New(job, webhook and replace(webhook, task_id=job.id), same, voices)
    if idempotency_key is None:
        return await _kept(parts, new, incoming)
    async with parts.locks.held(f"idempotency {caller.name} {idempotency_key}"):
        earlier = await _earlier(parts, caller, idempotency_key, fingerprint)
        return (earlier, None) if earlier else await _kept(parts, new, incoming)


async def _fetched(parts: Parts, url: str, incoming: Path) -> Form:
    """Fetch the recording into `incoming`, in place of the empty file that the form has left there."""
    await asyncio.to_thread(incoming.unlink)
    client, settings = await parts.calls.client(), parts.settings

    return await fetch(parts.calls.guard, client, url, incoming, settings.max_file_size, settings.url_timeout_seconds)


async def _earlier(parts: Parts, caller: Caller, idempotency_key: str | None, fingerprint: str) -> Job | None:
    """Return the task that the same request has made under this key. Raises a 409 where it was another request."""
    if idempotency_key is None:
        return None
    earlier = await parts.store.by_idempotency_key(caller.name, idempotency_key)
    if earlier is not None and earlier.fingerprint != fingerprint:
        raise ApiError(HTTPStatus.CONFLICT, "This Idempotency-Key was used for another request: take a new one.")
    return earlier


async def _duration(parts: Parts, job: Job, incoming: Path, param: str) -> float | None:
    """Return the stated length in seconds. What an unfinished task has of the same work is not looked at again."""
    if (leader := parts.manager.leader(job)) is not None:
        return leader.upload.duration
    async with parts.probes:
        return await _look(incoming, job.options.channels, param)


async def _look(incoming: Path, channels: Channels, param: str) -> float | None:
    try:
        return await decoder.probe(incoming, channels)
    except decoder.NotAudio as error:
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The recording can't be read: {error}.", param=param
        ) from error
    except decoder.DecoderDied as error:  # killed for memory, or out of time: perhaps no fault of the file's
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE, f"The recording could not be looked at: {error}. Try again later.",
            headers={"Retry-After": "10"},
        ) from error  # fmt: skip


async def _kept(parts: Parts, new: _New, incoming: Path) -> Kept:
    """Keep a recording and its job: both or neither, even if the request is cancelled meanwhile."""
    return await asyncio.shield(_keep(parts, new, incoming))


async def _keep(parts: Parts, new: _New, incoming: Path) -> Kept:
    """Make the file the job's recording, then put the job on record; what fails leaves neither."""
    try:
        try:
            await parts.storage.keep_upload(incoming, new.job.id)
            await references.keep(parts.storage, new.job.id, new.voices)
        except OSError as error:
            raise not_kept(error) from error
        return await parts.manager.submit(new.job, new.webhook, new.same), new.webhook
    except Exception:
        try:
            await parts.storage.delete(new.job.id)
        except OSError as error:  # the sweep at a later start takes it
            logger.warning("the recording of a task that was not taken can't be deleted: %s", error)
        raise
