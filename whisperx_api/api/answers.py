"""From jobs to what is answered: statuses and transcripts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi.responses import Response

from whisperx_api import log
from whisperx_api.api.errors import ApiError
from whisperx_api.api.parts import Parts
from whisperx_api.api.schemas import TaskStatus
from whisperx_api.formats.cues import Layout
from whisperx_api.formats.json import to_dict
from whisperx_api.formats.pages import Page
from whisperx_api.formats.writing import Format, Wanted, encoded, write
from whisperx_api.jobs.job import Job, JobStatus
from whisperx_api.jobs.view import JobView
from whisperx_api.keys import Caller
from whisperx_api.transcript import Transcript, Unreadable

logger = logging.getLogger(__name__)

T = TypeVar("T")

MESSAGES = {
    JobStatus.PENDING: "Waiting in the queue",
    JobStatus.PROCESSING: "In work",
    JobStatus.COMPLETED: "Completed",
    JobStatus.FAILED: "Failed",
    JobStatus.CANCELLED: "Cancelled",
}


def status_of(view: JobView) -> TaskStatus:
    """Return a task's status without its result."""
    job = view.job
    return TaskStatus(
        task_id=job.id,
        filename=job.upload.name,
        duration=job.upload.duration,
        status=job.status,
        progress=round(100 * (1.0 if job.status is JobStatus.COMPLETED else view.progress), 1),
        stage=view.stage,
        message=(None if job.status.finished else view.message) or MESSAGES[job.status],
        queue_position=view.queue_position,
        eta_seconds=None if view.eta is None or job.status.finished else round(view.eta, 1),
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        error=job.error,
        cached=job.cached,
    )


async def of_transcript(parts: Parts, job: Job, make: Callable[[Transcript], T]) -> T:
    """Return what `make`, off the event loop, makes of a completed job's transcript, edits made.

    Raises a 500 where it can't be read from the disk.
    """
    try:
        return await parts.manager.result(job, make)
    except (OSError, Unreadable) as error:
        logger.error("task %s: its transcript can't be read: %s", job.id, error)
        raise ApiError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "The transcript can't be read from the server's disk, for a reason that is in its log: send the recording "
            "again.",
        ) from error


async def transcript(parts: Parts, job: Job) -> Transcript:
    """Return a completed job's transcript. Raises as `of_transcript`."""
    return await of_transcript(parts, job, lambda transcript: transcript)


async def with_transcript(parts: Parts, job: Job, status: dict[str, Any]) -> bytes:
    """Return a completed job's status with its transcript, as JSON. Raises as `of_transcript`."""

    def whole(transcript: Transcript) -> bytes:
        return encoded(status | {"result": to_dict(job.id, transcript, words=job.options.word_timestamps)})

    return await of_transcript(parts, job, whole)


async def written(
    parts: Parts, job: Job, format: Format = Format.JSON, *, page: Page | None = None, layout: Layout | None = None
) -> Response:
    """Return a completed job's transcript in a format. Raises as `of_transcript`.

    Words stay out of JSON where the job's options say so.
    """
    words = job.options.word_timestamps
    wanted = Wanted(job.id, job.upload.name, job.options.task, words, page, layout or Layout())
    text = await of_transcript(parts, job, functools.partial(write, format=format, wanted=wanted))
    return Response(text, media_type=format.media_type)


async def find_completed(parts: Parts, task_id: str, caller: Caller) -> Job:
    """Return the caller's completed task. Raises a 404, and a 409 with the status of one that is not completed."""
    view = await find(parts, task_id, caller)
    if view.job.status is not JobStatus.COMPLETED:
        task = status_of(view).model_dump(mode="json")
        raise ApiError(HTTPStatus.CONFLICT, f"There is no result: the task is {view.job.status.value}.", task=task)
    return view.job


async def find(parts: Parts, task_id: str, caller: Caller) -> JobView:
    """Return the caller's task. Raises a 404, for another's as well."""
    view = await find_any(parts, task_id)
    if view.job.owner != caller.name:
        raise no_task(task_id)
    return view


async def find_any(parts: Parts, task_id: str) -> JobView:
    """Return a task, whoever's it is. Raises a 404."""
    view = await parts.manager.view(task_id)
    if view is None:
        raise no_task(task_id)
    log.note(task_id=task_id)
    return view


def no_task(task_id: str) -> ApiError:
    """A 404 that names the task."""
    return ApiError(HTTPStatus.NOT_FOUND, f"There is no task {task_id[:64]}.")
