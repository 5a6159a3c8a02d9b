"""The same recording with the same options: its transcript at once, or that of the task that is making it."""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.backend import ON_CLUSTER, Files
from tests.receiver import eventually
from tests.waiting import on_server, send, transcript_of, wait
from whisperx_api.storage.local import LocalStorage

API = "/api/v1/transcribe"
ANN, BEN = {"X-API-Key": "key-a"}, {"X-API-Key": "key-b"}
TWO_KEYS: dict[str, Any] = {"api_keys": "ann:key-a,ben:key-b", "api_key": None}


@pytest.fixture
def caching(make_client) -> Callable[..., TestClient]:
    """Start apps with the result cache on."""
    return lambda **settings: make_client(**{"result_cache": True} | settings)


@pytest.fixture
def counted(tmp_path: Path) -> Callable[..., str]:
    """Script the engine so that every transcription adds a line to a file."""

    def script(**what: Any) -> str:
        return json.dumps({"stage": "transcribe", "what": "go", "marker": str(tmp_path / "runs"), "times": 99} | what)

    return script


@pytest.fixture
def runs(tmp_path: Path) -> Callable[[], int]:
    """Count the transcriptions of `counted`."""
    return lambda: len((tmp_path / "runs").read_text().splitlines()) if (tmp_path / "runs").exists() else 0


def task_of(client: TestClient, path: Path, **fields: Any) -> str:
    answer = send(client, path, **fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["task_id"]


def status_of(client: TestClient, task: str) -> dict[str, Any]:
    return client.get(f"{API}/status/{task}").json()


def until_trimmed(client: TestClient) -> None:
    """Wait until the size of the cache is seen to, which is after the end is told, but within the run."""
    if ON_CLUSTER:
        time.sleep(1.0)  # nobody tells of the worker's runs
    else:
        eventually(lambda: client.get("/health").json()["active_tasks"] == 0)


def until_at(client: TestClient, task: str, stage: str) -> dict[str, Any]:
    """Poll until a task is at a stage."""
    deadline = time.monotonic() + 20
    while (status := status_of(client, task))["stage"] != stage:
        assert time.monotonic() < deadline and status["status"] in ("pending", "processing"), status
    return status


def without_id(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "task_id"}


# --- a transcript that is there ---


def test_same_recording_is_answered_at_once_with_its_own_task(caching, tone, counted, runs) -> None:
    client = caching()
    first = wait(client, task_of(client, tone(), prompt=counted()))
    answer = send(client, tone(name="again.wav"), prompt=counted())
    assert answer.json()["status"] == "completed"
    second = status_of(client, answer.json()["task_id"])
    assert (first["cached"], second["cached"]) == (False, True)
    assert second["task_id"] != first["task_id"] and second["result"]["task_id"] == second["task_id"]
    assert without_id(second["result"]) == without_id(first["result"])
    assert (second["filename"], second["duration"], second["progress"]) == ("again.wav", 1.0, 100.0)
    assert second["created_at"] and second["started_at"] and second["completed_at"]
    assert client.get(f"{API}/audio/{second['task_id']}").content == tone().read_bytes()
    events = client.get(f"{API}/events/{second['task_id']}").text
    assert "event: completed" in events
    assert runs() == 1


@pytest.mark.alone
def test_cached_upload_is_answered_within_50_ms_of_the_upload_itself(caching, tone) -> None:
    client, path = caching(), tone()
    wait(client, task_of(client, path))
    answers: list[float] = []
    while not answers or (min(answers) >= 0.05 and len(answers) < 10):  # what else the machine does only adds
        received, answered = [], []
        for _ in range(11):
            began = time.perf_counter()
            assert send(client, path, nothing="known").status_code == 400  # refused when it has been received
            received.append(time.perf_counter() - began)
            began = time.perf_counter()
            status = status_of(client, task_of(client, path))
            answered.append(time.perf_counter() - began)
            assert status["status"] == "completed" and status["cached"]
        answers.append(statistics.median(answered) - statistics.median(received))
        whole = 1000 * statistics.median(answered)
        print(f"cached recording: {whole:.1f} ms to its transcript, {1000 * answers[-1]:.1f} ms beyond the upload")
    assert min(answers) < 0.05


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"word_timestamps": "false"}),
        ({"word_timestamps": "false"}, {}),
        ({}, {"priority": "3"}),
        ({}, {"model": "tiny"}),
        ({"language": "en"}, {"language": "English"}),
    ],
)
def test_options_that_leave_the_transcript_as_it_is_hit(caching, tone, before, after) -> None:
    client = caching()
    wait(client, task_of(client, tone(), **before))
    status = status_of(client, task_of(client, tone(), **after))
    assert status["status"] == "completed" and status["cached"]
    assert ("words" in status["result"]["segments"][0]) is ("word_timestamps" not in after)


