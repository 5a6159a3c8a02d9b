"""Between httpx and the client: requests as httpx sends them, its errors and answers as the client's errors."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx
from httpx_sse import SSEError

from whisperx_api.client.address import shown
from whisperx_api.client.errors import ApiError, ClientError, ServerUnreachable, no_server
from whisperx_api.client.requests import Request, Wanted
from whisperx_api.client.steps import Send

NO_CONTENT, NOT_FOUND = 204, 404
PAGES = ("text/html", "application/xhtml+xml")
"""What a proxy, or the page that one logs in at, answers with in place of the server."""
RECORDINGS = ("audio/", "video/", "application/octet-stream")
ACCEPT_SECONDS = 660.0
"""Longest wait for the answer to an upload: the server fetches a `url`, looks at the sound and stores it before."""
LONGEST_PLACE = 200
"""Characters of a place that is named in a sentence."""


@contextmanager
def told_plainly(base_url: str) -> Iterator[None]:
    """Raise `ServerUnreachable` in place of what httpx raises where no answer comes."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise ServerUnreachable(f"{base_url} took too long to answer.") from error
    except (SSEError, httpx.DecodingError) as error:
        raise no_server(base_url) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        lasting = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)
        raise ServerUnreachable(
            f"No server answers at {base_url} ({error}): start one with `whisperx-api serve`, or give its URL.",
            passing=not lasting,
        ) from error


def built(
    http: httpx.Client | httpx.AsyncClient,
    send: Send,
    body: Iterable[bytes] | AsyncIterable[bytes] | None,
    silence: float | None = None,
) -> httpx.Request:
    """Return a request as `http` sends it. `silence` is how many seconds may lie between two bytes of the answer."""
    request, usual = send.request, http.timeout
    if silence is None and send.upload is not None and usual.read is not None:
        silence = max(usual.read, ACCEPT_SECONDS)
    read = usual.read if silence is None else silence
    return http.build_request(
        request.method, request.path, params=request.query or None, json=request.body, content=body,
        headers={**request.headers, **(send.upload.headers if send.upload else {})},
        timeout=httpx.Timeout(connect=usual.connect, read=read, write=usual.write, pool=usual.pool),
    )  # fmt: skip


def fault_of(base_url: str, request: Request, answer: httpx.Response) -> ClientError | None:
    """Return why an answer is not what the request is for, None where it is. The body of an error has been read."""
    if answer.is_error:
        asked = _retry_after(answer.headers.get("Retry-After"))
        return ApiError(answer.status_code, _detail(base_url, answer), asked)
    if "Location" in answer.headers and not answer.is_success:
        return _elsewhere(base_url, request, answer)
    return None if answer.is_success and _fits(request.wanted, answer) else no_server(base_url)


def _fits(wanted: Wanted, answer: httpx.Response) -> bool:
    """Whether an answer may be what is wanted. JSON and events are looked at as they are read."""
    kind = answer.headers.get("Content-Type", "").lower()
    if wanted is Wanted.NOTHING:
        return answer.status_code == NO_CONTENT
    if wanted is Wanted.TRANSCRIPT:  # in whichever format, that of a newer server too
        return not kind.startswith(PAGES)
    return wanted is not Wanted.RECORDING or kind.startswith(RECORDINGS)


def _elsewhere(base_url: str, request: Request, answer: httpx.Response) -> ServerUnreachable:
    """Return what is said of a redirect. None is followed: recordings and keys go where the caller says."""
    try:
        there = answer.request.url.join(answer.headers["Location"])
    except httpx.InvalidURL:
        return no_server(base_url)
    place = shown(str(there.copy_with(query=None, fragment=None)))
    if (server := place.removesuffix(request.path)) != place:
        advice = f"give {server} as the server's URL"
    else:
        secure = there.scheme == "https" and answer.request.url.scheme == "http"
        advice = f"give the URL of the server itself{', with https://' if secure else ''}"
    return ServerUnreachable(f"{base_url} sends requests on to {place[:LONGEST_PLACE]}: {advice}.", passing=False)


def _detail(base_url: str, answer: httpx.Response) -> str:
    """Return the sentence of a problem document (RFC 9457), or what the status code means."""
    status, phrase = answer.status_code, answer.reason_phrase
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = phrase
    if detail != phrase:
        return detail if isinstance(detail, str) else str(detail)
    if status == NOT_FOUND:  # said of a path, not of a task
        return f"The server answered {status} {phrase}: there is no API below {base_url}. Is that its URL?"
    return f"The server answered {status} {phrase}."


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After (RFC 9110, 10.2.3): a number of them, or a date. None for any other."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return seconds if math.isfinite(seconds := float(value)) else None
    try:
        when = parsedate_to_datetime(value)
        when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
        return max((when - datetime.now(timezone.utc)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None
