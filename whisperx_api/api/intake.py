"""Whether a recording is taken in at all: what is looked at before anything of it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

from fastapi import Request

from whisperx_api.api.arrivals import too_large
from whisperx_api.api.bodies import stated_length
from whisperx_api.api.errors import ApiError
from whisperx_api.api.parts import Parts
from whisperx_api.jobs.admission import QueueFull
from whisperx_api.jobs.desk import Draining
from whisperx_api.keys import Caller

QUEUE_PAUSE = 30
"""Seconds after which to ask again where too many tasks wait: some are done by then."""
UPLOADS_PAUSE = 5
"""The same where too many uploads are on their way."""


@asynccontextmanager
async def taking_in(request: Request, parts: Parts, caller: Caller, most: int) -> AsyncIterator[None]:
    """Hold a place for an upload whose form has at most `most` bytes, from before it is read until it is a task.

    Raises `ApiError`: 413, 429 and 503; and `Draining`.
    """
    if parts.manager.draining:
        raise Draining
    if absent := parts.fleet.absent:
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, f"This server can't transcribe. {absent}")
    if stated_length(request) > most:
        raise too_large(parts.settings.max_file_size)
    with queueing():
        await parts.manager.check(caller.name)
        with parts.uploads.take() as place:
            if not place:
                raise ApiError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"The server takes {parts.settings.max_uploads} uploads at once (MAX_UPLOADS): try again soon.",
                    headers={"Retry-After": str(UPLOADS_PAUSE)},
                )
            yield


@contextmanager
def queueing() -> Iterator[None]:
    """Answer for a queue that is full: 503, or 429 where it is full of the caller's own tasks."""
    try:
        yield
    except QueueFull as error:
        status = HTTPStatus.TOO_MANY_REQUESTS if error.own else HTTPStatus.SERVICE_UNAVAILABLE
        raise ApiError(status, str(error), headers={"Retry-After": str(QUEUE_PAUSE)}) from error
