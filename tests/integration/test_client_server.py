"""Both Python clients against a real server, on the fake engine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import BOTH
from tests.conftest import KEY
from tests.program import until
from tests.server import Server
from whisperx_api.client import ApiError, Client, Ended, Progressed, SegmentHeard, TaskFailed, TaskState

SLOW = json.dumps({"seconds": 0.5, "pieces": True})


@pytest.fixture
def server(start_server) -> Server:
    return start_server(fake=True)


@pytest.fixture(params=BOTH)
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    with BOTH[request.param](f"http://127.0.0.1:{server.port}", KEY) as client:
        yield client


def test_transcript_comes_in_one_call(client: Client, tone: Callable[..., Path]) -> None:
    seen: list[Any] = []
    sent: list[int] = []
    transcript = client.transcribe(
        tone(), language="de", speaker_embeddings=True, poll_seconds=0.02, on_progress=seen.append,
        on_sent=lambda done, size: sent.append(done),
    )  # fmt: skip
    assert transcript["text"] == "Hello there." and transcript["language"] == "de"
    assert transcript["speakers"][0].get("embedding") == [0.1, 0.2]
    assert seen[-1].status is TaskState.COMPLETED and sent[-1] == tone().stat().st_size
    with pytest.raises(ApiError) as caught:
        client.transcribe(tone(), num_speakers=99)
    assert caught.value.status_code == 400 and "num_speakers" in caught.value.detail


def test_failed_task_is_told_and_taken_up(client: Client, tone: Callable[..., Path], tmp_path: Path) -> None:
    script = {"stage": "align", "what": "refuse", "marker": str(tmp_path / "marker"), "times": 2}
    options: dict[str, Any] = {"prompt": json.dumps(script), "idempotency_key": True}
    with pytest.raises(TaskFailed, match="The model is out of reach") as caught:
        client.transcribe(tone(), poll_seconds=0.02, **options)
    task = caught.value.status.task_id
    assert client.upload(tone(), **options).status is TaskState.FAILED
    assert client.retry(task).status is TaskState.PENDING
    assert client.wait(task, poll_seconds=0.02).status is TaskState.FAILED
    assert client.transcribe(tone(), poll_seconds=0.02, **options)["task_id"] == task
    with pytest.raises(ApiError) as refused:
        client.retry(task)
    assert refused.value.status_code == 409


def test_key_means_one_task_until_that_is_deleted(client: Client, tone: Callable[..., Path]) -> None:
    first = client.upload(tone(), idempotency_key=True).task_id
    assert client.upload(tone(), idempotency_key=True).task_id == first
    assert client.upload(tone(), idempotency_key=True, language="de").task_id != first
    client.upload(tone(), idempotency_key="mine")
    with pytest.raises(ApiError) as caught:
        client.upload(tone(2), idempotency_key="mine")
    assert caught.value.status_code == 409
    client.delete(first)
    assert client.upload(tone(), idempotency_key=True).task_id != first


def test_events_are_heard_over_a_restart(client: Client, server: Server, tone: Callable[..., Path]) -> None:
    task = client.upload(tone(), prompt=SLOW).task_id
    heard: list[Any] = []
    listener = threading.Thread(target=lambda: heard.extend(client.events(task)), daemon=True)
    listener.start()
    server.wait(task, until="align")
    server.kill()
    time.sleep(0.5)
    server.start()
    listener.join(30)
    assert not listener.is_alive()
    assert isinstance(heard[-1], Ended) and heard[-1].status.status is TaskState.COMPLETED
    texts = [event.segment for event in heard if isinstance(event, SegmentHeard)]
    assert [(text["id"], text["text"]) for text in texts] == [(0, "Hello"), (1, "there.")]
    progress = [event.status.progress for event in heard if isinstance(event, Progressed)]
    assert len(progress) > 3 and progress == sorted(progress)


def test_upload_outlasts_a_server_that_starts_late(client: Client, server: Server, tone: Callable[..., Path]) -> None:
    server.kill()
    threading.Timer(1.0, server.start).start()
    task = client.upload(tone(), idempotency_key=True)
    assert client.wait(task.task_id, poll_seconds=0.02).status is TaskState.COMPLETED
    assert [one.task_id for one in client.tasks()] == [task.task_id]


def test_text_that_somebody_has_changed_meanwhile_is_not_overwritten(client: Client, tone: Callable[..., Path]) -> None:
    task = client.transcribe(tone(), poll_seconds=0.02)["task_id"]
    first = client.result(task)["segments"][0]["text"]
    assert client.edit(task, texts={0: "Hello, Ann."}, was={0: first})["text"] == "Hello, Ann."
    with pytest.raises(ApiError, match=r"Hello, Ann\.") as caught:
        client.edit(task, speakers={"SPEAKER_00": "Ben"}, texts={0: "Hello, Eve."}, was={0: first})
    assert caught.value.status_code == 409
    kept = client.result(task)
    assert kept["text"] == "Hello, Ann." and kept["speakers"][0]["name"] is None
    assert client.edit(task, texts={0: "Hello, Eve."})["text"] == "Hello, Eve.", "who names none overwrites"
    with pytest.raises(ValueError, match="`was` has 1, and `texts` has no text for it"):
        client.edit(task, texts={0: "Hello."}, was={1: "Hm."})


def test_tasks_and_recordings_come_back(
    client: Client, server: Server, tone: Callable[..., Path], tmp_path: Path
) -> None:
    sent = [server.upload(tone(seconds)) for seconds in (1, 2, 3)]
    for task in sent:
        client.wait(task, poll_seconds=0.02)
    assert [task.task_id for task in client.iter_tasks(page_size=2)] == sent[::-1]
    assert [task.task_id for task in client.iter_tasks(TaskState.FAILED)] == []
    assert client.audio(sent[2], tmp_path / "back.wav").read_bytes() == tone(3).read_bytes()
    assert until(lambda: client.written(sent[0], "srt")).startswith(b"1\n")
