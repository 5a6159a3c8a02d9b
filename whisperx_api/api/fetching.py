"""Fetches a recording from the URL that an upload names, to disk, within the limits that uploads have."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import httpx
from anyio import fail_after

from whisperx_api.api.arrivals import create, not_written, shown_name, too_large
from whisperx_api.api.errors import ApiError, bad_parameter
from whisperx_api.api.multipart import BUFFER, Form
from whisperx_api.outgoing.guard import Guard, Refused, Unresolved

PARAM = "url"


async def fetch(guard: Guard, client: httpx.AsyncClient, url: str, target: Path, limit: int, seconds: float) -> Form:
    """Write what is at `url` into `target`, which is fsynced, and return its name, size and hash.

    Raises `ApiError`: 400 where nothing can be had there within so many seconds, 413 when it is over `limit` bytes, 507
    when the disk is full. The caller deletes `target` when anything is raised.
    """
    try:
        with fail_after(seconds):
            return await _fetch(client, guard.read(url), target, limit)
    except Refused as error:
        raise bad_parameter(PARAM, f"url {error}.") from error
    except (TimeoutError, httpx.TimeoutException) as error:
        raise _unfetched(f"it took longer than it may take here, {seconds:g} s in all") from error
    except (Unresolved, httpx.HTTPError) as error:
        raise _unfetched(str(error) or type(error).__name__) from error
    except OSError as error:
        raise not_written(error, target) from error


async def _fetch(client: httpx.AsyncClient, url: httpx.URL, target: Path, limit: int) -> Form:
    headers = {"Accept-Encoding": "identity"}
    async with client.stream("GET", url, headers=headers) as response:
        if response.is_redirect:
            raise _unfetched(f"its server answers {response.status_code}, a redirect: name the URL that it leads to")
        if response.status_code != HTTPStatus.OK:
            raise _unfetched(f"its server answers {response.status_code}")
        stated = response.headers.get("content-length", "")
        if stated.isascii() and stated.isdigit() and int(stated) > limit:
            raise too_large(limit, PARAM)
        name = shown_name(response.url.path)
        with await asyncio.to_thread(create, target) as file:
            size, sha256 = await _write(response.aiter_raw(BUFFER), file, limit)
        return Form(filename=name, size=size, sha256=sha256)


async def _write(body: AsyncIterator[bytes], file: BinaryIO, limit: int) -> tuple[int, str]:
    """Write a body as it comes; return its size and its SHA-256."""
    size, sha256 = 0, hashlib.sha256()

    def write(block: bytes) -> None:
        sha256.update(block)
        file.write(block)

    def finish() -> None:
        file.flush()
        os.fsync(file.fileno())

    async for block in body:
        if (size := size + len(block)) > limit:
            raise too_large(limit, PARAM)
        await asyncio.to_thread(write, block)
    await asyncio.to_thread(finish)
    return size, sha256.hexdigest()


def _unfetched(why: str) -> ApiError:
    return bad_parameter(PARAM, f"The recording at url can't be fetched: {why}.")
