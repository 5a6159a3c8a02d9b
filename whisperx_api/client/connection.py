"""The clients' I/O, all of it: each step of a flow done with httpx, in programs that wait and in coroutines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import anyio
import httpx
from anyio.to_thread import run_sync
from httpx_sse import EventSource

from whisperx_api.client import requests
from whisperx_api.client.address import HERE, headers_of, shown
from whisperx_api.client.errors import ClientError
from whisperx_api.client.events import SILENCE_SECONDS, Hearing, TaskEvent
from whisperx_api.client.recordings import PIECE, Upload
from whisperx_api.client.steps import Flow, Pause, Send, Step
from whisperx_api.client.transport import built, fault_of, told_plainly

T = TypeVar("T")


class Connection:
    """Does steps one after the other, in the thread that asks for it."""

    def __init__(self, base_url: str, api_key: str | None, timeout: float) -> None:
        """`base_url` is one of `url_of`, `timeout` is in seconds. Raises `ValueError` for a key that is none."""
        self._base_url = shown(base_url)
        self._http = httpx.Client(base_url=base_url, headers=headers_of(api_key), timeout=timeout, mounts=HERE)

    def close(self) -> None:
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """Do the steps of a flow, and return what it comes to."""
        try:
            step = next(flow)
            while True:
                try:
                    done = self._do(step)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(done)
        except StopIteration as end:
            return end.value
        finally:
            flow.close()

    def _do(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        if not isinstance(step, Send):
            return step.do()
        with told_plainly(self._base_url), self._answer(step) as answer:
            if step.into is None:
                answer.read()
                return answer
            with step.into.open("wb") as file:
                for piece in answer.iter_bytes(PIECE):
                    file.write(piece)
            return answer

    def listen(self, hearing: Hearing) -> Iterator[TaskEvent]:
        """Yield a task's events until it has ended."""
        while not hearing.over:
            lost: ClientError | None = None
            try:
                listening = Send(requests.events(hearing.task_id))
                with told_plainly(self._base_url), self._answer(listening, SILENCE_SECONDS) as answer:
                    for message in EventSource(answer).iter_sse():
                        if (event := hearing.take(message)) is not None:
                            yield event
                        if hearing.over:
                            return
            except ClientError as error:
                lost = error
            if not hearing.over:
                time.sleep(hearing.lost(lost))

    @contextmanager
    def _answer(self, send: Send, silence: float | None = None) -> Iterator[httpx.Response]:
        body = send.upload.body() if send.upload else None
        answer = self._http.send(built(self._http, send, body, silence), stream=True)
        try:
            if answer.is_error:
                answer.read()
            if (fault := fault_of(self._base_url, send.request, answer)) is not None:
                raise fault
            yield answer
        finally:
            answer.close()


class AsyncConnection:
    """Does the same in coroutines. What waits for a disk is done in threads."""

    def __init__(self, base_url: str, api_key: str | None, timeout: float) -> None:
        """`base_url` is one of `url_of`, `timeout` is in seconds. Raises `ValueError` for a key that is none."""
        self._base_url = shown(base_url)
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers_of(api_key), timeout=timeout, mounts=HERE)

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Do the steps of a flow, and return what it comes to."""
        try:
            step = next(flow)
            while True:
                try:
                    done = await self._do(step)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(done)
        except StopIteration as end:
            return end.value
        finally:
            flow.close()

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return await anyio.sleep(step.seconds)
        if not isinstance(step, Send):
            return await run_sync(step.do)
        with told_plainly(self._base_url):
            async with self._answer(step) as answer:
                if step.into is None:
                    await answer.aread()
                    return answer
                async with await anyio.open_file(step.into, "wb") as file:
                    async for piece in answer.aiter_bytes(PIECE):
                        await file.write(piece)
                return answer

    async def listen(self, hearing: Hearing) -> AsyncIterator[TaskEvent]:
        """Yield a task's events until it has ended."""
        while not hearing.over:
            lost: ClientError | None = None
            try:
                with told_plainly(self._base_url):
                    async with self._answer(Send(requests.events(hearing.task_id)), SILENCE_SECONDS) as answer:
                        async for message in EventSource(answer).aiter_sse():
                            if (event := hearing.take(message)) is not None:
                                yield event
                            if hearing.over:
                                return
            except ClientError as error:
                lost = error
            if not hearing.over:
                await anyio.sleep(hearing.lost(lost))

    @asynccontextmanager
    async def _answer(self, send: Send, silence: float | None = None) -> AsyncIterator[httpx.Response]:
        body = _read_in_threads(send.upload) if send.upload else None
        answer = await self._http.send(built(self._http, send, body, silence), stream=True)
        try:
            if answer.is_error:
                await answer.aread()
            if (fault := fault_of(self._base_url, send.request, answer)) is not None:
                raise fault
            yield answer
        finally:
            await answer.aclose()


async def _read_in_threads(upload: Upload) -> AsyncIterator[bytes]:
    """Yield the body of an upload; no event loop waits for the disk that it is on."""
    body = upload.body()
    while piece := await run_sync(next, body, b""):
        yield piece