@pytest.mark.parametrize(
    "options",
    [
        {"language": "de"}, {"task": "translate"}, {"enable_diarization": "false"}, {"num_speakers": "2"},
        {"hotwords": "Katie"}, {"suppress_numerals": "true"}, {"speaker_embeddings": "true"}, {"model": "base"},
        {"prompt": "{}"},
    ],
)  # fmt: skip
def test_other_options_do_not_hit(caching, tone, options) -> None:
    client = caching()
    wait(client, task_of(client, tone()))
    assert not wait(client, task_of(client, tone(), **options))["cached"]


def test_another_recording_does_not_hit(caching, tone) -> None:
    client = caching()
    wait(client, task_of(client, tone()))
    assert not wait(client, task_of(client, tone(1.5)))["cached"]


def test_sampled_task_is_neither_cached_nor_joined(caching, tone, counted, runs) -> None:
    client = caching()
    slow = counted(seconds=0.3)
    tasks = [task_of(client, tone(), temperature="0.5", prompt=slow) for _ in range(2)]
    tasks.append(task_of(client, tone(), temperature="0.5", prompt=slow))
    assert not any(wait(client, task)["cached"] for task in tasks)
    assert runs() == 3


@pytest.mark.parametrize(
    "other", [{"whisper_model": "base"}, {"align_model": "attention"}, {"compute_type": "float32"},
              {"chunk_size_seconds": 20}, {"diarization_mode": "fast"}, {"diarization_model": "starter"}],
)  # fmt: skip
def test_cache_outlives_a_restart_but_no_other_model(caching, tone, other) -> None:
    before = caching()
    wait(before, task_of(before, tone()))
    before.__exit__(None, None, None)
    same = caching()
    assert status_of(same, task_of(same, tone()))["cached"]
    same.__exit__(None, None, None)
    changed = caching(**other)
    assert not wait(changed, task_of(changed, tone()))["cached"]


def test_cache_that_is_off_serves_nothing_and_joins_nothing(caching, tone, counted, runs) -> None:
    client = caching(result_cache=False)
    tasks = [task_of(client, tone(), prompt=counted(seconds=0.2)) for _ in range(2)]
    assert not any(wait(client, task)["cached"] for task in tasks)
    assert not wait(client, task_of(client, tone(), prompt=counted()))["cached"]
    assert runs() == 3


# --- whose it is, and how long ---


@pytest.mark.parametrize("shared", [False, True])
def test_transcripts_are_shared_between_keys_only_where_that_is_set(caching, tone, counted, runs, shared) -> None:
    client = caching(**TWO_KEYS, result_cache_shared=shared)
    client.headers.update(ANN)
    slow = counted(seconds=0.3)
    anns = task_of(client, tone(), prompt=slow)
    bens = [task_of(client, tone(), prompt=slow, headers=BEN)]  # while ann's is in work
    wait(client, anns)
    client.headers.update(BEN)
    wait(client, bens[0])
    client.headers.update(ANN)
    wait(client, task_of(client, tone(), prompt=slow + " "))
    client.headers.update(BEN)
    bens.append(task_of(client, tone(), prompt=slow + " "))  # when ann's is done
    assert [wait(client, task)["cached"] for task in bens] == [shared, shared]
    assert client.get(f"{API}/status/{anns}").status_code == 404
    assert runs() == (2 if shared else 4)


def test_transcript_goes_with_the_last_task_that_has_it(caching, tone) -> None:
    client = caching()
    first = task_of(client, tone())
    wait(client, first)
    second = task_of(client, tone())
    client.delete(f"{API}/task/{first}")
    third = task_of(client, tone())
    assert status_of(client, third)["cached"]
    for task in (second, third):
        assert client.get(f"{API}/result/{task}").status_code == 200
        client.delete(f"{API}/task/{task}")
    assert not wait(client, task_of(client, tone()))["cached"]


