"""`/api/v1/transcribe/events`: a task's progress and text as they come, as Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent

from whisperx_api.api import answers
from whisperx_api.api.auth import Reader
from whisperx_api.api.errors import PROBLEMS
from whisperx_api.api.parts import PartsOf
from whisperx_api.formats.json import segment_dict
from whisperx_api.jobs.events import EventKind
from whisperx_api.jobs.job import JobStatus
from whisperx_api.jobs.view import JobView

router = APIRouter(prefix="/api/v1/transcribe", tags=["transcribe"], responses=PROBLEMS)


async def own_task(task_id: str, parts: PartsOf, caller: Reader) -> JobView:
    """Return the caller's task. Raises a 404."""
    return await answers.find(parts, task_id, caller)


@router.get("/events/{task_id}", response_class=EventSourceResponse)
async def events(
    task_id: str, parts: PartsOf, caller: Reader, begun: Annotated[JobView, Depends(own_task)]
) -> AsyncIterator[ServerSentEvent]:
    """`progress`, `segment` as text is ready, and one of `completed`, `failed`, `cancelled` at the end.

    Each carries JSON; all but `segment` that of the status. A segment here is a stretch as it was decoded, up to half a
    minute and numbered as it is heard: the result has them cut into sentences and by speaker."""
    said: dict[str, Any] = {}
    heard = 0
    with parts.events.listen(task_id) as queue:
        while True:
            view = await parts.manager.view(task_id)
            if view is None:  # it was deleted
                yield ServerSentEvent(event=JobStatus.CANCELLED.value, data=said | {"status": JobStatus.CANCELLED})
                return
            status = answers.status_of(view).model_dump(mode="json", exclude={"result"})
            if view.job.status.finished:
                yield ServerSentEvent(event=view.job.status.value, data=status)
                return
            if status != said:
                said = status
                yield ServerSentEvent(event=EventKind.PROGRESS.value, data=status)
            event = await queue.get()
            if event.segment is not None:
                yield ServerSentEvent(event=EventKind.SEGMENT.value, data=segment_dict(heard, event.segment))
                heard += 1
