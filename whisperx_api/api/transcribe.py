"""`/api/v1/transcribe`: upload a recording, list, cancel, retry and delete tasks."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from whisperx_api.api import answers
from whisperx_api.api.auth import Reader, Transcriber
from whisperx_api.api.errors import PROBLEMS, ApiError
from whisperx_api.api.intake import queueing
from whisperx_api.api.limits import Submitter
from whisperx_api.api.parts import PartsOf
from whisperx_api.api.requests import of_upload
from whisperx_api.api.schemas import TaskAccepted, TaskPage, TaskStatus, UploadFields, form_of
from whisperx_api.api.uploads import accept
from whisperx_api.jobs.desk import Draining
from whisperx_api.jobs.job import JobStatus

router = APIRouter(prefix="/api/v1/transcribe", tags=["transcribe"], responses=PROBLEMS)

SHUTTING_DOWN = ApiError(
    HTTPStatus.SERVICE_UNAVAILABLE, "The server is shutting down: try again later.", headers={"Retry-After": "10"}
)
RECEIVED = "The recording is received and will be transcribed."
DONE = "The recording is received, and its transcript is there."


@router.post(
    "/upload", status_code=HTTPStatus.ACCEPTED, response_model=TaskAccepted, response_model_exclude_none=True,
    openapi_extra={"requestBody": form_of(UploadFields)},
)  # fmt: skip
async def upload(
    request: Request,
    response: Response,
    parts: PartsOf,
    caller: Submitter,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> TaskAccepted:
    """Send a recording. The same `Idempotency-Key` with the same request within 24 hours gives the same task."""
    try:
        accepted = await accept(request, parts, caller, idempotency_key, of_upload)
    except Draining:
        raise SHUTTING_DOWN from None
    job, webhook = accepted.job, accepted.webhook
    response.headers["Location"] = str(request.url_for("status", task_id=job.id).path)
    return TaskAccepted(
        task_id=job.id,
        status=job.status,
        message=RECEIVED if job.completed_at is None else DONE,
        webhook_id=webhook.id if webhook else None,
        webhook_secret=webhook.secret if webhook else None,
    )


@router.post("/cancel/{task_id}", response_model=TaskStatus)
async def cancel(task_id: str, parts: PartsOf, caller: Transcriber) -> TaskStatus:
    """Stop a task. One that has ended stays as it is."""
    await answers.find(parts, task_id, caller)
    await parts.manager.cancel(task_id)
    return answers.status_of(await answers.find(parts, task_id, caller))


@router.post("/retry/{task_id}", response_model=TaskStatus)
async def retry(task_id: str, parts: PartsOf, caller: Transcriber) -> TaskStatus:
    """Take a failed or cancelled task up again, after its last finished stage. 409 for any other."""
    await answers.find(parts, task_id, caller)
    try:
        with queueing():
            again = await parts.manager.retry(task_id)
    except Draining:
        raise SHUTTING_DOWN from None
    view = await answers.find(parts, task_id, caller)
    if not again:
        raise ApiError(HTTPStatus.CONFLICT, f"The task is {view.job.status.value}: there is nothing to retry.")
    return answers.status_of(view)


@router.delete("/task/{task_id}", status_code=HTTPStatus.NO_CONTENT, response_class=Response)
async def delete(task_id: str, parts: PartsOf, caller: Transcriber) -> None:
    """Delete a task with its recording and its transcript. A running one is stopped first."""
    await answers.find(parts, task_id, caller)
    await parts.manager.delete(task_id)


@router.get("/tasks", response_model=TaskPage)
async def tasks(
    parts: PartsOf,
    caller: Reader,
    status: JobStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern="^[0-9]{1,18}$")] = None,
) -> TaskPage:
    """Your tasks, newest first."""
    jobs = await parts.manager.page(caller.name, status, limit + 1, int(cursor) if cursor else None)
    page = jobs[:limit]
    views = await parts.manager.views(page)
    return TaskPage(
        tasks=[answers.status_of(view) for view in views],
        next_cursor=str(page[-1].seq) if len(jobs) > limit else None,
    )
