"""Clients that use a service at random, all at once, and remember what they were told.

Each does as a good client does: it sends an `Idempotency-Key`, and asks again when the server is gone.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import ENDED

API = "/api/v1/transcribe"
PATIENCE = 300.0
"""Seconds within which a server is there again, and a job has ended."""


class Way(Enum):
    """What a client does with its job."""

    POLL = "polls"
    LISTEN = "listens"
    CANCEL = "cancels"
    RETRY = "cancels and retries"
    DELETE = "deletes"
    HANG_UP = "hangs up while it sends, and sends it anew"


OFTEN = {Way.POLL: 40, Way.LISTEN: 20, Way.CANCEL: 12, Way.RETRY: 8, Way.DELETE: 12, Way.HANG_UP: 8}
"""How many of a hundred do."""


@dataclass(frozen=True)
class Work:
    """A recording to be sent, with the form's fields."""

    recording: Path
    fields: Mapping[str, str]


@dataclass
class Told:
    """What a client knows of its job. `ends` are how it has ended, one after the other; more than one is a retry."""

    way: Way
    task_id: str
    ends: list[str] = field(default_factory=list)
    deleted: bool = False


class Crowd:
    """So many `clients` at `url`; `work` gives what the next job is, and `hook` is told of every end."""

    def __init__(self, url: str, key: str, clients: int, work: Callable[[random.Random], Work], hook: str) -> None:
        self.told: list[Told] = []
        self._url = url
        self._headers = {"X-API-Key": key}
        self._clients = clients
        self._work = work
        self._hook = hook
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    @property
    def ended(self) -> int:
        """How many jobs are over for their clients."""
        return len(self.told)

    def run(self, jobs: int) -> None:
        """Have so many jobs done, and return when all have ended. Raises what a client finds wrong."""
        with ThreadPoolExecutor(self._clients) as pool:
            for done in [pool.submit(self._job) for _ in range(jobs)]:
                done.result()

    def _job(self) -> None:
        with self._lock:
            number = next(self._numbers)
        chance = random.Random(number)
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=30) as http:
            told = _Client(http, number, chance, self._hook).do(self._work(chance))
        with self._lock:
            self.told.append(told)


class _Client:
    """One client with its one job."""

    def __init__(self, http: httpx.Client, number: int, chance: random.Random, hook: str) -> None:
        self._http = http
        self._number = number
        self._chance = chance
        self._hook = hook

    def do(self, work: Work) -> Told:
        """Do a job in one of the ways."""
        (way,) = self._chance.choices(list(OFTEN), list(OFTEN.values()))
        if way is Way.HANG_UP:
            self._hang_up(work)
        told = Told(way, self._upload(work))
        if way in (Way.CANCEL, Way.RETRY):
            self._linger()
            told.ends.append(self._ask("POST", "cancel", told.task_id).json()["status"])
            assert told.ends[-1] in ("cancelled", "completed"), told
            if way is Way.RETRY and told.ends == ["cancelled"]:
                self._ask("POST", "retry", told.task_id, done_already=409)
                told.ends.append(self._end(told.task_id))
        elif way is Way.DELETE:
            self._linger()
            self._ask("DELETE", "task", told.task_id, 204, done_already=404)
            self._ask("GET", "status", told.task_id, 404)
            told.deleted = True
        else:
            heard = self._listen(told.task_id) if way is Way.LISTEN else None
            told.ends.append(self._end(told.task_id))
            assert heard in (None, told.ends[-1]), told
        return told

    def _linger(self) -> None:
        time.sleep(self._chance.choice((0, 0.1, 0.5, 2)) * self._chance.random())

    def _upload(self, work: Work) -> str:
        """Send the recording, and return the task's id."""
        content, headers = work.recording.read_bytes(), {"Idempotency-Key": f"job-{self._number}"}
        fields = {**work.fields, "webhook_url": f"{self._hook}/{self._number}"}

        def send() -> httpx.Response:
            files = {"file": (work.recording.name, content)}
            return self._http.post(f"{API}/upload", files=files, data=fields, headers=headers)

        return _until(send, 202).json()["task_id"]

    def _hang_up(self, work: Work) -> None:
        """Send half of a recording, and leave."""

        def half() -> Iterator[bytes]:
            content = work.recording.read_bytes()
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="half.wav"\r\n\r\n'
            yield content[: len(content) // 2]
            raise InterruptedError

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        try:
            self._http.post(f"{API}/upload", content=half(), headers=headers)
        except (InterruptedError, httpx.TransportError):
            return

    def _end(self, task_id: str) -> str:
        """Poll until the task has ended, and return how. One that is completed has its whole transcript."""
        deadline, progress = time.monotonic() + PATIENCE, -1.0
        while (status := self._ask("GET", "status", task_id).json())["status"] not in ENDED:
            assert time.monotonic() < deadline, f"not done after {PATIENCE} s: {status}"
            assert status["progress"] >= progress, f"it went back from {progress}: {status}"
            progress = status["progress"]
            time.sleep(0.05 + 0.2 * self._chance.random())
        assert (status["result"] is not None) == (status["status"] == "completed"), status
        return status["status"]

    def _listen(self, task_id: str) -> str:
        """Listen to the task's events until the last, which says how it has ended."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                with self._http.stream("GET", f"{API}/events/{task_id}") as answer:
                    names = [line[7:] for line in answer.iter_lines() if line.startswith("event: ")]
            except httpx.TransportError:  # the server was killed
                time.sleep(0.1)
                continue
            ends = [name for name in names if name in ENDED]
            assert len(ends) < 2 and ends == names[len(names) - len(ends) :], names
            if ends:
                return ends[0]
        raise AssertionError(f"no end of task {task_id} was told within {PATIENCE} s")

    def _ask(
        self, method: str, what: str, task_id: str, good: int = 200, done_already: int | None = None
    ) -> httpx.Response:
        return _until(lambda: self._http.request(method, f"{API}/{what}/{task_id}"), good, done_already)


def _until(call: Callable[[], httpx.Response], good: int, done_already: int | None = None) -> httpx.Response:
    """Call until there is an answer. Raises `AssertionError` for one that is not the good one.

    `done_already` is as good where an answer before it was lost.
    """
    deadline, fine = time.monotonic() + PATIENCE, {good}
    while True:
        try:
            answer = call()
        except httpx.TransportError:
            assert time.monotonic() < deadline, f"no answer within {PATIENCE} s"
            fine.add(done_already or good)
            time.sleep(0.1)
            continue
        if answer.status_code == 503 and "Retry-After" in answer.headers and time.monotonic() < deadline:
            time.sleep(0.2)  # it is just being started or stopped
            continue
        assert answer.status_code in fine, f"{answer.request.url}: {answer.status_code} {answer.text}"
        return answer


def messages(requests: list[Any]) -> dict[str, list[str]]:
    """Return what the hook was told of each task, in order; a message that came twice counts once."""
    ends: dict[str, dict[str, str]] = {}
    for request in requests:
        said = json.loads(request.body)
        ends.setdefault(said["data"]["task_id"], {})[request.headers["webhook-id"]] = said["data"]["status"]
    return {task: list(by_id.values()) for task, by_id in ends.items()}
