"""What can be done with a task: poll, cancel, retry, delete, list, listen."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.backend import Files, engines_of, soon
from tests.receiver import Receiver, eventually, receiving
from tests.waiting import on_server, send, transcript_of, wait
from whisperx_api.api.parts import Parts
from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs.telling import AT_WORK

API = "/api/v1/transcribe"


def script(**what) -> str:
    return json.dumps(what)


async def forget_answers(parts: Parts) -> None:
    """Have the next poll of an ended task read everything again, as after any change."""
    parts.store.changes.happened()


def task_of(client: TestClient, path: Path, **fields: Any) -> str:
    answer = send(client, path, **fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["task_id"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "status"), ("get", "result"), ("get", "audio"), ("get", "events"),
        ("post", "cancel"), ("post", "retry"), ("delete", "task"),
    ],
)  # fmt: skip
def test_unknown_task_is_404(client: TestClient, method, path) -> None:
    answer = client.request(method, f"{API}/{path}/00000000-0000-0000-0000-000000000000")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_keys_task_is_404(make_client, tone) -> None:
    client = make_client(api_keys="ann:key-a,ben:key-b", api_key=None)
    task = send(client, tone(), headers={"X-API-Key": "key-a"}).json()["task_id"]
    for method, path in (("get", "status"), ("get", "audio"), ("post", "cancel"), ("delete", "task")):
        assert client.request(method, f"{API}/{path}/{task}", headers={"X-API-Key": "key-b"}).status_code == 404
    assert client.get(f"{API}/tasks", headers={"X-API-Key": "key-b"}).json()["tasks"] == []
    assert client.get(f"{API}/status/{task}", headers={"X-API-Key": "key-a"}).status_code == 200


def test_poll_of_an_ended_task_shows_every_later_change(make_client, tone) -> None:
    client = make_client(api_keys="ann:key-a,ben:key-b", api_key=None, outgoing_allow="127.0.0.1")
    ann, ben = {"X-API-Key": "key-a"}, {"X-API-Key": "key-b"}
    task = send(client, tone(), headers=ann).json()["task_id"]

    def poll(headers: dict[str, str] = ann, **query: Any) -> Any:
        """Poll twice: nothing changes meanwhile, and the second answer may be a remembered one."""
        answers = [client.get(f"{API}/status/{task}", headers=headers, params=query) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [answers[0].status_code] * 2
        assert answers[0].json() == answers[1].json() or answers[0].json()["completed_at"] is None
        return answers[1].json()

    client.headers |= ann
    assert wait(client, task)["status"] == "completed"
    assert poll()["result"]["speakers"][0]["name"] is None and poll(include_result=False)["result"] is None
    assert client.patch(f"{API}/result/{task}", json={"speakers": {"SPEAKER_00": "Ann"}}).status_code == 200
    assert poll()["result"]["speakers"][0]["name"] == "Ann"
    assert poll(ben)["status"] == 404
    with receiving(Receiver()) as receiver:
        assert client.post("/v1/webhooks", json={"task_id": task, "url": receiver.url}).status_code == 201
        receiver.wait(1)
        told = f"{API}/status/{task}"
        eventually(lambda: client.get(told).json()["webhooks"][0]["messages"][0]["status"] == "delivered")
        assert poll()["webhooks"][0]["messages"][0]["status"] == "delivered"
    assert client.delete(f"{API}/task/{task}").status_code == 204
    assert poll()["status"] == 404


def test_progress_never_goes_back_and_what_is_at_work_is_seen(client: TestClient, tone) -> None:
    task = task_of(client, tone(), prompt=script(seconds=0.3))
    seen, messages, progress = [], set(), -1.0
    while (status := client.get(f"{API}/status/{task}").json())["status"] in ("pending", "processing"):
        assert status["progress"] >= progress
        assert status["result"] is None
        progress = status["progress"]
        if status["stage"] and status["stage"] not in seen:
            seen.append(status["stage"])
        messages.add(status["message"])
        time.sleep(0.01)
    assert status["status"] == "completed"
    assert seen == [stage for stage in ("decode", "transcribe", "align", "diarize", "assign") if stage in seen]
    assert {"transcribe", "align", "assign"} <= set(seen)  # speakers are found meanwhile
    told = {part.lower() for message in messages for part in message.split(", ")}
    assert {AT_WORK[stage].lower() for stage in Stage} <= told
    assert "Transcribing speech, finding speakers" in messages


@pytest.mark.alone
def test_running_task_tells_stage_message_and_time_left(client: TestClient, tone) -> None:
    task = task_of(client, tone(), prompt=script(seconds=1.0))
    deadline = time.monotonic() + 10
    while not (status := client.get(f"{API}/status/{task}").json())["message"].startswith("Transcribing speech"):
        assert time.monotonic() < deadline, status
    assert status["stage"] == "transcribe" and status["status"] == "processing"
    assert status["eta_seconds"] > 0 and status["started_at"] and status["queue_position"] is None


def test_task_that_waits_for_an_engine_to_come_up_says_so(make_client, tone) -> None:
    client = make_client(engine="tests.late_engine")
    eventually(lambda: client.get("/health").json()["devices"][0]["name"])  # it is up
    on_server(client, lambda parts: engines_of(client).stop())  # as after idleness
    task = task_of(client, tone())
    deadline = time.monotonic() + 20
    while client.get(f"{API}/status/{task}").json()["message"] != "Starting the engine":
        assert time.monotonic() < deadline
    assert wait(client, task)["status"] == "completed"


def test_failed_task_keeps_no_decoded_audio_and_is_retried_without_it(
    client: TestClient, tone, tmp_path: Path, files: Files
) -> None:
    marker = str(tmp_path / "refused")
    refusal = script(stage="diarize", what="refuse", after=1, marker=marker)  # when the words are there
    task = task_of(client, tone(), prompt=refusal)
    status = wait(client, task)
    assert (status["status"], status["stage"], status["error"]) == ("failed", "diarize", "The model is out of reach.")
    eventually(lambda: {Path(name).suffix for name in files.made(task)} == {".json"})
    client.post(f"{API}/retry/{task}")
    made: set[str] = set()
    while (status := client.get(f"{API}/status/{task}").json())["status"] != "completed":
        assert status["status"] in ("pending", "processing"), status
        made |= set(files.made(task))
    assert "transcribe.2.json" not in made


def test_waiting_tasks_know_their_place_and_higher_priority_goes_first(make_client, tone) -> None:
    client = make_client(max_concurrent_tasks=1)
    first = task_of(client, tone(), prompt=script(seconds=0.6))
    wait(client, first, "processing")
    second, third = task_of(client, tone()), task_of(client, tone())
    urgent = task_of(client, tone(), priority="5")
    places = {task: client.get(f"{API}/status/{task}").json()["queue_position"] for task in (urgent, second, third)}
    assert places == {urgent: 0, second: 1, third: 2}
    listed = client.get(f"{API}/tasks").json()["tasks"]
    assert {task["filename"] for task in listed} == {"tone.wav"} and {task["duration"] for task in listed} == {1.0}
    started = [wait(client, task)["started_at"] for task in (urgent, second, third)]
    assert started == sorted(started)


def test_result_too_early_is_409_with_the_status(client: TestClient, tone) -> None:
    task = task_of(client, tone(), prompt=script(seconds=1.0))
    answer = client.get(f"{API}/result/{task}")
    assert answer.status_code == 409
    assert answer.json()["task"]["task_id"] == task
    assert answer.json()["task"]["status"] in ("pending", "processing")


def test_result_is_the_transcript_and_comes_in_pages(client: TestClient, tone) -> None:
    task = task_of(client, tone())
    wait(client, task)
    result = client.get(f"{API}/result/{task}").json()
    assert result["task_id"] == task and "page" not in result
    assert result["segments"][0]["words"][0] == {
        "word": "Hello", "start": 0.0, "end": 0.4, "score": 0.9, "speaker": "SPEAKER_00",
    }  # fmt: skip
    paged = client.get(f"{API}/result/{task}?page=2&page_size=1").json()
    assert paged["segments"] == [] and paged["pages"] == 1 and paged["page"] == 2
    assert client.get(f"{API}/result/{task}?page=0").status_code == 400
    assert client.get(f"{API}/result/{task}?format=docx").json()["param"] == "format"
    assert client.get(f"{API}/status/{task}?include_result=false").json()["result"] is None


def test_audio_comes_back_as_sent_and_in_ranges(client: TestClient, tone) -> None:
    path = tone()
    task = task_of(client, path)
    whole = client.get(f"{API}/audio/{task}")
    assert whole.content == path.read_bytes() and whole.headers["content-type"].startswith("audio/")
    part = client.get(f"{API}/audio/{task}", headers={"Range": "bytes=4-7"})
    assert part.status_code == 206 and part.content == path.read_bytes()[4:8]


def test_audio_named_like_a_page_is_not_served_as_one(client: TestClient, tone) -> None:
    task = task_of(client, tone(name="evil.html"))
    assert client.get(f"{API}/audio/{task}").headers["content-type"] == "application/octet-stream"


def test_recording_that_is_gone_from_the_disk_is_404(client: TestClient, tone, files: Files) -> None:
    task = task_of(client, tone())
    wait(client, task)
    assert client.head(f"{API}/audio/{task}").status_code == 200
    files.lose_recording(task)
    answer = client.get(f"{API}/audio/{task}")
    assert answer.status_code == 404 and "not on the server's disk" in answer.json()["detail"]


@pytest.mark.parametrize("harm", [None, b"{"])
def test_transcript_that_cant_be_read_is_said_so_and_the_status_still_answers(
    client: TestClient, tone, files: Files, harm: bytes | None
) -> None:
    task = task_of(client, tone())
    wait(client, task)
    result = transcript_of(files, task)
    files.replace(task, result, harm)
    answer = client.get(f"{API}/result/{task}")
    assert answer.status_code == 500 and "can't be read from the server's disk" in answer.json()["detail"]
    on_server(client, forget_answers)
    status = client.get(f"{API}/status/{task}").json()
    assert status["status"] == "completed" and status["result"] is None
    assert "can't be read" in status["message"]


@pytest.mark.alone
def test_cancel_stops_a_running_stage_within_two_seconds(client: TestClient, tone, files: Files) -> None:
    task = task_of(client, tone(), prompt=script(seconds=60, stage="transcribe", what="hang"))
    deadline = time.monotonic() + 10
    while client.get(f"{API}/status/{task}").json()["stage"] != "transcribe":
        assert time.monotonic() < deadline
    began = time.monotonic()
    assert client.post(f"{API}/cancel/{task}").json()["status"] == "cancelled"
    assert client.get(f"{API}/status/{task}").json()["status"] == "cancelled"
    while engines_of(client).engines[0].state == "busy":
        assert time.monotonic() - began < 2.0
    other = task_of(client, tone())
    assert wait(client, other)["status"] == "completed"
    assert client.get(f"{API}/status/{task}").json()["status"] == "cancelled"
    eventually(lambda: {Path(name).suffix for name in files.made(task)} == {".json"})  # the audio is gone
    assert client.post(f"{API}/cancel/{other}").json()["status"] == "completed"


def test_waiting_task_is_cancelled_too_and_never_runs(make_client, tone) -> None:
    client = make_client(max_concurrent_tasks=1)
    busy = task_of(client, tone(), prompt=script(seconds=0.4))
    waiting = task_of(client, tone())
    assert client.post(f"{API}/cancel/{waiting}").json()["status"] == "cancelled"
    assert wait(client, busy)["status"] == "completed"
    assert client.get(f"{API}/status/{waiting}").json()["started_at"] is None


def test_retry_goes_on_after_the_last_finished_stage(client: TestClient, tone, tmp_path: Path, files: Files) -> None:
    marker = tmp_path / "marker"
    task = task_of(client, tone(), prompt=script(stage="assign", what="refuse", marker=str(marker)))
    failed = wait(client, task)
    assert failed["status"] == "failed" and failed["progress"] < 100
    stages = ["align.1.json", "decode.1.json", "diarize.1.json", "transcribe.1.json"]
    eventually(lambda: files.made(task) == stages)
    assert client.post(f"{API}/retry/{task}").json()["status"] in ("pending", "processing")
    assert wait(client, task)["status"] == "completed"
    assert client.post(f"{API}/retry/{task}").status_code == 409
    assert transcript_of(files, task) == "assign.2.json"


@pytest.mark.alone
def test_retry_of_a_running_task_is_409_at_once_and_holds_nobody_up(client: TestClient, tone) -> None:
    task = task_of(client, tone(), prompt=script(seconds=3))
    wait(client, task, "processing")
    began = time.monotonic()
    assert client.post(f"{API}/retry/{task}").status_code == 409
    assert client.post(f"{API}/cancel/{task}").json()["status"] == "cancelled"
    assert time.monotonic() - began < 2


def test_task_whose_recording_is_gone_fails_at_once_with_a_sentence(make_client, tone, files: Files) -> None:
    client = make_client(max_concurrent_tasks=1)
    task_of(client, tone(), prompt=script(seconds=0.5))
    task = task_of(client, tone())
    files.lose_recording(task)
    assert wait(client, task)["error"] == "The recording is not on the server's disk any more: send it again."


def test_cancelled_task_can_be_retried(client: TestClient, tone, tmp_path: Path) -> None:
    task = task_of(client, tone(), prompt=script(stage="align", what="hang", marker=str(tmp_path / "marker")))
    deadline = time.monotonic() + 10
    while client.get(f"{API}/status/{task}").json()["stage"] != "align":
        assert time.monotonic() < deadline
    client.post(f"{API}/cancel/{task}")
    assert client.post(f"{API}/retry/{task}").status_code == 200
    assert wait(client, task)["status"] == "completed"


def test_stage_that_fails_twice_succeeds_at_the_third_try(client: TestClient, tone, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    task = task_of(client, tone(), prompt=script(stage="align", what="fail", marker=str(marker), times=2))
    assert wait(client, task)["status"] == "completed"
    assert len(marker.read_text().splitlines()) == 2


def test_stage_that_fails_three_times_fails_the_task_with_its_reason(client: TestClient, tone, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    task = task_of(client, tone(), prompt=script(stage="align", what="fail", marker=str(marker), times=9))
    status = wait(client, task)
    assert status["status"] == "failed" and status["error"] == "The stage failed."
    assert len(marker.read_text().splitlines()) == 3
    assert client.get(f"{API}/audio/{task}").status_code == 200


@pytest.mark.parametrize("stage", ["transcribe", "align", "diarize", "assign"])
def test_engine_killed_in_a_stage_costs_one_try(client: TestClient, tone, tmp_path: Path, stage) -> None:
    task = task_of(client, tone(), prompt=script(stage=stage, what="die", marker=str(tmp_path / "marker")))
    assert wait(client, task)["status"] == "completed"


def test_engine_that_always_dies_fails_the_task_and_no_other(client: TestClient, tone) -> None:
    doomed = task_of(client, tone(), prompt=script(stage="transcribe", what="die"))
    other = task_of(client, tone())
    assert wait(client, other)["status"] == "completed"
    status = wait(client, doomed)
    assert status["status"] == "failed" and "SIGKILL" in status["error"]


def test_delete_stops_a_running_task_and_leaves_nothing(client: TestClient, tone, files: Files) -> None:
    task = task_of(client, tone(), prompt=script(seconds=30))
    wait(client, task, "processing")
    assert client.delete(f"{API}/task/{task}").status_code == 204
    assert client.get(f"{API}/status/{task}").status_code == 404
    assert client.delete(f"{API}/task/{task}").status_code == 404
    assert soon(lambda: not files.traces(task))


def test_tasks_are_listed_newest_first_in_pages(client: TestClient, tone) -> None:
    tasks = [task_of(client, tone()) for _ in range(5)]
    for task in tasks:
        wait(client, task)
    listed, cursor = [], None
    for _ in range(3):
        page = client.get(f"{API}/tasks", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        listed += [task["task_id"] for task in page["tasks"]]
        cursor = page["next_cursor"]
    assert listed == tasks[::-1] and cursor is None
    assert client.get(f"{API}/tasks?status=failed").json()["tasks"] == []
    assert len(client.get(f"{API}/tasks?status=completed").json()["tasks"]) == 5
    assert client.get(f"{API}/tasks?status=lost").status_code == 400
    assert client.get(f"{API}/tasks?cursor=x").status_code == 400


def test_events_tell_progress_text_and_the_end(client: TestClient, tone) -> None:
    task = task_of(client, tone(), prompt=script(seconds=0.5))
    events = read_events(client, task)
    names = [name for name, _ in events]
    assert names[-1] == "completed" and names.count("completed") == 1
    assert events[-1][1]["task_id"] == task and events[-1][1]["progress"] == 100
    assert [data["text"] for name, data in events if name == "segment"] == ["Hello there."]
    progress = [data["progress"] for name, data in events if name == "progress"]
    assert len(progress) > 5 and progress == sorted(progress)
    assert read_events(client, task) == events[-1:]


def test_events_of_a_cancelled_task_end_with_cancelled(client: TestClient, tone) -> None:
    task = task_of(client, tone(), prompt=script(seconds=5))
    canceller = threading.Timer(0.5, lambda: client.post(f"{API}/cancel/{task}"))
    canceller.start()
    assert read_events(client, task)[-1][0] == "cancelled"
    canceller.join()


def test_events_of_a_deleted_task_end_with_cancelled(client: TestClient, tone) -> None:
    task = task_of(client, tone(), prompt=script(seconds=5))
    deleter = threading.Timer(0.5, lambda: client.delete(f"{API}/task/{task}"))
    deleter.start()
    name, data = read_events(client, task)[-1]
    deleter.join()
    assert (name, data["task_id"], data["status"]) == ("cancelled", task, "cancelled")


def read_events(client: TestClient, task: str) -> list[tuple[str, dict]]:
    events, name = [], ""
    with client.stream("GET", f"{API}/events/{task}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                events.append((name, json.loads(line.removeprefix("data:"))))
    return events


def test_finished_tasks_are_deleted_when_their_time_is_over(make_client, tone, files: Files) -> None:
    client = make_client(retention_hours=1 / 3600)
    task = task_of(client, tone())
    wait(client, task)
    deadline = time.monotonic() + 10
    while client.get(f"{API}/status/{task}").status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    while files.traces(task):  # they go after its record
        assert time.monotonic() < deadline
        time.sleep(0.02)
