"""Takes an upload in: to disk, looked at, on record, and only then acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from fastapi import Request

from whisperx_api.api import references, requests
from whisperx_api.api.auth import need
from whisperx_api.api.errors import ApiError
from whisperx_api.api.multipart import OVERHEAD, Form, receive, too_large
from whisperx_api.api.parts import Parts
from whisperx_api.api.references import Reference
from whisperx_api.engine import decoder
from whisperx_api.jobs.job import Job, Upload
from whisperx_api.jobs.manager import Draining
from whisperx_api.keys import Caller, Scope
from whisperx_api.options import Channels


async def accept(request: Request, parts: Parts, caller: Caller, idempotency_key: str | None) -> Job:
    """Receive the recording of `request` and return its job, which is durable then.

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


async def _submit(parts: Parts, caller: Caller, form: Form, incoming: Path, idempotency_key: str | None) -> Job:
    given = requests.parse(form.fields)
    if given.priority > 0:
        need(caller, Scope.ADMIN, "A priority above 0")
    options = requests.options(given, parts.settings)
    fingerprint = requests.fingerprint(options, given, form.sha256)
    async with parts.probes:
        duration = await _look(incoming, options.channels)
    if duration and duration > (longest := parts.settings.max_duration_hours) * 3600:
        raise ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The recording is longer than {longest:g} hours, the most this server takes (MAX_DURATION_HOURS).",
            param="file",
        )
    job = Job(
        owner=caller.name,
        options=options,
        upload=Upload(form.filename or "recording", form.size, form.sha256, duration),
        priority=given.priority,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
    )
    if idempotency_key is None:
        return await _kept(parts, job, incoming)
    async with parts.idempotency:
        earlier = await parts.store.by_idempotency_key(caller.name, idempotency_key)
        if earlier is None:
            return await _kept(parts, job, incoming)
    if earlier.fingerprint != fingerprint:
        raise ApiError(HTTPStatus.CONFLICT, "This Idempotency-Key was used for another request: take a new one.")
    return earlier


async def _look(incoming: Path, channels: Channels) -> float | None:
    try:
        return await decoder.probe(incoming, channels)
    except decoder.NotAudio as error:
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The recording can't be read: {error}.", param="file"
        ) from error
    except decoder.DecoderDied as error:  # killed for memory, or out of time: perhaps no fault of the file's
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE, f"The recording could not be looked at: {error}. Try again later.",
            headers={"Retry-After": "10"},
        ) from error  # fmt: skip


async def _kept(parts: Parts, job: Job, incoming: Path, voices: Sequence[Reference] = ()) -> Job:
    """Keep a recording and its job: both or neither, even if the request is cancelled meanwhile."""
    return await asyncio.shield(_keep(parts, job, incoming, voices))


async def _keep(parts: Parts, job: Job, incoming: Path, voices: Sequence[Reference]) -> Job:
    """Make the file the job's recording, then put the job on record; what fails leaves neither.

    `voices` are those of the known speakers that its options name.
    """
    await parts.storage.keep_upload(incoming, job.id)
    try:
        await references.keep(parts.storage, job.id, voices)
        return await parts.manager.submit(job)
    except Exception:
        await parts.storage.delete(job.id)
        raise
