"""Both Python clients, to be called alike: what is tested of one holds for the other."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from whisperx_api.client import AsyncClient, Client

END = object()


class Awaited:
    """An `AsyncClient` with the methods of a `Client`: each waits for what it returns."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = start_blocking_portal()
        self._portal: BlockingPortal = self._loop.__enter__()
        try:
            self._client = self._portal.call(functools.partial(AsyncClient, *arguments, **options))
        except BaseException:
            self._loop.__exit__(None, None, None)
            raise

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *_: object) -> None:
        self._portal.call(self._client.close)
        self._loop.__exit__(None, None, None)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Any = getattr(self._client, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            if inspect.iscoroutinefunction(method):
                return self._portal.call(functools.partial(method, *arguments, **options))
            iterator: Any = method(*arguments, **options)
            return self._each(iterator)

        return call

    def _each(self, iterator: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(iterator, END)

        while (value := self._portal.call(following)) is not END:
            yield value


BOTH: dict[str, Callable[..., Any]] = {"sync": Client, "async": Awaited}
"""What makes each of the clients, by a name for it."""
