"""Who calls: the key from `X-API-Key` or `Authorization: Bearer`, checked before anything of the body is read."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from whisperx_api import log
from whisperx_api.api.errors import ApiError
from whisperx_api.api.parts import PartsOf
from whisperx_api.keys import ANONYMOUS, Caller, Scope

header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The key, as the operator gave it to you.")
bearer = HTTPBearer(auto_error=False, description="The same key as a bearer token.")


async def given_key(
    key: Annotated[str | None, Security(header)],
    token: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> str | None:
    """Return the key that came with the request."""
    return key or (token.credentials if token else None)


async def caller_or_none(parts: PartsOf, key: Annotated[str | None, Depends(given_key)]) -> Caller | None:
    """Return who calls, None without a key. Raises a 401 for a wrong key."""
    if parts.keys is None:
        return ANONYMOUS
    if key is None:
        return None
    if (caller := parts.keys.caller(key)) is None:
        raise unauthorized("The API key is wrong.")
    log.note(key=caller.name)
    return caller


async def any_caller(caller: Annotated[Caller | None, Depends(caller_or_none)]) -> Caller:
    """Return who calls. Raises a 401."""
    if caller is None:
        raise unauthorized("An API key is needed: send it as X-API-Key or as Authorization: Bearer.")
    return caller


def need(caller: Caller, scope: Scope, what: str) -> None:
    """Raise a 403 unless the caller's key has the scope."""
    if scope not in caller.scopes:
        raise ApiError(HTTPStatus.FORBIDDEN, f"{what} needs a key with the scope {scope.value}.")


async def admin(caller: Annotated[Caller, Depends(any_caller)]) -> Caller:
    """Return who calls, allowed to change what everybody uses."""
    need(caller, Scope.ADMIN, "This")
    return caller


async def transcriber(caller: Annotated[Caller, Depends(any_caller)]) -> Caller:
    """Return who calls, allowed to make and change tasks."""
    need(caller, Scope.TRANSCRIBE, "This")
    return caller


async def reader(caller: Annotated[Caller, Depends(any_caller)]) -> Caller:
    """Return who calls, allowed to read tasks."""
    need(caller, Scope.READ, "This")
    return caller


def unauthorized(detail: str) -> ApiError:
    """A 401 that says how to send a key."""
    return ApiError(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="whisperx-api"'})


AnyCaller = Annotated[Caller, Depends(any_caller)]
Admin = Annotated[Caller, Depends(admin)]
Reader = Annotated[Caller, Depends(reader)]
Transcriber = Annotated[Caller, Depends(transcriber)]
MaybeCaller = Annotated[Caller | None, Depends(caller_or_none)]
