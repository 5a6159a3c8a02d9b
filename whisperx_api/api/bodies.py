"""JSON bodies, read within a bound: the key is checked before, and nothing large is held in memory."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from whisperx_api.api.errors import ApiError, bad_parameter
from whisperx_api.api.schemas import inlined
from whisperx_api.validation import what_is_wrong

MAX_BODY = 64 * 1024
"""Bytes, where nothing else is said."""

Model = TypeVar("Model", bound=BaseModel)


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
        text = body.decode()
        content = json.loads(text, object_pairs_hook=_unique)
        if "\\u" in text:  # half of a pair of UTF-16 can be written so, and is no text
            json.dumps(content, ensure_ascii=False).encode()
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
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _NamedTwice(f"{name[:80]!r} is in the body twice.")
            seen.add(name)
    return found


async def read_json(request: Request, model: type[Model]) -> Model:
    """Return the request's JSON body as a `model`. Raises `ApiError`: 400 that names the field, 413."""
    content = await receive_json(request, MAX_BODY)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise bad_parameter(name, f"There is no field '{name}'.") from None
        raise bad_parameter(name, f"{name} {what_is_wrong(first)}.") from None


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of such a body."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined(model)}}}}
