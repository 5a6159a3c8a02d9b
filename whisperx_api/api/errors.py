"""Every error, made in one place: as `application/problem+json` (RFC 9457), and under `/v1` in OpenAI's form."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from whisperx_api.jobs.sessions import StoreUnavailable
from whisperx_api.storage.protocol import StorageUnavailable
from whisperx_api.validation import what_is_wrong

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong. `detail` is a sentence to act on; `param` names the field at fault, where one is."""

    type: str = "about:blank"
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str = Field(examples=["language must be one of Whisper's languages, not 'klingon'."])
    param: str | None = Field(None, examples=["language"])


class ApiError(Exception):
    """An answer other than success. `extra` goes into the body beside the problem's own fields."""

    def __init__(
        self, status: HTTPStatus, detail: str, *, param: str | None = None, headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.param = param
        self.headers = headers
        self.extra = extra


def bad_parameter(param: str, detail: str) -> ApiError:
    """A 400 that names the field."""
    return ApiError(HTTPStatus.BAD_REQUEST, detail, param=param)


def out_of_reach() -> ApiError:
    """A 503 where the storage does not give or take what it should."""
    detail = "The server's storage can't be reached: try again later."
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "10"})


class OpenAIError(BaseModel):
    """What went wrong, as OpenAI's clients read it."""

    message: str = Field(examples=["language must be of those that Whisper knows, not 'klingon'."])
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = Field(examples=["language"])
    code: str | None


class OpenAIErrorBody(BaseModel):
    """Body of every error under `/v1`."""

    error: OpenAIError


OPENAI_CODES = {
    HTTPStatus.UNAUTHORIZED: "invalid_api_key",
    HTTPStatus.FORBIDDEN: "insufficient_permissions",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "file_too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_file",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_exceeded",
}


def response(request: Request, error: ApiError) -> JSONResponse:
    """Return the error in the form of the endpoint that `request` is for."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return openai_error(error) if path == "/v1" or path.startswith("/v1/") else problem(error)


def openai_error(error: ApiError) -> JSONResponse:
    """Return the error as OpenAI's clients read it."""
    return JSONResponse(openai_body(error), error.status.value, headers=error.headers)


def openai_body(error: ApiError) -> dict[str, Any]:
    """Return the body of an error in OpenAI's form."""
    kind = "server_error" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    if error.status is HTTPStatus.TOO_MANY_REQUESTS:
        kind = "rate_limit_error"
    told = OpenAIError(message=error.detail, type=kind, param=error.param, code=OPENAI_CODES.get(error.status))
    return {"error": told.model_dump() | error.extra}


def problem(error: ApiError) -> JSONResponse:
    """Return the error as a problem (RFC 9457)."""
    body = Problem(title=error.status.phrase, status=error.status.value, detail=error.detail, param=error.param)
    content = body.model_dump(exclude_none=True) | error.extra
    return JSONResponse(content, error.status.value, headers=error.headers, media_type=MEDIA_TYPE)


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "What is wrong with the request",
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
}
"""For the OpenAPI document of every endpoint."""
OPENAI_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What is wrong with the request", "model": OpenAIErrorBody}
}
"""Of those under `/v1`."""


def install(app: FastAPI) -> None:
    """Have the app answer every error in this form."""

    async def api_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return response(request, error)

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return response(
            request, ApiError(HTTPStatus(error.status_code), str(error.detail), headers=dict(error.headers or {}))
        )

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        param = str(first["loc"][-1])
        return response(request, bad_parameter(param, f"{param} {what_is_wrong(first)}."))

    async def hung_up(request: Request, error: Exception) -> Response:
        return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it

    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        detail = "The server's database is busy or full: try again later."
        return response(request, ApiError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "10"}))

    async def no_storage(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s: the storage can't be reached: %s", request.method, request.url.path, error)
        return response(request, out_of_reach())

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return response(
            request, ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "The server ran into an error, which is in its log.")
        )

    app.add_exception_handler(StoreUnavailable, unavailable)
    app.add_exception_handler(StorageUnavailable, no_storage)
    app.add_exception_handler(Exception, unexpected)
    app.add_exception_handler(ClientDisconnect, hung_up)
    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
