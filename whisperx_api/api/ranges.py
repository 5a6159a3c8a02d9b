"""A file of which a client may ask for parts (RFC 9110, section 14)."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from whisperx_api.api.errors import ApiError, problem
from whisperx_api.storage.protocol import StoredObject

REFUSALS = {
    HTTPStatus.BAD_REQUEST: "Range must be as in 'bytes=0-499'.",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "The range asked for lies past the recording's end.",
}


LONGEST_PIECE = 2 * 1024**2
"""Most bytes of an object that are read at once, and held in memory."""


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


class RangedObject(RangedFile):
    """A file that lies elsewhere: its parts are read there as they are sent."""

    def __init__(self, source: StoredObject, **answer: Any) -> None:
        state = os.stat_result((stat.S_IFREG, 0, 0, 1, 0, 0, source.size, *(int(source.modified),) * 3))
        super().__init__(source.etag or "", stat_result=state, **answer)
        self._source = source

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[Any]:
        """Give what is read from in place of a file, which is all that differs from one."""
        yield Reading(self._source)


class Reading:
    """Reads an object as a file is read, ever further ahead: who takes little of it costs little."""

    def __init__(self, source: StoredObject) -> None:
        self._source = source
        self._place = 0
        self._ahead = memoryview(b"")
        self._length = 0

    async def seek(self, place: int) -> None:
        """Go on at `place`, in bytes."""
        self._place, self._ahead, self._length = place, memoryview(b""), 0

    async def read(self, size: int) -> bytes:
        """Return the next `size` bytes, or what is left. Raises `OSError`."""
        data = b""
        while len(data) < size and (self._ahead or self._place < self._source.size):
            if not self._ahead:
                self._length = max(size, min(2 * self._length, LONGEST_PIECE))
                end = min(self._place + self._length, self._source.size)
                self._ahead = memoryview(await self._source.read(self._place, end))
                self._place = end
            wanted = size - len(data)
            data, self._ahead = data + bytes(self._ahead[:wanted]), self._ahead[wanted:]
        return data


def ranged(source: Path | StoredObject, media_type: str, name: str, headers: Mapping[str, str]) -> RangedFile:
    """Answer with a recording called `name`, wherever it is."""
    if isinstance(source, Path):
        return RangedFile(source, media_type=media_type, filename=name, headers=headers)
    tag = {"ETag": source.etag} if source.etag else {}
    return RangedObject(source, media_type=media_type, filename=name, headers={**headers, **tag})
