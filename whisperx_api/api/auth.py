"""Who calls: the key from `X-API-Key` or `Authorization: Bearer`, checked before anything of the body is read."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from whisperx_api import log
from whisperx_api.api.errors import ApiError
from whisperx_api.api.parts import Parts, PartsOf
from whisperx_api.keys import ANONYMOUS, Caller, KeyExpired, Scope
from whisperx_api.proxies import counted_as

logger = logging.getLogger(__name__)

header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The key, as the operator gave it to you.")
bearer = HTTPBearer(auto_error=False, description="The same key as a bearer token.")


async def given_key(
    key: Annotated[str | None, Security(header)],
    token: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> str | None:
    """Return the key that came with the request."""
    return key or (token.credentials if token else None)


async def caller_or_none(
    request: Request, parts: PartsOf, key: Annotated[str | None, Depends(given_key)]
) -> Caller | None:
    """Return who calls, None without a key. Raises a 401 for a wrong key, and a 429 after too many of them.

    What comes from an address that is refused is not looked at, a right key neither: who tries keys out must not learn
    that one was right.
    """
    if parts.keys is None:
        return ANONYMOUS
    if key is None:
        return None
    address = counted_as(request.client.host if request.client else "")
    if parts.failures is not None and (seconds := parts.failures.refused(address)) is not None:
        raise _refused(seconds)
    try:
        caller = parts.keys.caller(key)
    except KeyExpired as error:
        raise unauthorized(str(error)) from None
    if caller is None:
        _count(request, parts, address)
        raise unauthorized("The API key is wrong.")
    log.note(key=caller.name)
    return caller


def _count(request: Request, parts: Parts, address: str) -> None:
    """Count a wrong key. Of the one that is too many the log tells, once for as long as the address is refused."""
    if parts.failures is None or (seconds := parts.failures.add(address)) is None:
        return
    proxy = " It names others in X-Forwarded-For: a proxy of yours belongs into TRUSTED_PROXIES."
    forwards = "x-forwarded-for" in request.headers and not parts.settings.trusted_proxies
    logger.warning("too many wrong keys from %s: refused for %d s.%s", address, seconds, proxy if forwards else "")


def _refused(seconds: int) -> ApiError:
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"Too many wrong API keys came from this address: try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )


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
