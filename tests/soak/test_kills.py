"""A server that is killed between any two writes, and at any moment: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.receiver import Receiver, eventually, receiving
from tests.server import ROOT, Gone, Server
from tests.soak import LONG
from tests.soak.crowd import messages

API = "/api/v1/transcribe"
STRIDE = 1 if LONG else 9
"""A long run kills at every write, a short one at every so many."""
RANDOM_KILLS = 100 if LONG else 5
REAL_KILLS = 5 if LONG else 1


class Errand:
    """What a client does, one step after the other. It does the step again that was cut off, and no other.

    One task is completed, corrected and deleted; another is cancelled while it runs, and retried.
    """

    def __init__(self, server: Server, recording: Path, hook: str) -> None:
        self._server = server
        self._recording = recording
        self._hook = hook
        self._steps: Iterator[Callable[[], None]] = iter(
            (self._send_first, self._wait_for_first, self._correct, self._send_second, self._cancel, self._retry,
             self._delete, self._wait_for_second)
        )  # fmt: skip
        self._cut_off: Callable[[], None] | None = None
        self._again = False
        """Whether the step at work was cut off before: it may be done already, and its answer lost."""
        self.first = self.second = ""
        self.cancelled = ""

    def go_on(self) -> bool:
        """Do what is left; False when the server goes away meanwhile."""
        while (step := self._cut_off or next(self._steps, None)) is not None:
            self._again, self._cut_off = self._cut_off is not None, step
            try:
                step()
            except httpx.TransportError:
                return False
            self._cut_off = None
        return True

    def _send_first(self) -> None:
        self.first = self._upload("first", 0.0)

    def _wait_for_first(self) -> None:
        assert self._server.wait(self.first)["status"] == "completed"

    def _correct(self) -> None:
        changes = {"speakers": {"SPEAKER_00": "Ann"}}
        assert self._server.client.patch(f"{API}/result/{self.first}", json=changes).status_code == 200
        assert self._server.status(self.first)["result"]["speakers"][0]["name"] == "Ann"

    def _send_second(self) -> None:
        self.second = self._upload("second", 0.3)

    def _cancel(self) -> None:
        answer = self._server.client.post(f"{API}/cancel/{self.second}")
        assert answer.status_code == 200, answer.text
        self.cancelled = answer.json()["status"]

    def _retry(self) -> None:
        if self.cancelled == "cancelled":
            answer = self._server.client.post(f"{API}/retry/{self.second}")
            assert answer.status_code == 200 or (self._again and answer.status_code == 409), answer.text

    def _delete(self) -> None:
        answer = self._server.client.delete(f"{API}/task/{self.first}")
        assert answer.status_code == 204 or (self._again and answer.status_code == 404), answer.text

    def _wait_for_second(self) -> None:
        status = self._server.wait(self.second)
        assert status["status"] == "completed" and status["result"]["text"] == "Hello there.", status

    def _upload(self, name: str, seconds: float) -> str:
        with self._recording.open("rb") as file:
            answer = self._server.client.post(
                f"{API}/upload", files={"file": (self._recording.name, file)}, headers={"Idempotency-Key": name},
                data={"prompt": json.dumps({"seconds": seconds}), "webhook_url": self._hook},
            )  # fmt: skip
        assert answer.status_code == 202, answer.text
        return answer.json()["task_id"]

    def check(self, receiver: Receiver) -> None:
        """See that both tasks are as the client left them, and that their ends were told of once."""
        client, data = self._server.client, self._server.log.parent / "data"
        assert client.get(f"{API}/status/{self.first}").status_code == 404
        assert [task["task_id"] for task in client.get(f"{API}/tasks").json()["tasks"]] == [self.second]
        for folder in ("tasks", "uploads"):
            assert [path.name for path in (data / folder).iterdir()] == [self.second]
        ends = ["cancelled", "completed"] if self.cancelled == "cancelled" else ["completed"]
        eventually(lambda: len(messages(receiver.requests).get(self.second, ())) >= len(ends))
        told = messages(receiver.requests)
        assert sorted(told[self.second]) == ends
        assert set(told) <= {self.first, self.second} and told.get(self.first, ["completed"]) == ["completed"]


@pytest.fixture
def errand(tmp_path: Path, tone, model_dir: Path, starter_server: Callable[..., Server]) -> Callable[[str], object]:
    """Give a context manager: a client's errand on a server with data of its own, which may be deadly."""

    @contextmanager
    def make(name: str) -> Iterator[tuple[Server, Errand, Receiver]]:
        folder = tmp_path / name
        folder.mkdir()
        server = starter_server(
            folder, model_dir, fake=True, path=[ROOT / "tests" / "deadly"], outgoing_allow="127.0.0.1",
            webhook_retry_seconds=0.2, result_cache=True,
        )  # fmt: skip
        with receiving(Receiver()) as receiver:
            try:
                yield server, Errand(server, tone(), receiver.url), receiver
            except BaseException:
                sys.stderr.write(server.log.read_text())
                raise
            finally:
                server.kill()

    return make


def _as_it_should_be(server: Server, client: Errand, receiver: Receiver) -> bool:
    """See that a server has all as its client left it; False if it goes away meanwhile: it has more to do then."""
    try:
        client.check(receiver)
    except httpx.TransportError:
        return False
    except AssertionError:
        if server.process is None or server.process.poll() is None:
            raise
        return False  # what was waited for can't come any more
    return True


def test_server_killed_between_any_two_writes_loses_nothing_and_does_nothing_twice(errand, tmp_path: Path) -> None:
    killed, at = 0, 0
    while True:
        at += STRIDE
        with errand(f"at-{at}") as (server, client, receiver):
            steps = tmp_path / f"at-{at}" / "steps"
            try:
                server.start(DIE_AT=str(at), STEPS=str(steps))
                lived = client.go_on() and _as_it_should_be(server, client, receiver)
            except Gone:  # killed before it answered
                lived = False
            if not lived:
                assert steps.stat().st_size >= at, "the server went away and was not killed"
                killed += 1
                server.start()
                assert client.go_on()
                client.check(receiver)
            elif steps.stat().st_size < at:
                break
    sys.stderr.write(f"killed at each {STRIDE}. of {at} writes: {killed} times\n")
    assert killed > 100 / STRIDE


def test_server_killed_at_random_moments_loses_nothing_and_does_nothing_twice(errand) -> None:
    chance = random.Random(11)
    killed = 0
    while killed < RANDOM_KILLS:
        with errand(f"random-{killed}") as (server, client, receiver):
            server.start()
            alarm = threading.Timer(chance.uniform(0, 1.5), server.kill)
            alarm.start()
            while not client.go_on():
                alarm.join()
                killed += 1
                server.start()
                alarm = threading.Timer(chance.uniform(0, 1.5), server.kill)
                alarm.start()
            alarm.cancel()
            alarm.join()
            if server.process.poll() is not None:
                server.start()
            client.check(receiver)


def test_real_engine_s_server_killed_at_random_moments_gives_the_same_transcript(
    start_server, sample_dir: Path
) -> None:
    server: Server = start_server()
    undisturbed = server.wait(server.upload(sample_dir / "sample.wav"))["result"]
    chance = random.Random(13)
    for _ in range(REAL_KILLS):
        task = server.upload(sample_dir / "sample.wav")
        alarm = threading.Timer(chance.uniform(0, 12), server.kill)
        alarm.start()
        alarm.join()
        server.start()
        status = server.wait(task)
        assert status["status"] == "completed", status
        assert {**status["result"], "task_id": ""} == {**undisturbed, "task_id": ""}
