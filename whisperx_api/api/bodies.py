"""Bodies of requests, read within bounds: the key is checked before, and nobody keeps the server waiting for long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from anyio import fail_after
from fastapi import Request
from pydantic import BaseModel, ValidationError

from whisperx_api.api.errors import ApiError, bad_parameter
from whisperx_api.api.schemas import inlined
from whisperx_api.validation import what_is_wrong

MAX_BODY = 64 * 1024
"""Bytes, where nothing else is said."""
LEAST = 1024
"""Bytes that have to come before a client has its patience anew: who sends one now and then is as good as silent."""


@dataclass(frozen=True)
class Patience:
    """How long a body may take, in seconds: `idle` without anything to speak of, and `whole` in all.

    `of_idle` and `of_whole` name the settings that say so, where one does.
    """

    idle: float
    whole: float
    of_idle: str = ""
    of_whole: str = ""


WITH_SMALL_ONES = Patience(idle=10.0, whole=30.0)
"""For a body of JSON."""

Model = TypeVar("Model", bound=BaseModel)


async def in_time(request: Request, patience: Patience) -> AsyncIterator[bytes]:
    """Yield a request's body as it comes. Raises a 408 where it takes too long.

    What the server itself takes for what it was given counts towards the whole only.
    """
    stream, clock = request.stream(), asyncio.get_running_loop().time
    end = clock() + patience.whole
    left, came = patience.idle, 0
    while True:
        began = clock()
        try:
            with fail_after(max(min(left, end - began), 0.001)):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _late(patience, whole=clock() >= end) from None
        left, came = left - (clock() - began), came + len(chunk)
        if came >= LEAST:
            left, came = patience.idle, 0
        yield chunk


def _late(patience: Patience, whole: bool) -> ApiError:
    if whole:
        name = f" ({patience.of_whole})" if patience.of_whole else ""
        detail = f"The request took longer than it may, {patience.whole:g} s{name}: send it again, faster."
    else:
        name = f" ({patience.of_idle})" if patience.of_idle else ""
        detail = f"Less than {LEAST} bytes of the request came in {patience.idle:g} s{name}: send it again."
    return ApiError(HTTPStatus.REQUEST_TIMEOUT, detail)


async def receive_json(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object that a request carries.

    Raises `ApiError`: 413 where the body is over `limit` bytes, read no further than that, or not at all where it says
    so itself; 408 where it takes too long; 400 where it is no JSON object, or holds a name twice.
    """
    too_large = ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {limit} bytes.")
    if stated_length(request) > limit:
        raise too_large
    body = bytearray()
    async for data in in_time(request, WITH_SMALL_ONES):
        body += data
        if len(body) > limit:
            raise too_large
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


def stated_length(request: Request) -> int:
    """Return how many bytes a request says that its body has; 0 where it does not say."""
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isascii() and stated.isdigit() else 0


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
