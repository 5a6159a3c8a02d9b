"""`/api/v1/transcribe/status`: what clients poll, so what costs little when it is asked a thousand times a second."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from whisperx_api import log
from whisperx_api.api import answers
from whisperx_api.api.auth import Reader, reader_of
from whisperx_api.api.errors import PROBLEMS, ApiError
from whisperx_api.api.parts import Parts, PartsOf, parts
from whisperx_api.api.remembered import Poll
from whisperx_api.api.schemas import TaskStatus
from whisperx_api.api.webhooks import shown
from whisperx_api.formats.writing import encoded
from whisperx_api.jobs.job import JobStatus
from whisperx_api.jobs.webhooks import MAX_WEBHOOKS
from whisperx_api.keys import Caller

QUERIES = {b"": True, b"include_result=true": True, b"include_result=false": False}
"""The queries of polls that may be answered from memory, and whether they ask for the transcript."""


class FromMemory(APIRoute):
    """Gives what is remembered before FastAPI takes the request apart, which costs more than all else of an answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await _from_memory(request) or await usual(request)

        return handle


router = APIRouter(prefix="/api/v1/transcribe", tags=["transcribe"], responses=PROBLEMS, route_class=FromMemory)


async def _from_memory(request: Request) -> Response | None:
    """Return what is remembered of a task for who asks; None where there is nothing. Raises a 401 and a 403."""
    if (with_result := QUERIES.get(request.scope["query_string"])) is None:
        return None
    caller, task_id = await reader_of(request), request.path_params["task_id"]
    answer = (await parts(request)).remembered.get(Poll(caller.name, task_id, with_result))
    return None if answer is None else _response(answer, task_id)


def _response(answer: bytes, task_id: str) -> Response:
    log.note(task_id=task_id)
    return Response(answer, media_type="application/json")


@router.get("/status/{task_id}", response_model=TaskStatus)
async def status(task_id: str, parts: PartsOf, caller: Reader, include_result: bool = True) -> Response | TaskStatus:
    """How a task is; `result` is the transcript once it is completed, `webhooks` who was told of its end."""
    poll = Poll(caller.name, task_id, include_result)
    async with parts.remembered.turn(poll):
        answer = parts.remembered.get(poll) or await _status(parts, caller, poll)
    return _response(answer, task_id) if isinstance(answer, bytes) else answer


async def _status(parts: Parts, caller: Caller, poll: Poll) -> bytes | TaskStatus:
    """Return how a task is; what is said of one that has ended is remembered, as JSON."""
    mark = parts.remembered.mark
    view = await answers.find(parts, poll.task_id, caller)
    answer = answers.status_of(view)
    if not view.job.status.finished:
        return answer
    told = await parts.outbox.page(caller.name, poll.task_id, MAX_WEBHOOKS, None)
    answer = answer.model_copy(update={"webhooks": [shown(webhook) for webhook in told]})
    content = answer.model_dump(mode="json")
    if poll.with_result and view.job.status is JobStatus.COMPLETED:
        try:
            written = await answers.with_transcript(parts, view.job, content)
        except ApiError as error:
            return answer.model_copy(update={"message": error.detail})
    else:
        written = encoded(content)
    parts.remembered.keep(poll, written, mark)
    return written
