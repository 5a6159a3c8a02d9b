"""`/api/v1/transcribe/audio` and `/waveform`: the recording as it was sent, links to it, and how it looks."""

from __future__ import annotations

import mimetypes
from array import array
from base64 import b64decode
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from whisperx_api.api import answers
from whisperx_api.api.auth import HeaderKey, Reader, Token, reader
from whisperx_api.api.errors import PROBLEMS, ApiError
from whisperx_api.api.links import Link
from whisperx_api.api.parts import PartsOf
from whisperx_api.api.ranges import RangedFile, ranged
from whisperx_api.jobs.view import JobView
from whisperx_api.transcript import SAMPLE_RATE, Transcript

router = APIRouter(prefix="/api/v1/transcribe", tags=["transcribe"], responses=PROBLEMS)

NO_WAVEFORM = ApiError(
    HTTPStatus.NOT_FOUND, "This transcript was made by a version that drew no waveforms: send the recording again."
)


class AudioLink(BaseModel):
    """A link to a recording that needs no key."""

    url: str = Field(description="Path and query on this server.")
    expires_at: datetime = Field(description="Until when it leads anywhere.")


class WaveformOut(BaseModel):
    """A waveform in the form of BBC's audiowaveform, which draws in many players."""

    version: int = 2
    channels: int = 1
    sample_rate: int = SAMPLE_RATE
    samples_per_pixel: int
    bits: int = 8
    length: int = Field(description="Pixels.")
    data: list[int] = Field(description="The lowest and the highest sample of one pixel after the other, -128 to 127.")


async def to_be_heard(
    request: Request,
    task_id: str,
    parts: PartsOf,
    key: HeaderKey,
    token: Token,
    expires: Annotated[int | None, Query(description="Of a link: seconds since 1970.", ge=0, le=2**40)] = None,
    signature: Annotated[str | None, Query(description="Of a link.", max_length=64)] = None,
) -> JobView:
    """Return the task whose recording is asked for by its owner or by a link. Raises a 401, 403 and 404."""
    if signature is None or expires is None:
        return await answers.find(parts, task_id, await reader(request, key, token))
    if not await parts.links.good(task_id, Link(expires, signature)):
        raise ApiError(HTTPStatus.FORBIDDEN, "This link to a recording is over, or never was one: ask for a new one.")
    return await answers.find_any(parts, task_id)


@router.head("/audio/{task_id}", include_in_schema=False, response_class=FileResponse)
@router.get("/audio/{task_id}", response_class=FileResponse)
async def audio(parts: PartsOf, view: Annotated[JobView, Depends(to_be_heard)]) -> RangedFile:
    """The recording as it was sent; byte ranges are served. A link made below needs no key."""
    try:
        recording = await parts.storage.stored(view.job.id)
    except FileNotFoundError:
        raise ApiError(
            HTTPStatus.NOT_FOUND, "The recording of this task is not on the server's disk any more."
        ) from None
    kind = mimetypes.guess_type(view.job.upload.name)[0] or ""
    media_type = kind if kind.startswith(("audio/", "video/")) else "application/octet-stream"
    return ranged(recording, media_type, view.job.upload.name, {"X-Content-Type-Options": "nosniff"})


@router.post("/audio/{task_id}/links", status_code=HTTPStatus.CREATED, response_model=AudioLink)
async def link(request: Request, task_id: str, parts: PartsOf, caller: Reader) -> AudioLink:
    """Make a link to the recording that needs no key for an hour, for players that can't send one."""
    await answers.find(parts, task_id, caller)
    made = await parts.links.sign(task_id)
    path = request.url_for("audio", task_id=task_id).path
    return AudioLink(url=f"{path}?expires={made.expires}&signature={made.signature}", expires_at=made.expires_at)


@router.get("/waveform/{task_id}", response_model=WaveformOut)
async def waveform(task_id: str, parts: PartsOf, caller: Reader) -> WaveformOut:
    """How the recording looks, to be drawn. 409 until the task is completed."""
    job = await answers.find_completed(parts, task_id, caller)
    found = await answers.of_transcript(parts, job, _waveform)
    if found is None:
        raise NO_WAVEFORM
    return found


def _waveform(transcript: Transcript) -> WaveformOut | None:
    if (drawn := transcript.waveform) is None:
        return None
    data = array("b", b64decode(drawn.peaks))
    return WaveformOut(samples_per_pixel=drawn.samples_per_pixel, length=len(data) // 2, data=data.tolist())
