"""A file of which a client may ask for parts (RFC 9110, section 14)."""

from __future__ import annotations

from http import HTTPStatus

from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from whisperx_api.api.errors import ApiError, problem

REFUSALS = {
    HTTPStatus.BAD_REQUEST: "Range must be as in 'bytes=0-499'.",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "The range asked for lies past the recording's end.",
}


class RangedFile(FileResponse):
    """Starlette's, which serves ranges but refuses wrong ones in plain text: here they are problems as all others."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: ApiError | None = None
        if not Headers(scope=scope).get("range", "bytes").startswith("bytes"):  # an unknown unit is passed over
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}

        async def unless_refused(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in REFUSALS:
                status = HTTPStatus(message["status"])
                ranges = {key.decode(): value.decode() for key, value in message["headers"] if key == b"content-range"}
                refused = ApiError(status, REFUSALS[status], param="Range", headers=ranges)
            if refused is None:
                await send(message)

        await super().__call__(scope, receive, unless_refused)
        if refused is not None:
            await problem(refused)(scope, receive, send)
