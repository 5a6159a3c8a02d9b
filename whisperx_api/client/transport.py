"""Between httpx and the client: requests as httpx sends them, its errors and answers as the client's errors."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx
from httpx_sse import SSEError

from whisperx_api.client.errors import ApiError, ServerUnreachable, no_server
from whisperx_api.client.steps import Send


@contextmanager
def told_plainly(base_url: str) -> Iterator[None]:
    """Raise `ServerUnreachable` in place of what httpx raises where no answer comes."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise ServerUnreachable(f"{base_url} took too long to answer.") from error
    except SSEError as error:
        raise no_server(base_url) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        lasting = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)
        raise ServerUnreachable(
            f"No server answers at {base_url} ({error}): start one with `whisperx-api serve`, or give its URL.",
            passing=not lasting,
        ) from error


def no_url(base_url: str, error: Exception) -> ServerUnreachable:
    """Return what is raised where a server's URL is none."""
    return ServerUnreachable(f"{base_url} is no URL of a server: {error}.", passing=False)


def built(
    http: httpx.Client | httpx.AsyncClient,
    send: Send,
    body: Iterable[bytes] | AsyncIterable[bytes] | None,
    silence: float | None = None,
) -> httpx.Request:
    """Return a request as `http` sends it. `silence` is how many seconds may lie between two bytes of the answer."""
    request, usual = send.request, http.timeout
    read = usual.read if silence is None else silence
    return http.build_request(
        request.method, request.path, params=request.query or None, json=request.body, content=body,
        headers={**request.headers, **(send.upload.headers if send.upload else {})},
        timeout=httpx.Timeout(connect=usual.connect, read=read, write=usual.write, pool=usual.pool),
    )  # fmt: skip


def error_of(answer: httpx.Response) -> ApiError:
    """Return the error that an answer, whose body is read, tells of."""
    return ApiError(answer.status_code, _detail(answer), _retry_after(answer.headers.get("Retry-After")))


def _detail(answer: httpx.Response) -> str:
    """Return the sentence of a problem document (RFC 9457), or what the status code means."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"The server answered {answer.status_code} {answer.reason_phrase}."
    return detail if isinstance(detail, str) else str(detail)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After (RFC 9110, 10.2.3): a number of them, or a date. None for any other."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max((when - datetime.now(timezone.utc)).total_seconds(), 0.0)
