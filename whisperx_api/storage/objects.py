"""Objects in a bucket: put, read, listed and deleted by name. Every fault of it is an `OSError`.

Where the bucket is, and who may use it, obstore reads from the environment by its usual names: AWS_ENDPOINT_URL,
AWS_REGION, AWS_ACCESS_KEY_ID and so on, or from the machine's role.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
from anyio import fail_after
from obstore.exceptions import BaseError
from obstore.store import S3Store

from whisperx_api.storage.protocol import StorageUnavailable

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

logger = logging.getLogger(__name__)

PART_BYTES, PARTS_AT_ONCE = 5 * 1024**2, 2
"""Size of the parts in which a file is sent, and how many of them are in memory at once."""
MOST_PARTS = 9000
"""Parts of one object; S3 takes 10,000. Of a file that would have more they are larger."""
BLOCK_BYTES = 1 << 18
"""What a file of several parts is read by: a whole part at a time would be in memory once more."""
PAGE = 1000
"""Objects listed or deleted by one request, the most that S3 does."""
TRIES, TRY_SECONDS = 3, 60.0
"""How often, and until when, a whole operation is begun again: requests are repeated, but no answer that breaks off."""
LOOK_SECONDS = 5.0
"""How long a look whether the bucket is there may take."""
NOBODYS = "ready"
"""Objects under this name are never put: listing them is as cheap as a request gets that tells a wrong bucket."""

CLIENT: ClientConfig = {"allow_http": True, "connect_timeout": "5s", "timeout": "60s"}
"""For one request, of which none moves more than a part. Whether it goes over TLS is for AWS_ENDPOINT_URL to say."""
REPEATED: RetryConfig = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
"""How requests are repeated that get no answer or one of 500 and above. To put or delete twice is to do it once."""

T = TypeVar("T")
FAULTS = (BaseError, OSError, ValueError)
"""What obstore raises."""


class Objects:
    """The objects under the prefix of a URL like s3://bucket/prefix. Raises `StorageUnavailable` for any fault."""

    def __init__(self, url: str) -> None:
        self._store = S3Store.from_url(url, client_options=CLIENT, retry_config=REPEATED)

    async def put(self, name: str, data: bytes) -> None:
        """Put an object, in place of one of that name."""
        await self._again(lambda: obstore.put_async(self._store, name, data, chunk_size=PART_BYTES))

    async def put_file(self, name: str, file: Path, size: int) -> None:
        """Put a file of `size` bytes under a new name, a few parts of it in memory at a time.

        It is there as a whole or not at all.
        """
        part = max(PART_BYTES, -(-size // MOST_PARTS))

        async def whole() -> None:
            try:
                if size <= part:
                    await obstore.put_async(self._store, name, file, chunk_size=part)
                    return
                with file.open("rb", buffering=0) as content:
                    blocks = iter(partial(content.read, BLOCK_BYTES), b"")
                    await obstore.put_async(self._store, name, blocks, chunk_size=part, max_concurrency=PARTS_AT_ONCE)
            except FAULTS:
                if not await self._has(name, size):  # the answer to the last request may have been lost
                    raise

        await self._again(whole)

    async def get(self, name: str) -> bytes:
        """Return an object. Raises `FileNotFoundError`."""

        async def whole() -> bytes:
            return bytes(await (await obstore.get_async(self._store, name)).bytes_async())

        return await self._again(whole, missing=True)

    async def get_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes of an object from `start` up to `end`. Raises `FileNotFoundError`."""

        async def part() -> bytes:
            data = bytes(await obstore.get_range_async(self._store, name, start=start, end=end))
            if len(data) != end - start:
                raise ValueError(f"{name} is shorter than it was")
            return data

        return await self._again(part, missing=True)

    async def head(self, name: str) -> ObjectMeta:
        """Return what is known of an object. Raises `FileNotFoundError`."""
        return await self._again(lambda: obstore.head_async(self._store, name), missing=True)

    async def list(self, prefix: str) -> AsyncIterator[Sequence[ObjectMeta]]:
        """Yield what is known of the objects under `prefix`, a page at a time in the order of their names."""
        last: str | None = None
        tries = TRIES
        while True:
            try:
                async for page in obstore.list(self._store, prefix, offset=last, chunk_size=PAGE):
                    yield page
                    last, tries = page[-1]["path"], TRIES
                return
            except FAULTS as error:
                if not (tries := tries - 1):
                    raise unavailable(error) from error

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects; those that are not there are as good as deleted."""
        for first in range(0, len(names), PAGE):
            page = list(names[first : first + PAGE])
            await self._again(lambda page=page: obstore.delete_async(self._store, page))

    async def look(self) -> str | None:
        """Return why the bucket can't be used, a sentence; None where it can be listed."""
        try:
            with fail_after(LOOK_SECONDS):
                await self._again(lambda: obstore.list(self._store, NOBODYS).collect_async())
        except TimeoutError:
            return f"The bucket of STORAGE_URL does not answer within {LOOK_SECONDS:.0f} s."
        except OSError as error:
            return f"The bucket of STORAGE_URL can't be used: {error.strerror}."
        return None

    async def _has(self, name: str, size: int) -> bool:
        """Whether an object of that size is there, as far as can be told."""
        try:
            return (await obstore.head_async(self._store, name))["size"] == size
        except FAULTS:
            return False

    async def _again(self, call: Callable[[], Awaitable[T]], missing: bool = False) -> T:
        """Do something until it succeeds or has failed too often; where a name may be `missing`, that comes out."""
        tries, until = TRIES, time.monotonic() + TRY_SECONDS
        while True:
            try:
                return await call()
            except FAULTS as error:
                if missing and isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
                    raise
                if not (tries := tries - 1) or time.monotonic() > until:
                    raise unavailable(error) from error
                logger.warning("the bucket is asked once more: %s", reason(error))


def unavailable(error: Exception) -> StorageUnavailable:
    """Return what is raised in place of an error of obstore's."""
    return StorageUnavailable(reason(error))


def reason(error: Exception) -> str:
    """Return an error of obstore's in one line: what follows an empty one is for those who mend the library."""
    return " ".join(str(error).partition("\n\n")[0].split())[:500].rstrip(".")
