"""Clients that send jobs to several servers, and ask again where a server or its database is away."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.server import Server
from tests.waiting import ENDED

API = "/api/v1/transcribe"
AT_ONCE = 8
PAUSE = 0.2


class Clients:
    """Send a recording again and again, each time as a job of its own, and know the tasks."""

    def __init__(self, servers: Sequence[Server], recording: Path, seconds: float = 120, **fields: str) -> None:
        """`seconds` is how long they ask again before they give up."""
        self.tasks: list[str] = []
        self._servers = itertools.cycle(servers)
        self._recording = recording.read_bytes()
        self._name = recording.name
        self._seconds = seconds
        self._fields = fields

    def send(self, jobs: int) -> None:
        """Send so many, some at once, each under an `Idempotency-Key` to whichever server answers."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self.tasks += pool.map(lambda _: self._send(), range(jobs))

    def ended(self) -> list[dict[str, Any]]:
        """Wait until all jobs have ended, and return how they are, without their transcripts."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._end_of, self.tasks))

    def _send(self) -> str:
        key = uuid.uuid4().hex

        def ask(http: httpx.Client) -> httpx.Response:
            files = {"file": (self._name, self._recording)}
            return http.post(f"{API}/upload", files=files, data=self._fields, headers={"Idempotency-Key": key})

        return self._patiently(ask, 202)["task_id"]

    def _end_of(self, task: str) -> dict[str, Any]:
        deadline = time.monotonic() + self._seconds
        while (status := self._status(task))["status"] not in ENDED:
            assert time.monotonic() < deadline, status
            time.sleep(PAUSE)
        return status

    def _status(self, task: str) -> dict[str, Any]:
        return self._patiently(lambda http: http.get(f"{API}/status/{task}?include_result=false"), 200)

    def _patiently(self, ask: Callable[[httpx.Client], httpx.Response], wanted: int) -> dict[str, Any]:
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                answer = ask(next(self._servers).client)
            except httpx.TransportError as error:
                said: object = error
            else:
                if answer.status_code == wanted:
                    return answer.json()
                assert answer.status_code == 503, answer.text
                said = answer.text
            assert time.monotonic() < deadline, said
            time.sleep(PAUSE)
