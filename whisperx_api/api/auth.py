"""Who calls: the key from `X-API-Key` or `Authorization: Bearer`, checked before anything of the body is read."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from whisperx_api import log
from whisperx_api.api.errors import ApiError
from whisperx_api.api.parts import Parts, parts
from whisperx_api.keys import ANONYMOUS, Caller, KeyExpired, Scope
from whisperx_api.proxies import counted_as

logger = logging.getLogger(__name__)

header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The key, as the operator gave it to you.")
bearer = HTTPBearer(auto_error=False, description="The same key as a bearer token.")


HeaderKey = Annotated[str | None, Security(header)]
Token = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


async def caller_or_none(request: Request, key: HeaderKey, token: Token) -> Caller | None:
    """Return who calls, None without a key. Raises a 401 for a wrong key, and a 429 after too many of them.

    What comes from an address that is refused is not looked at, a right key neither: who tries keys out must not learn
    that one was right.
    """
    of_app = await parts(request)
    if of_app.keys is None:
        return ANONYMOUS
    if (given := key or (token.credentials if token else None)) is None:
        return None
    address = counted_as(request.client.host if request.client else "")
    if of_app.failures is not None and (seconds := of_app.failures.refused(address)) is not None:
        raise _refused(seconds)
    try:
        caller = of_app.keys.caller(given)
    except KeyExpired as error:
        raise unauthorized(str(error)) from None
    if caller is None:
        _count(request, of_app, address)
        raise unauthorized("The API key is wrong.")
    log.note(key=caller.name)
    return caller


def _count(request: Request, of_app: Parts, address: str) -> None:
    """Count a wrong key. Of the one that is too many the log tells, once for as long as the address is refused."""
    if of_app.failures is None or (seconds := of_app.failures.add(address)) is None:
        return
    proxy = " It names others in X-Forwarded-For: a proxy of yours belongs into TRUSTED_PROXIES."
    forwards = "x-forwarded-for" in request.headers and not of_app.settings.trusted_proxies
    logger.warning("too many wrong keys from %s: refused for %d s.%s", address, seconds, proxy if forwards else "")


def _refused(seconds: int) -> ApiError:
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"Too many wrong API keys came from this address: try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )


def need(caller: Caller, scope: Scope, what: str) -> None:
    """Raise a 403 unless the caller's key has the scope."""
    if scope not in caller.scopes:
        raise ApiError(HTTPStatus.FORBIDDEN, f"{what} needs a key with the scope {scope.value}.")


def with_scope(scope: Scope | None) -> Callable[..., Awaitable[Caller]]:
    """Return the dependency of endpoints that need a key, one with this scope.

    It is one and not a chain: each link would cost every poll its time.
    """

    async def caller(request: Request, key: HeaderKey, token: Token) -> Caller:
        """Return who calls. Raises a 401 and a 403."""
        if (found := await caller_or_none(request, key, token)) is None:
            raise unauthorized("An API key is needed: send it as X-API-Key or as Authorization: Bearer.")
        if scope is not None:
            need(found, scope, "This")
        return found

    return caller


def unauthorized(detail: str) -> ApiError:
    """A 401 that says how to send a key."""
    return ApiError(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="whisperx-api"'})


reader = with_scope(Scope.READ)
"""Who calls, allowed to read tasks."""


async def reader_of(request: Request) -> Caller:
    """Return who calls, allowed to read tasks, before FastAPI has found that out. Raises a 401 and a 403."""
    return await reader(request, await header(request), await bearer(request))


AnyCaller = Annotated[Caller, Depends(with_scope(None))]
Admin = Annotated[Caller, Depends(with_scope(Scope.ADMIN))]
"""Who may change what everybody uses."""
Reader = Annotated[Caller, Depends(reader)]
"""Who may read tasks."""
Transcriber = Annotated[Caller, Depends(with_scope(Scope.TRANSCRIBE))]
"""Who may make and change tasks."""
MaybeCaller = Annotated[Caller | None, Depends(caller_or_none)]