def test_what_was_used_longest_ago_goes_first(caching, tone, files: Files) -> None:
    client = caching(result_cache_size=1)
    first = task_of(client, tone())
    wait(client, first)
    name = transcript_of(files, first)
    size = len(files.read(first, name))
    until_trimmed(client)
    assert not wait(client, task_of(client, tone()))["cached"]  # it is larger than the cache
    client.__exit__(None, None, None)

    client = caching(result_cache_size=2 * size + size // 2)  # room for two
    for hotwords in "abc":
        wait(client, task_of(client, tone(), hotwords=hotwords))
        if hotwords == "b":
            used = task_of(client, tone(), hotwords="a")
            assert status_of(client, used)["cached"]
            client.delete(f"{API}/task/{used}")
    until_trimmed(client)
    kept = [status_of(client, task_of(client, tone(), hotwords=hotwords))["cached"] for hotwords in "ac"]
    assert kept == [True, True]
    assert not wait(client, task_of(client, tone(), hotwords="b"))["cached"]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damaged_transcript_is_made_anew_and_not_served(caching, tone, files: Files, damage) -> None:
    client = caching()
    first = task_of(client, tone())
    wait(client, first)
    name = transcript_of(files, first)
    whole = files.read(first, name)
    files.replace(first, name, {"gone": None, "cut": whole[:-20], "changed": whole.replace(b"Hello", b"Jello")}[damage])
    again = wait(client, task_of(client, tone()))
    assert again["status"] == "completed" and not again["cached"]
    assert again["result"]["text"] == "Hello there."
    assert status_of(client, task_of(client, tone()))["cached"]  # that of the second


# --- a transcript in the making ---


def test_ten_uploads_at_once_are_one_run(caching, tone, counted, runs) -> None:
    client = caching(max_concurrent_tasks=4)
    path, slow = tone(), counted(seconds=0.5)
    with ThreadPoolExecutor(10) as pool:
        tasks = list(pool.map(lambda _: task_of(client, path, prompt=slow), range(10)))
    ended = [wait(client, task) for task in tasks]
    assert {status["status"] for status in ended} == {"completed"} and len(set(tasks)) == 10
    assert sorted(status["cached"] for status in ended) == [False] + [True] * 9
    assert runs() == 1
    assert all(client.get(f"{API}/audio/{task}").content == path.read_bytes() for task in tasks)


@pytest.mark.embedded("shares work that is not done yet")
def test_second_follows_the_first_and_takes_no_worker(caching, tone, counted, runs) -> None:
    client = caching(max_concurrent_tasks=2)
    slow = counted(seconds=0.6)
    first = task_of(client, tone(), prompt=slow)
    until_at(client, first, "transcribe")
    second = task_of(client, tone(name="b.wav"), prompt=slow)
    other = task_of(client, tone(2.0, "c.wav"), prompt=json.dumps({"seconds": 0.6}))
    followed = until_at(client, second, "align")
    assert followed["status"] == "processing" and followed["queue_position"] is None and followed["eta_seconds"] > 0
    assert followed["progress"] == pytest.approx(status_of(client, first)["progress"], abs=15)
    assert status_of(client, other)["status"] == "processing"  # the second worker is free for it
    listed = client.get(f"{API}/tasks?status=processing").json()["tasks"]
    assert {task["task_id"] for task in listed} == {first, second, other}
    ended = [wait(client, task) for task in (first, second)]
    assert [status["status"] for status in ended] == ["completed", "completed"]
    assert ended[1]["cached"] and without_id(ended[0]["result"]) == without_id(ended[1]["result"])
    assert runs() == 1


def heard(client: TestClient, task: str) -> list[tuple[str, dict[str, Any]]]:
    """Listen to a task's events until it ends."""
    said, kind = [], ""
    with client.stream("GET", f"{API}/events/{task}") as answer:
        for line in answer.iter_lines():
            kind = line[7:] if line.startswith("event: ") else kind
            if line.startswith("data: "):
                said.append((kind, json.loads(line[6:])))
    return said


@pytest.mark.embedded("shares work that is not done yet")
def test_events_of_the_second_follow_the_first(start_server, tone, counted) -> None:
    server = start_server(fake=True, result_cache=True, max_concurrent_tasks=1)
    slow = counted(seconds=0.5)
    first, second = (server.upload(tone(), prompt=slow) for _ in range(2))
    said = heard(server.client, second)
    kinds = [kind for kind, _ in said]
    assert kinds[-1] == "completed" and kinds.count("segment") == 1
    assert said[-1][1]["task_id"] == second and said[-1][1]["cached"]
    told = [data for kind, data in said if kind == "progress"]
    assert {"transcribe", "align", "assign"} <= {data["stage"] for data in told}
    assert {data["task_id"] for data in told} == {second}
    progress = [data["progress"] for data in told]
    assert progress == sorted(progress) and progress[-1] > 50
    assert server.status(first)["status"] == "completed"


@pytest.mark.embedded("shares work that is not done yet")
def test_waiting_second_has_the_place_of_the_first_and_raises_it(caching, tone) -> None:
    client = caching(max_concurrent_tasks=1)
    blocking = task_of(client, tone(), prompt=json.dumps({"seconds": 1.0}))
    wait(client, blocking, "processing")
    low = task_of(client, tone(1.1, "low.wav"), priority="-5")
    between = task_of(client, tone(1.2, "between.wav"))
    follows = task_of(client, tone(1.1, "low.wav"), priority="-5")
    places = [status_of(client, task)["queue_position"] for task in (between, low, follows)]
    assert places == [0, 1, 1]
    urgent = task_of(client, tone(1.1, "low.wav"), priority="5")
    waiting = [status_of(client, task) for task in (low, follows, urgent, between)]
    assert [status["queue_position"] for status in waiting] == [0, 0, 0, 1]
    assert waiting[2]["eta_seconds"] == pytest.approx(waiting[0]["eta_seconds"], abs=0.5)
    assert {status["status"] for status in waiting} == {"pending"}
    ended = [wait(client, task) for task in (low, follows, urgent, between)]
    assert ended[0]["completed_at"] < ended[3]["started_at"]
    assert [status["cached"] for status in ended] == [False, True, True, False]


# --- each is its own ---


@pytest.mark.embedded("shares work that is not done yet")
@pytest.mark.parametrize("end", ["delete", "cancel"])
def test_second_goes_on_where_the_first_was_when_that_is_ended(caching, tone, counted, runs, tmp_path, end) -> None:
    client = caching(max_concurrent_tasks=1)
    slow = counted(seconds=0.6)
    first, second, third = (task_of(client, tone(), prompt=slow) for _ in range(3))
    until_at(client, first, "align")
    reached = status_of(client, second)["progress"]
    if end == "delete":
        assert client.delete(f"{API}/task/{first}").status_code == 204
        assert client.get(f"{API}/status/{first}").status_code == 404
        assert not (tmp_path / "data" / "tasks" / first).exists()
        assert not (tmp_path / "data" / "uploads" / first).exists()
    else:
        assert client.post(f"{API}/cancel/{first}").json()["status"] == "cancelled"
    for task in (second, third):
        now = status_of(client, task)
        assert now["status"] in ("pending", "processing") and now["progress"] >= reached
    ended = [wait(client, task) for task in (second, third)]
    assert [(status["status"], status["cached"]) for status in ended] == [("completed", False), ("completed", True)]
    assert runs() == 1  # transcribed before the first ended
    for task in (second, third):
        folder = tmp_path / "data" / "tasks" / task
        assert [path.name.partition(".")[0] for path in folder.iterdir()] == ["assign"]
    if end == "cancel":
        assert status_of(client, first)["status"] == "cancelled"


@pytest.mark.embedded("shares work that is not done yet")
def test_second_takes_the_place_of_a_waiting_first(caching, tone) -> None:
    client = caching(max_concurrent_tasks=1)
    wait(client, task_of(client, tone(), prompt=json.dumps({"seconds": 1.0})), "processing")
    first = task_of(client, tone(1.1, "a.wav"))
    between = task_of(client, tone(1.2, "b.wav"))
    second = task_of(client, tone(1.1, "a.wav"))
    client.delete(f"{API}/task/{first}")
    assert [status_of(client, task)["queue_position"] for task in (second, between)] == [0, 1]
    ended = [wait(client, task) for task in (second, between)]
    assert [(status["status"], status["cached"]) for status in ended] == [("completed", False)] * 2


@pytest.mark.embedded("shares work that is not done yet")
@pytest.mark.parametrize("end", ["delete", "cancel"])
def test_first_goes_on_when_the_second_is_ended(caching, tone, counted, runs, tmp_path: Path, end) -> None:
    client = caching()
    slow = counted(seconds=0.5)
    first, second = (task_of(client, tone(), prompt=slow) for _ in range(2))
    reached = until_at(client, second, "transcribe")["progress"]
    if end == "delete":
        client.delete(f"{API}/task/{second}")
        assert client.get(f"{API}/status/{second}").status_code == 404
    else:
        ended = client.post(f"{API}/cancel/{second}").json()
        assert (ended["status"], ended["stage"]) == ("cancelled", "transcribe") and ended["progress"] >= reached
    assert status_of(client, first)["status"] == "processing"
    assert wait(client, first)["status"] == "completed"
    assert not (tmp_path / "data" / "tasks" / second).exists()
    if end == "cancel":
        assert status_of(client, second)["status"] == "cancelled"
        assert client.post(f"{API}/retry/{second}").status_code == 200
        assert wait(client, second)["cached"]
    assert runs() == 1


@pytest.mark.embedded("shares work that is not done yet")
def test_second_that_is_cancelled_and_retried_follows_again(caching, tone, counted, runs) -> None:
    client = caching()
    slow = counted(seconds=0.6)
    first, second = (task_of(client, tone(), prompt=slow) for _ in range(2))
    until_at(client, first, "transcribe")
    client.post(f"{API}/cancel/{second}")
    client.post(f"{API}/retry/{second}")
    until_at(client, second, "align")
    assert [wait(client, task)["cached"] for task in (first, second)] == [False, True]
    assert runs() == 1


@pytest.mark.embedded("shares work that is not done yet")
def test_first_that_is_cancelled_and_retried_follows_the_second(caching, tone, counted, runs) -> None:
    client = caching()
    slow = counted(seconds=0.6)
    first, second = (task_of(client, tone(), prompt=slow) for _ in range(2))
    until_at(client, first, "align")
    client.post(f"{API}/cancel/{first}")
    client.post(f"{API}/retry/{first}")
    assert [wait(client, task)["cached"] for task in (first, second)] == [True, False]
    assert runs() == 1


def test_second_runs_itself_when_the_first_fails(caching, tone, tmp_path: Path) -> None:
    client = caching()
    once = json.dumps({"seconds": 0.3, "stage": "align", "what": "refuse", "marker": str(tmp_path / "once")})
    first, second, third = (task_of(client, tone(), prompt=once) for _ in range(3))
    ended = [wait(client, task) for task in (first, second, third)]
    assert [(status["status"], status["cached"]) for status in ended] == [
        ("failed", False), ("completed", False), ("completed", True),
    ]  # fmt: skip
    assert (ended[0]["error"], ended[1]["error"]) == ("The model is out of reach.", None)
    client.post(f"{API}/retry/{first}")
    assert wait(client, first)["cached"]


@pytest.mark.embedded("shares work that is not done yet")
def test_second_goes_on_though_the_end_of_the_first_is_not_tidy(caching, tone, tmp_path: Path, monkeypatch) -> None:
    client = caching()
    script = json.dumps({"seconds": 0.3, "stage": "align", "what": "refuse", "marker": str(tmp_path / "once")})
    clear, refused = LocalStorage.clear, []

    async def once_out_of_order(
        storage: LocalStorage, task_id: str, keep: Collection[str], epoch: int | None = None
    ) -> None:
        if not refused:
            refused.append(task_id)
            raise RuntimeError("out of order")
        await clear(storage, task_id, keep, epoch)

    monkeypatch.setattr(LocalStorage, "clear", once_out_of_order)
    first, second = (task_of(client, tone(), prompt=script) for _ in range(2))
    assert wait(client, first)["status"] == "failed"
    eventually(lambda: refused == [first])
    assert wait(client, second)["status"] == "completed"


@pytest.mark.embedded("shares work that is not done yet")
@pytest.mark.parametrize("end", ["completed", "failed"])
def test_second_does_not_go_back_while_the_first_has_ended_and_not_tidied_up(caching, tone, monkeypatch, end) -> None:
    client = caching()
    script = json.dumps({"seconds": 0.3, "stage": "assign" if end == "failed" else "", "what": "refuse"})
    clear, go_on, begun = LocalStorage.clear, threading.Event(), threading.Event()

    async def later(storage: LocalStorage, task_id: str, keep: Collection[str], epoch: int | None = None) -> None:
        begun.set()
        await asyncio.to_thread(go_on.wait, 20)
        await clear(storage, task_id, keep, epoch)

    monkeypatch.setattr(LocalStorage, "clear", later)
    first, second = (task_of(client, tone(), prompt=script) for _ in range(2))
    reached = until_at(client, second, "align")["progress"]
    assert begun.wait(20)
    ended, waiting = status_of(client, first), status_of(client, second)
    go_on.set()
    assert ended["status"] == end and waiting["status"] == "processing"
    assert waiting["progress"] > reached and waiting["message"] != "Waiting in the queue"
    assert wait(client, second)["status"] == end


def test_each_fails_by_itself_where_all_do(caching, tone, counted, runs) -> None:
    client = caching()
    tasks = [task_of(client, tone(), prompt=counted(what="refuse", after=0.2)) for _ in range(3)]
    assert [wait(client, task)["status"] for task in tasks] == ["failed"] * 3
    assert runs() == 3


@pytest.mark.embedded("shares work that is not done yet")
def test_all_that_share_a_run_can_be_deleted_in_any_order(caching, tone, counted, files: Files) -> None:
    client = caching()
    tasks = [task_of(client, tone(), prompt=counted(seconds=0.5)) for _ in range(6)]
    until_at(client, tasks[0], "transcribe")
    with ThreadPoolExecutor(5) as pool:
        gone = list(pool.map(lambda task: client.delete(f"{API}/task/{task}").status_code, tasks[:5]))
    assert gone == [204] * 5
    assert wait(client, tasks[5])["status"] == "completed"
    assert files.recordings() == files.tasks() == [tasks[5]]


# --- restarts ---


@pytest.mark.embedded("shares work that is not done yet")
@pytest.mark.parametrize("stage", ["transcribe", "assign"])
def test_tasks_that_share_a_run_do_so_again_after_a_kill(start_server, tone, counted, runs, stage) -> None:
    server = start_server(fake=True, result_cache=True, max_concurrent_tasks=1)
    slow = counted(seconds=0.6)
    tasks = [server.upload(tone(), prompt=slow) for _ in range(3)]
    for task in tasks:
        server.wait(task, until=stage)
    reached = [server.status(task)["progress"] for task in tasks]
    server.kill()
    server.start()
    assert all(server.status(task)["progress"] >= before for task, before in zip(tasks, reached, strict=True))
    ended = [server.wait(task) for task in tasks]
    assert [(status["status"], status["cached"]) for status in ended] == [
        ("completed", False), ("completed", True), ("completed", True),
    ]  # fmt: skip
    assert runs() == (2 if stage == "transcribe" else 1)
    assert server.status(server.upload(tone(), prompt=slow))["cached"]


def test_kills_at_any_moment_lose_no_task_and_complete_none_twice(start_server, tone, counted) -> None:
    server = start_server(fake=True, result_cache=True)
    slow = counted(seconds=0.15)
    tasks = []
    for pause in (0.0, 0.15, 0.3, 0.45, 0.6, 0.8):
        tasks += [server.upload(tone(), prompt=slow) for _ in range(2)]
        threading.Event().wait(pause)
        server.kill()
        server.start()
    ended = [server.wait(task) for task in tasks]
    assert {status["status"] for status in ended} == {"completed"}
    assert len({status["result"]["text"] for status in ended}) == 1
    listed = server.client.get(f"{API}/tasks").json()["tasks"]
    assert sorted(task["task_id"] for task in listed) == sorted(tasks)


def test_work_begun_with_another_model_is_not_given_out(start_server, tone, counted) -> None:
    server = start_server(fake=True, result_cache=True)
    task = server.upload(tone(), prompt=counted(seconds=0.6))
    server.wait(task, until="align")
    server.kill()
    other = start_server(fake=True, result_cache=True, align_model="auto")
    assert other.wait(task)["status"] == "completed"
    other.kill()
    server.start()
    assert not server.wait(server.upload(tone(), prompt=counted(seconds=0.6)))["cached"]


def test_deleted_task_leaves_no_entry(caching, tone) -> None:
    client = caching()
    first = task_of(client, tone())
    wait(client, first)
    client.delete(f"{API}/task/{first}")

    async def entries(parts) -> None:
        from sqlalchemy import func, select

        from whisperx_api.jobs.tables import ResultRow

        count = select(func.count()).select_from(ResultRow)
        assert await parts.store.read(lambda session: session.scalar(count)) == 0

    on_server(client, entries)
