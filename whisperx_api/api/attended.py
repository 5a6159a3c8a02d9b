"""Answers that take as long as a job does: somebody waits for them, and may hang up.

What a caller's hanging up means is for the endpoint to say. One who waits hears something now and then, so that neither
their client nor a proxy between takes the connection for dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Send

from whisperx_api.api.parts import Parts
from whisperx_api.jobs.view import JobView

HungUp = Callable[[], Awaitable[object]]
"""What is done when a caller has hung up."""


class BrokenOff(Exception):
    """The answer can't be brought to its end, though its beginning was sent."""


class Attended(StreamingResponse):
    """A stream that somebody waits for: `hung_up` is awaited if they go before its end.

    Where the content raises `BrokenOff` the connection is closed in the middle of the body, so that no client takes
    what it has for the whole.
    """

    def __init__(self, content: AsyncIterator[str], hung_up: HungUp, media_type: str) -> None:
        super().__init__(content, media_type=media_type, headers={"Cache-Control": "no-store"})
        self._hung_up = hung_up
        self._said = False

    async def listen_for_disconnect(self, receive: Receive) -> None:
        await super().listen_for_disconnect(receive)
        if not self._said:  # after the end everybody hangs up
            await self._hung_up()

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for chunk in self.body_iterator:
                await send({"type": "http.response.body", "body": str(chunk).encode(), "more_body": True})
        except BrokenOff:
            return
        finally:
            self._said = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def ended(parts: Parts, task_id: str) -> JobView | None:
    """Wait until a job has ended, and return how it is then; None if it was deleted."""
    with parts.events.listen(task_id) as queue:
        while True:
            view = await parts.manager.view(task_id)
            if view is None or view.job.status.finished:
                return view
            await queue.get()


async def ended_soon(parts: Parts, task_id: str, request: Request, hung_up: HungUp) -> asyncio.Task[JobView | None]:
    """Wait for a job's end, `KEEP_ALIVE_SECONDS` at most; return the task that still waits for it, or has.

    If the caller of `request`, whose body has been read, goes meanwhile, `hung_up` is awaited.
    """
    ending = asyncio.create_task(ended(parts, task_id))
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait(
            {ending, leaving}, timeout=parts.settings.keep_alive_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if leaving.done() and not ending.done():
            await hung_up()
            await ending
    except BaseException:
        ending.cancel()
        raise
    finally:
        leaving.cancel()
    return ending


async def kept_alive(ending: asyncio.Task[JobView | None], sign: str, seconds: float) -> AsyncIterator[str]:
    """Yield `sign` every so many seconds until a job has ended."""
    try:
        while not ending.done():
            yield sign
            await asyncio.wait({ending}, timeout=seconds)
    finally:
        ending.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
