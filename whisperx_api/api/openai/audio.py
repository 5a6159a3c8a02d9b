"""`/v1/audio/transcriptions` and `/v1/audio/translations`: a drop-in for OpenAI's, through the queue of all jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from whisperx_api.api import answers as tasks
from whisperx_api.api.attended import Attended, BrokenOff, HungUp, ended_soon, kept_alive
from whisperx_api.api.auth import Reader
from whisperx_api.api.errors import OPENAI_ERRORS, ApiError, bad_parameter, openai_body
from whisperx_api.api.limits import Submitter
from whisperx_api.api.multipart import PLAIN, Rules
from whisperx_api.api.openai import answers, fields, stream
from whisperx_api.api.openai.schemas import ANSWERS, RESULT
from whisperx_api.api.parts import Parts, PartsOf
from whisperx_api.api.schemas import form_of
from whisperx_api.api.transcribe import SHUTTING_DOWN
from whisperx_api.api.uploads import Read, accept
from whisperx_api.formats.pages import Page
from whisperx_api.formats.writing import encoded
from whisperx_api.jobs.desk import Draining
from whisperx_api.jobs.job import Job, JobStatus
from whisperx_api.jobs.view import JobView
from whisperx_api.keys import Caller

router = APIRouter(prefix="/v1/audio", tags=["openai"], responses=OPENAI_ERRORS)

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]
RETRY_COUNT = "x-stainless-retry-count"
"""In this header OpenAI's clients say how often they have sent a request before."""
BLANKS = {"text/vtt": "WEBVTT\n\n"}
"""What has to be sent first of a form before white space means nothing in it."""


@router.post("/transcriptions", response_class=Response, responses=ANSWERS,
             openapi_extra={"requestBody": form_of(fields.TranscriptionFields)})  # fmt: skip
async def transcriptions(
    request: Request, parts: PartsOf, caller: Submitter, idempotency_key: IdempotencyKey = None
) -> Response:
    """What is said in a recording. The answer comes when it is known; `stream` sends text as it comes, and `async`
    only the task, to be asked for later. Hanging up cancels it, unless it has an `Idempotency-Key`."""
    job, wanted = await _accepted(request, parts, caller, idempotency_key, fields.of_transcription, fields.RULES)
    if wanted.asynchronous:
        place = str(request.url_for("transcription", task_id=job.id).path)
        return JSONResponse(answers.task(JobView(job, 0.0)), HTTPStatus.ACCEPTED, headers={"Location": place})
    hung_up = _hung_up(parts, job, idempotency_key)
    if wanted.stream:
        return Attended(stream.events(parts, job, wanted), hung_up, "text/event-stream")
    return await _answer(request, parts, job, wanted, hung_up)


@router.post("/translations", response_class=Response, responses=ANSWERS,
             openapi_extra={"requestBody": form_of(fields.TranslationFields)})  # fmt: skip
async def translations(
    request: Request, parts: PartsOf, caller: Submitter, idempotency_key: IdempotencyKey = None
) -> Response:
    """What is said in a recording, in English."""
    job, wanted = await _accepted(request, parts, caller, idempotency_key, fields.of_translation)
    return await _answer(request, parts, job, wanted, _hung_up(parts, job, idempotency_key))


@router.get("/transcriptions/{task_id}", response_class=Response, responses=RESULT)
async def transcription(
    task_id: str,
    parts: PartsOf,
    caller: Reader,
    response_format: fields.ResponseFormat = fields.ResponseFormat.VERBOSE_JSON,
    page: Annotated[int | None, Query(ge=1)] = None,
    page_size: Annotated[int | None, Query(ge=1, le=1000)] = None,
) -> Response:
    """A task that was sent with `async`: how it is, and once it is completed its transcript beside that, whole or with
    `page` and `page_size` (100) segments at a time. Forms that are no JSON are there once it is completed."""
    view = await tasks.find(parts, task_id, caller)
    wanted = fields.AudioWanted(view.job.options, format=response_format, granularities=tuple(fields.Granularity))
    if not (form := answers.format_of(wanted)).is_json:
        if page or page_size:
            raise bad_parameter("page", "page and page_size need a response_format of JSON.")
        if not view.job.status.finished:
            raise ApiError(HTTPStatus.CONFLICT, f"There is no result: the task is {view.job.status.value}.")
        transcript = await answers.completed(parts, view)
        return Response(await answers.body(view.job, transcript, wanted), media_type=form.media_type)
    content = answers.task(view)
    if view.job.status is JobStatus.COMPLETED:
        shown = Page(page or 1, page_size or 100) if page or page_size else None
        transcript = await answers.completed(parts, view)
        content |= await asyncio.to_thread(answers.as_dict, view.job.options.task, transcript, wanted, shown)
    return Response(await asyncio.to_thread(encoded, content), media_type=form.media_type)


async def _accepted(
    request: Request,
    parts: Parts,
    caller: Caller,
    idempotency_key: str | None,
    read: Read[fields.AudioWanted],
    rules: Rules = PLAIN,
) -> tuple[Job, fields.AudioWanted]:
    again = request.headers.get(RETRY_COUNT, "0") != "0"
    try:
        accepted = await accept(request, parts, caller, idempotency_key, read, rules, again)
    except Draining:
        raise SHUTTING_DOWN from None
    return accepted.job, accepted.wanted


def _hung_up(parts: Parts, job: Job, idempotency_key: str | None) -> HungUp:
    """Return what hanging up does: it cancels the job, but not one that may be asked for again by its key."""

    async def hung_up() -> None:
        if idempotency_key is None:
            await parts.manager.cancel(job.id)

    return hung_up


async def _answer(request: Request, parts: Parts, job: Job, wanted: fields.AudioWanted, hung_up: HungUp) -> Response:
    """Wait for a job and return its answer: at once when it is there soon, else as a body that keeps the line alive."""
    ending = await ended_soon(parts, job.id, request, hung_up)
    media_type = answers.format_of(wanted).media_type
    if ending.done():
        transcript = await answers.completed(parts, ending.result())
        return Response(await answers.body(job, transcript, wanted), media_type=media_type)

    async def content() -> AsyncIterator[str]:
        begun = BLANKS.get(media_type.partition(";")[0], "")
        yield begun
        async for sign in kept_alive(ending, "\n", parts.settings.keep_alive_seconds):
            yield sign
        try:
            transcript = await answers.completed(parts, ending.result())
        except ApiError as error:
            yield encoded(openai_body(error)).decode()
            raise BrokenOff from error
        yield (await answers.body(job, transcript, wanted)).decode().removeprefix(begun)

    return Attended(content(), hung_up, media_type)
