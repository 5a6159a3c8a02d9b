"""Rate limits as requests meet them: what is counted, the 429, and the headers that say how a key stands.

The headers are those of the IETF's draft-ietf-httpapi-ratelimit-headers-06.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperx_api.api.auth import Transcriber
from whisperx_api.api.errors import ApiError
from whisperx_api.api.parts import PartsOf
from whisperx_api.keys import Caller
from whisperx_api.rates import Standing

_HEADERS = "rate_limit_headers"
"""Where a request's state holds the headers of its answer."""


async def submitter(request: Request, parts: PartsOf, caller: Transcriber) -> Caller:
    """Return who submits a recording, counted before the body is read, whatever comes of it. Raises a 429."""
    if parts.limiter is None:
        return caller
    standing = await parts.limiter.submit(caller.name)
    setattr(request.state, _HEADERS, _headers(standing))
    if not standing.allowed:
        raise ApiError(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"This key may submit {standing.rate}: try again in {standing.reset} s.",
            headers={"Retry-After": str(standing.reset)},
        )
    return caller


Submitter = Annotated[Caller, Depends(submitter)]
"""Who submits a recording, allowed to and within the rate limits."""


class RateLimitHeaders:
    """Puts the headers on the answer of every request that was counted, be it an error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state = scope.setdefault("state", {})

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(state.get(_HEADERS, {}))
            await send(message)

        return await self._app(scope, receive, tell)


def _headers(standing: Standing) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(standing.limit),
        "RateLimit-Remaining": str(standing.remaining),
        "RateLimit-Reset": str(standing.reset),
    }
