"""Answers in OpenAI's forms."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from whisperx_api.api import answers
from whisperx_api.api.errors import ApiError
from whisperx_api.api.openai.fields import AudioWanted, Granularity, ResponseFormat
from whisperx_api.api.parts import Parts
from whisperx_api.engine.protocol import Stage
from whisperx_api.formats import openai, writing
from whisperx_api.formats.pages import Page
from whisperx_api.jobs.job import Job, JobStatus
from whisperx_api.jobs.view import JobView
from whisperx_api.options import Task
from whisperx_api.transcript import TokenLogprob, Transcript

NO_RETRY = {"x-should-retry": "false"}
"""Tells OpenAI's clients, which send a request that failed again, not to: it would fail again."""


async def completed(parts: Parts, view: JobView | None) -> Transcript:
    """Return the transcript of a job that has ended. Raises an `ApiError` where it has none."""
    if view is None or view.job.status is JobStatus.CANCELLED:
        raise ApiError(HTTPStatus.CONFLICT, "The task was cancelled or deleted.", headers=NO_RETRY)
    job = view.job
    if job.status is JobStatus.FAILED:
        if job.stage is Stage.DECODE:
            raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, job.error or "", param="file", headers=NO_RETRY)
        raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, job.error or "", headers=NO_RETRY)
    return await answers.transcript(parts, job)


def format_of(wanted: AudioWanted) -> writing.Format:
    """Return the format that was asked for; OpenAI's json is another than the service's own."""
    return writing.Format(wanted.format.value)


async def body(job: Job, transcript: Transcript, wanted: AudioWanted) -> bytes:
    """Return a transcript in the form that was asked for."""
    return await asyncio.to_thread(_body, job, transcript, wanted)


def _body(job: Job, transcript: Transcript, wanted: AudioWanted) -> bytes:
    if format_of(wanted).is_json:
        return writing.encoded(as_dict(job.options.task, transcript, wanted))
    if format_of(wanted) is writing.Format.TEXT:  # OpenAI's names nobody in it
        return f"{transcript.text}\n".encode()
    return writing.write(transcript, format_of(wanted), writing.Wanted(job.id, job.upload.name, job.options.task))


def as_dict(task: Task, transcript: Transcript, wanted: AudioWanted, page: Page | None = None) -> dict[str, Any]:
    """Return a transcript, or a page of its segments, in the form of JSON that was asked for."""
    if wanted.format is ResponseFormat.DIARIZED_JSON:
        return openai.diarized(transcript, page)
    if wanted.format is ResponseFormat.VERBOSE_JSON:
        return openai.verbose(
            transcript, task, words=Granularity.WORD in wanted.granularities,
            segments=Granularity.SEGMENT in wanted.granularities, page=page,
        )  # fmt: skip
    answer: dict[str, Any] = {"text": transcript.text}
    if wanted.logprobs:
        answer["logprobs"] = logprobs(token for segment in transcript.segments for token in segment.logprobs)
    return answer | {"usage": openai.usage(transcript.duration)}


def task(view: JobView) -> dict[str, Any]:
    """Return how a task is that was sent with `async`."""
    status = answers.status_of(view)
    return status.model_dump(mode="json", include={"task_id", "status", "progress", "error"})


def logprobs(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """Return tokens as OpenAI's clients read them. Bytes that are less than a character show as U+FFFD in `token`."""
    return [
        {"token": (raw := bytes.fromhex(token.bytes)).decode(errors="replace"), "bytes": list(raw),
         "logprob": token.logprob}
        for token in tokens
    ]  # fmt: skip
