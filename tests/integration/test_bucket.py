"""A server whose recordings and transcripts lie in a bucket, also where that is at times out of order."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.receiver import eventually
from tests.s3 import S3
from tests.waiting import send, wait
from whisperx_api.jobs import run
from whisperx_api.storage import objects, watching

API = "/api/v1/transcribe"
OUT_OF_REACH = "The server's storage can't be reached."
HARD_RANGES = ("bytes=0-0", "bytes=100-199", "bytes=-500", "bytes=32000-", "bytes=0-999999999", "bytes=0-3,100-103")


@pytest.fixture
def client(make_client: Callable[..., TestClient], s3: S3) -> TestClient:
    """An app on the fake engine, and on the bucket."""
    return make_client(storage_url=f"s3://{s3.bucket}/all/ours")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat little and pause shortly, so that a bucket that is out of order is told soon."""
    monkeypatch.setattr(objects, "REPEATED", objects.REPEATED | {"max_retries": 1})
    monkeypatch.setattr(watching, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(run, "ENGINE_PAUSE_SECONDS", 0.05)


def local_files(tmp_path: Path) -> list[Path]:
    """Return the files on this machine that hold something of a task."""
    return [path for folder in ("scratch", "uploads") for path in (tmp_path / "data" / folder).iterdir()]


def send_with_a_voice(client: TestClient, tone: Callable[..., Path]) -> Response:
    """Send a recording, and the voice of somebody called Ann."""
    voice = base64.b64encode(tone(seconds=3.0, name="ann.wav").read_bytes()).decode()
    fields = {
        "model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "async": "true",
        "known_speaker_names[]": "Ann", "known_speaker_references[]": f"data:audio/wav;base64,{voice}",
    }  # fmt: skip
    sound = {"file": ("tone.wav", tone().read_bytes())}
    return client.post("/v1/audio/transcriptions", data=fields, files=sound)


def test_recording_goes_through_the_bucket_and_leaves_nothing_in_it(
    client: TestClient, s3: S3, tone: Callable[..., Path], tmp_path: Path
) -> None:
    path = tone()
    task = send(client, path).json()["task_id"]
    status = wait(client, task)
    assert status["status"] == "completed", status
    eventually(lambda: s3.objects() == [f"all/ours/tasks/{task}/assign.1.json", f"all/ours/uploads/{task}"])
    assert "Hello there." in client.get(f"{API}/result/{task}?format=srt").text
    edited = client.patch(f"{API}/result/{task}", json={"segments": [{"id": 0, "text": "Good day."}]})
    assert edited.status_code == 200, edited.text
    assert "Good day." in client.get(f"{API}/result/{task}?format=srt").text
    assert f"all/ours/tasks/{task}/edits.json" in s3.objects()
    assert client.get(f"{API}/audio/{task}").content == path.read_bytes()
    assert local_files(tmp_path) == []
    assert client.delete(f"{API}/task/{task}").status_code == 204
    assert s3.objects() == [] and s3.unfinished() == 0
    assert client.get(f"{API}/audio/{task}").status_code == 404


def test_files_of_a_task_in_work_lie_in_the_bucket_and_decoded_sound_here(
    client: TestClient, s3: S3, tone: Callable[..., Path], tmp_path: Path
) -> None:
    task = send(client, tone(), prompt=json.dumps({"stage": "align", "what": "hang"})).json()["task_id"]
    eventually(lambda: f"all/ours/tasks/{task}/transcribe.1.json" in s3.objects())
    assert [path.name for path in local_files(tmp_path)] == [f"{task}.1"]
    assert client.delete(f"{API}/task/{task}").status_code == 204
    eventually(lambda: local_files(tmp_path) == [] == s3.objects())


@pytest.mark.parametrize("asked", [*HARD_RANGES, "bytes=999999999-", "bytes=-0", "bytes=5-2", "bytes", "seconds=0-1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ranges_are_answered_as_from_a_disk(make_client, s3: S3, tone, tmp_path: Path, method: str, asked: str) -> None:
    answers = []
    for number, url in enumerate((None, f"s3://{s3.bucket}")):
        client = make_client(storage_url=url, data_dir=tmp_path / str(number))
        task = send(client, tone(seconds=3.0)).json()["task_id"]
        answers.append(client.request(method, f"{API}/audio/{task}", headers={"Range": asked}))
    here, there = answers
    assert there.status_code == here.status_code
    if "multipart" in here.headers.get("content-type", ""):
        mark = [answer.headers["content-type"].rpartition("=")[2].encode() for answer in answers]
        assert here.content.replace(mark[0], b"-") == there.content.replace(mark[1], b"-")
    else:
        assert there.content == here.content
        same = ("content-type", "content-length", "content-range", "accept-ranges", "content-disposition")
        assert [there.headers.get(name) for name in same] == [here.headers.get(name) for name in same]


def test_range_is_for_the_recording_that_was_seen(client: TestClient, s3: S3, tone: Callable[..., Path]) -> None:
    task = send(client, tone()).json()["task_id"]
    head = client.head(f"{API}/audio/{task}")
    for seen, status in (("etag", 206), ("last-modified", 206)):
        headers = {"Range": "bytes=0-3", "If-Range": head.headers[seen]}
        assert client.get(f"{API}/audio/{task}", headers=headers).status_code == status
    for stale in ('"other"', 'W/"weak"'):
        headers = {"Range": "bytes=0-3", "If-Range": stale}
        assert client.get(f"{API}/audio/{task}", headers=headers).status_code == 200


def test_part_of_a_long_recording_is_all_that_is_read_of_it(
    client: TestClient, s3: S3, tone: Callable[..., Path], tmp_path: Path
) -> None:
    path = tone(seconds=200.0)
    task = send(client, path).json()["task_id"]
    wait(client, task)
    s3.requests.clear()
    part = client.get(f"{API}/audio/{task}", headers={"Range": "bytes=5000000-5000099"})
    assert part.content == path.read_bytes()[5000000:5000100]
    assert [request.split()[0] for request in s3.requests] == ["HEAD", "GET"]
    s3.requests.clear()
    assert client.get(f"{API}/audio/{task}").content == path.read_bytes()
    assert 3 < len(s3.requests) < 20


def test_known_speaker_s_voice_comes_out_of_the_bucket(
    client: TestClient, s3: S3, tone: Callable[..., Path], tmp_path: Path
) -> None:
    task = send_with_a_voice(client, tone).json()["task_id"]
    assert wait(client, task)["result"]["speakers"][0]["name"] == "Ann"
    used = [request.split()[0] for request in s3.requests if f"tasks/{task}/voice." in request]
    assert used == ["PUT", "HEAD", "GET"]
    eventually(lambda: not [name for name in s3.objects() if "voice" in name] and local_files(tmp_path) == [])


def test_one_request_in_ten_may_fail(client: TestClient, s3: S3, tone: Callable[..., Path], tmp_path: Path) -> None:
    path = tone()
    s3.fail(10)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: send(client, path, prompt=f"the {number}th"), range(20)))
    assert {answer.status_code for answer in answers} == {202}, [answer.text for answer in answers]
    tasks = [answer.json()["task_id"] for answer in answers]
    assert {wait(client, task, seconds=60)["status"] for task in tasks} == {"completed"}
    for task in tasks:
        assert client.get(f"{API}/audio/{task}").content == path.read_bytes()
        assert client.delete(f"{API}/task/{task}").status_code == 204
    assert s3.failed > 20
    assert s3.objects() == [] and local_files(tmp_path) == []


def test_bucket_that_is_down_is_said_and_nothing_is_left(
    hasty: None, make_client, s3: S3, tone: Callable[..., Path], tmp_path: Path
) -> None:
    client = make_client(storage_url=f"s3://{s3.bucket}")
    assert client.get("/ready").status_code == 200 and client.get("/health").json()["storage"] == "ok"
    task = send(client, tone()).json()["task_id"]
    wait(client, task)
    s3.fail(1, "503", "hung up")
    for answer in (
        send(client, tone(2.0)),
        client.get(f"{API}/audio/{task}"),
        client.patch(f"{API}/result/{task}", json={"segments": [{"id": 0, "text": "Good day."}]}),
    ):
        assert answer.status_code in (500, 503), answer.text
    answer = send(client, tone(2.0))
    assert answer.status_code == 503 and answer.headers["retry-after"] == "10"
    assert answer.json()["detail"] == "The server's storage can't be reached: try again later."
    assert client.get(f"{API}/audio/{task}").headers["retry-after"] == "10"
    assert client.get(f"{API}/result/{task}").status_code == 500
    assert "can't be used" in client.get("/health").json()["storage"]
    ready = client.get("/ready")
    assert ready.status_code == 503 and ready.json()["detail"].startswith("The bucket of STORAGE_URL can't be used")
    assert [one["task_id"] for one in client.get(f"{API}/tasks").json()["tasks"]] == [task]
    s3.every = 0
    assert s3.objects("uploads/") == [f"uploads/{task}"] and local_files(tmp_path) == []
    assert client.get("/ready").status_code == 200


def test_upload_whose_voice_finds_no_place_is_503_and_leaves_no_recording(
    hasty: None, make_client, s3: S3, tone: Callable[..., Path]
) -> None:
    client = make_client(storage_url=f"s3://{s3.bucket}")

    def no_voices(request: str) -> None:
        s3.every = 1 if request.startswith("PUT") and "/voice." in request else 0

    s3.fail(0, "503")
    s3.on_request = no_voices
    answer = send_with_a_voice(client, tone)
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert [request for request in s3.requests if request.startswith("PUT") and "/uploads/" in request]
    assert s3.objects() == [] and client.get(f"{API}/tasks").json()["tasks"] == []


def test_deletion_that_does_not_reach_the_bucket_is_said_so(
    hasty: None, make_client, s3: S3, tone: Callable[..., Path]
) -> None:
    client = make_client(storage_url=f"s3://{s3.bucket}")
    task = send(client, tone()).json()["task_id"]
    wait(client, task)
    s3.fail(1, "503")
    assert client.delete(f"{API}/task/{task}").status_code == 503
    assert client.get(f"{API}/status/{task}").status_code == 404


def test_transcript_out_of_reach_is_given_to_others_again_when_it_is_there(
    hasty: None, make_client, s3: S3, tone: Callable[..., Path]
) -> None:
    client = make_client(storage_url=f"s3://{s3.bucket}", result_cache=True)
    wait(client, send(client, tone()).json()["task_id"])

    def no_transcripts(request: str) -> None:
        s3.every = 1 if request.startswith("GET") and "assign." in request else 0

    s3.fail(0, "503")
    s3.on_request = no_transcripts
    made = client.get(f"{API}/status/{send(client, tone()).json()['task_id']}").json()
    assert not made["cached"]
    s3.mend()
    assert wait(client, made["task_id"])["status"] == "completed"
    assert wait(client, send(client, tone()).json()["task_id"])["cached"]


def test_task_waits_for_a_bucket_that_is_down_and_loses_no_try(
    hasty: None, make_client, s3: S3, tone: Callable[..., Path]
) -> None:
    client = make_client(storage_url=f"s3://{s3.bucket}")
    s3.on_request = lambda request: s3.fail(1) if "transcribe.1.json" in request else None
    task = send(client, tone()).json()["task_id"]
    eventually(lambda: client.get(f"{API}/status/{task}").json()["message"] == OUT_OF_REACH)
    s3.mend()
    status = wait(client, task)
    assert status["status"] == "completed", status


def test_server_on_a_bucket_that_is_down_starts_and_is_not_ready(
    hasty: None, make_client, s3: S3, tone: Callable[..., Path]
) -> None:
    s3.fail(1, "503")
    client = make_client(storage_url=f"s3://{s3.bucket}")
    assert client.get("/ready").status_code == 503
    s3.mend()
    assert client.get("/ready").status_code == 200
    assert wait(client, send(client, tone()).json()["task_id"])["status"] == "completed"


def test_task_goes_on_at_another_server_from_its_last_stage(
    hasty: None, make_client, s3: S3, tone: Callable[..., Path], tmp_path: Path
) -> None:
    """The decoded sound is gone with the machine; what came after it is in the bucket, which is waited for."""
    marker = tmp_path / "marker"
    first = make_client(storage_url=f"s3://{s3.bucket}", shutdown_grace_seconds=0)
    script = {"stage": "align", "what": "hang", "marker": str(marker)}
    task = send(first, tone(), prompt=json.dumps(script)).json()["task_id"]
    eventually(lambda: f"tasks/{task}/transcribe.1.json" in s3.objects() and marker.exists())
    first.__exit__(None, None, None)
    shutil.rmtree(tmp_path / "data" / "scratch")
    s3.requests.clear()
    s3.on_request = lambda request: s3.fail(1) if "GET" in request and "transcribe.1.json" in request else None
    second = make_client(storage_url=f"s3://{s3.bucket}")
    eventually(lambda: second.get(f"{API}/status/{task}").json()["message"] == OUT_OF_REACH)
    written: list[str] = []
    s3.mend()
    s3.on_request = lambda request: written.append(request) if request.startswith("PUT") else None
    assert wait(second, task)["status"] == "completed"
    assert written and not [request for request in written if "transcribe" in request]


def test_shared_folder_takes_a_task_from_upload_to_its_end(make_client, tone, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    client = make_client(storage_url=folder.as_uri())
    task = send(client, tone()).json()["task_id"]
    assert wait(client, task)["status"] == "completed"
    assert client.get("/health").json()["storage"] == "ok"
    eventually(lambda: {one.name for one in folder.rglob("*") if one.is_file()} == {task, "assign.1.json"})
    assert client.get(f"{API}/audio/{task}", headers={"Range": "bytes=0-3"}).content == b"RIFF"
    assert client.delete(f"{API}/task/{task}").status_code == 204
    assert [one for one in folder.rglob("*") if one.is_file()] == [] == local_files(tmp_path)
