"""JSON bodies, read within a bound: the key is checked before, and nothing large is held in memory."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from whisperx_api.api.errors import ApiError, bad_parameter
from whisperx_api.validation import what_is_wrong

MAX_BODY = 64 * 1024
"""Bytes."""

Model = TypeVar("Model", bound=BaseModel)


async def read_json(request: Request, model: type[Model]) -> Model:
    """Return the request's JSON body as a `model`. Raises `ApiError`: 400 that names the field, 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {MAX_BODY} bytes.")
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise ApiError(HTTPStatus.BAD_REQUEST, "The body must be a JSON object.") from None
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise bad_parameter(name, f"There is no field '{name}'.") from None
        raise bad_parameter(name, f"{name} {what_is_wrong(first)}.") from None


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of such a body."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
