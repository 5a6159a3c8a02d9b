"""A small JSON body, read up to a limit."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi import Request

from whisperx_api.api.errors import ApiError


async def receive_json(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object that a request carries.

    Raises `ApiError`: 413 where the body is over `limit` bytes, read no further than that; 400 where it is no JSON
    object, or holds a name twice.
    """
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > limit:
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {limit} bytes.")
    try:
        content = json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, _NamedTwice) else "The body is not JSON."
        raise ApiError(HTTPStatus.BAD_REQUEST, what) from None
    if not isinstance(content, dict):
        raise ApiError(HTTPStatus.BAD_REQUEST, "The body must be a JSON object.")
    return content


class _NamedTwice(ValueError):
    """An object has a name twice: which of the values is meant is not known."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise _NamedTwice(f"'{twice[:80]}' is in the body twice.")
    return found
