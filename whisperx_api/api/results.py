"""`/api/v1/transcribe/result`: the transcript in every format, and what people put right in it."""

from __future__ import annotations

import errno
import functools
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from whisperx_api.api import answers, corrections
from whisperx_api.api.auth import Reader, Transcriber
from whisperx_api.api.bodies import receive_json
from whisperx_api.api.errors import PROBLEMS, ApiError, bad_parameter
from whisperx_api.api.parts import PartsOf
from whisperx_api.api.schemas import TranscriptOut
from whisperx_api.formats.cues import Layout
from whisperx_api.formats.pages import Page
from whisperx_api.formats.writing import MEDIA_TYPES, Format
from whisperx_api.jobs.edits import Changed

router = APIRouter(prefix="/api/v1/transcribe", tags=["transcribe"], responses=PROBLEMS)

PAGE_SIZE = 100
"""Segments on a page where only its number is given."""
MANY_FORMATS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The transcript; the schema is that of `json`",
        "content": {media_type.split(";")[0]: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()},
    }
}
"""For the OpenAPI document."""


@router.get("/result/{task_id}", response_model=TranscriptOut, responses=MANY_FORMATS)
async def result(
    task_id: str,
    parts: PartsOf,
    caller: Reader,
    format: Format = Format.JSON,
    page: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    page_size: Annotated[int | None, Query(ge=1, le=1000)] = None,
    max_line_width: Annotated[int | None, Query(ge=1, le=1000)] = None,
    max_line_count: Annotated[int | None, Query(ge=1, le=100)] = None,
    highlight_words: bool = False,
) -> Response:
    """The transcript. 409 until the task is completed, with its status in `task`.

    JSON comes whole, or with `page` and `page_size` (100) segments at a time. Subtitles (srt, vtt) have a cue a
    segment; `max_line_width` (characters, 42 where only a count is given) and `max_line_count` cut them for reading,
    and `highlight_words` underlines each word as it is said."""
    if not format.is_json:
        _refuse(format, "in pages: take json, verbose_json or diarized_json", page=page, page_size=page_size)
    if not format.is_subtitle:
        lines = {"max_line_width": max_line_width, "max_line_count": max_line_count}
        _refuse(format, "as subtitles: take srt or vtt", **lines, highlight_words=highlight_words or None)
    job = await answers.find_completed(parts, task_id, caller)
    wanted = Page(page or 1, page_size or PAGE_SIZE) if page or page_size else None
    layout = Layout(max_line_width, max_line_count, highlight_words)
    return await answers.written(parts, job, format, page=wanted, layout=layout)


@router.patch(
    "/result/{task_id}", response_model=TranscriptOut,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": corrections.schema()}},
        }
    },
)  # fmt: skip
async def edit(task_id: str, request: Request, parts: PartsOf, caller: Transcriber) -> Response:
    """Name speakers and put texts right; the answer is the transcript, and every format follows.

    Words that stay keep their times, new ones get some in between, without a score. An empty name takes the name away.
    Edits add up. Who sends with a text what it `was` overwrites nobody else's: 409 where it is another by now, and
    nothing is changed. 409 also until the task is completed."""
    job = await answers.find_completed(parts, task_id, caller)
    body = await receive_json(request, corrections.MAX_BODY)
    try:
        changes = await answers.of_transcript(parts, job, functools.partial(corrections.parse, body))
        kept = await parts.manager.edit(job.id, changes)
    except Changed as error:
        raise ApiError(HTTPStatus.CONFLICT, str(error), param="segments") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ApiError(HTTPStatus.INSUFFICIENT_STORAGE, "The server's disk is full: try again later.") from error
    if not kept:
        raise answers.no_task(job.id)
    return await answers.written(parts, job)


def _refuse(format: Format, what: str, **parameters: object) -> None:
    """Raise a 400 for a parameter that is given and has nothing to do in a format."""
    for name, value in parameters.items():
        if value is not None:
            raise bad_parameter(name, f"{name} has no meaning here, {format.value} does not come {what}.")
