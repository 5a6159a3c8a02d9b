"""What the service keeps is for its user alone, and what is deleted is gone, to the last byte."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.backend import Files
from tests.conftest import UPLOAD
from tests.private import check_private
from tests.receiver import Receiver, eventually, receiving
from tests.server import Server
from tests.waiting import on_server, send, wait
from whisperx_api.api.parts import Parts

API = "/api/v1/transcribe"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
MARK = "Qwzx"
"""Begins every word that is looked for."""
ERROR, TEXT = "The model is out of reach.", "Hello there."
HANGS = json.dumps({"stage": "transcribe", "what": "hang"})


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """Files are made as those of most programs are, readable by everybody."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def speech(seconds: float, seed: int = 0, channels: int = 1) -> bytes:
    """Return a WAV file of noise, each seed with its own."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setparams((channels, 2, 16000, 0, "NONE", ""))
        noise = np.random.default_rng(seed).integers(-8000, 8000, round(seconds * 16000) * channels)
        file.writeframes(noise.astype("<i2").tobytes() + f"{MARK}sound".encode() + b"\0")
    return written.getvalue()


def with_a_known_speaker(client, name: str, idempotency_key: str = "") -> str:
    """Send a recording with the voice of somebody; return the task's id."""
    voice = f"data:audio/wav;base64,{base64.b64encode(speech(3.0, seed=99)).decode()}"
    fields = {
        "model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "async": "true",
        "known_speaker_names[]": name, "known_speaker_references[]": voice,
    }  # fmt: skip
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    answer = client.post(
        "/v1/audio/transcriptions", files={"file": (f"{MARK}known.wav", speech(1.0, 98))}, data=fields, headers=headers
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["task_id"]


# --- whose it is ---


@pytest.mark.embedded("a server of many makes no first key")
@pytest.mark.usefixtures("usual_umask")
def test_everything_is_for_the_service_s_user_alone(
    start_server: Callable[..., Server], tone: Callable[..., Path], tmp_path: Path
) -> None:
    server = start_server(fake=True, api_key="", result_cache=True)
    data = tmp_path / "data"
    server.client.headers["X-API-Key"] = (data / "api_key").read_text().strip()
    (tmp_path / "two.wav").write_bytes(speech(2.0, channels=2))
    done = server.upload(tmp_path / "two.wav", channels="separate")
    names = check_private(data)
    assert server.wait(done)["status"] == "completed"
    eventually((data / "stage_costs.json").exists)
    at_work = server.upload(tone(2.0), prompt=HANGS)
    assert server.client.patch(f"{API}/result/{done}", json={"speakers": {"SPEAKER_00": "K"}}).status_code == 200
    server.wait(at_work, until="transcribe")
    names |= check_private(data)
    server.kill()
    names |= check_private(data)
    assert names >= {
        "whisperx-api.db", "whisperx-api.db-wal", "whisperx-api.db-shm", "lock", "api_key", "stage_costs.json", done,
        "audio.1.f32", "decode.1.json", "assign.1.json", "edits.json",
    }  # fmt: skip
    for name in ("whisperx-api.db", "whisperx-api.db-wal", "whisperx-api.db-shm", "lock"):
        (data / name).chmod(0o644)  # as versions before this one left them
    server.start()
    check_private(data)


# --- what is left ---


SENT = 3
"""Tasks of which nothing is to be left."""


def test_nothing_is_left_of_a_task(make_client: Callable[..., TestClient], files: Files) -> None:
    with receiving(Receiver(default=503)) as receiver:
        client = make_client(result_cache=True, outgoing_allow="127.0.0.1")
        tasks = [sent(client, f"task{n}", receiver, refuse=n % 3 == 1, seed=n + 1) for n in range(SENT)]
        tasks.append(with_a_known_speaker(client, f"{MARK}voice", f"{MARK}onekey"))
        wait(client, tasks[-1])
        kept = sent(client, "kept", receiver, refuse=False)
        edit = {"speakers": {"SPEAKER_00": f"{MARK}katie"}, "segments": [{"id": 0, "text": f"{MARK}corrected"}]}
        assert client.patch(f"{API}/result/{tasks[0]}", json=edit).status_code == 200
        receiver.wait(SENT + 1)
        words = ("name", "prompt", "hotword", "key", "hook")
        marks = [f"{MARK}{word}task{n}" for word in words for n in range(SENT)]
        marks += [f"{MARK}{word}" for word in ("katie", "corrected", "voice", "onekey", "known")] + [ERROR, *tasks]
        assert sorted(files.readable(marks)) == sorted(marks)
        deleted, expired = tasks[::2], tasks[1::2]
        for task_id in deleted:
            assert client.delete(f"{API}/task/{task_id}").status_code == 204
        eventually(lambda: not files.readable(deleted))
        expire_before(client, kept, len(expired))
        eventually(lambda: not files.readable(marks))
        still_there = [kept, *(f"{MARK}{word}kept" for word in words), TEXT]
        assert sorted(files.readable(still_there)) == sorted(still_there)
        assert client.get(f"{API}/result/{kept}").json()["text"] == TEXT
        assert files.recordings() == [kept] and files.tasks() == [kept]
        assert client.delete(f"{API}/task/{kept}").status_code == 204
        eventually(lambda: not files.readable([kept, MARK, TEXT]))


def expire_before(client: TestClient, kept: str, count: int) -> None:
    """Have the tasks that ended before another one expire."""

    async def expire(parts: Parts) -> None:
        newest = await parts.store.get(kept)
        assert newest is not None and newest.completed_at is not None
        assert await parts.manager.expire(newest.completed_at) == count

    on_server(client, expire)


def sent(client: TestClient, word: str, receiver: Receiver, refuse: bool, seed: int = 0) -> str:
    """Have a task end, with the word in all that a caller can say."""
    script = {"note": f"{MARK}prompt{word}"} | ({"stage": "transcribe", "what": "refuse"} if refuse else {})
    fields = {
        "prompt": json.dumps(script), "hotwords": f"{MARK}hotword{word} " + "and more words " * 40,
        "webhook_url": f"{receiver.url}/{MARK}hook{word}",
    }  # fmt: skip
    file = (f"{MARK}name{word}.wav", speech(0.3, seed))
    answer = client.post(UPLOAD, files={"file": file}, data=fields, headers={"Idempotency-Key": f"{MARK}key{word}"})
    assert answer.status_code == 202, answer.text
    task_id = answer.json()["task_id"]
    assert wait(client, task_id)["status"] == ("failed" if refuse else "completed")
    return task_id


def test_nothing_is_left_of_a_task_that_is_deleted_at_work(client: TestClient, files: Files) -> None:
    file = (f"{MARK}name.wav", speech(0.5))
    task = client.post(UPLOAD, files={"file": file}, data={"prompt": HANGS, "hotwords": f"{MARK}hotword"}).json()
    wait(client, task["task_id"], "processing")
    eventually(lambda: [name for name in files.made(task["task_id"]) if name.startswith("audio")])
    assert client.delete(f"{API}/task/{task['task_id']}").status_code == 204
    eventually(lambda: not files.readable([task["task_id"], MARK]))


def test_nothing_is_left_of_a_webhook_that_is_deleted(
    client: TestClient, tone: Callable[..., Path], files: Files
) -> None:
    task = send(client, tone()).json()["task_id"]
    body = {"task_id": task, "url": f"https://93.184.215.14/{MARK}hook"}
    webhook = client.post("/v1/webhooks", json=body).json()
    marks = [f"{MARK}hook", webhook["secret"], webhook["id"]]
    assert sorted(files.readable(marks)) == sorted(marks)
    parts: Parts = client.app.state.parts  # type: ignore[attr-defined]  # the app that it calls
    eventually(lambda: not parts.store.erased.is_set())  # what a start has to empty, it has
    assert client.delete(f"/v1/webhooks/{webhook['id']}").status_code == 204
    eventually(lambda: not files.readable(marks))


# --- names of files ---

NAMES = [
    b"../../escaped", b"..\\\\..\\\\escaped", b"/tmp/escaped", b"/", b"..", b".", b"a\0b/../escaped", b"\0",
    b"\x1b[31mescaped\x07\x08", b"a\nb", b"\x85\xc2\x85\xe2\x80\xa8x", b"%2e%2e%2fescaped", b"~root", b"$(id)",
    b"-rf", b"x" * 255, b"x" * 4096, b"\xff\xfe", "\u202eescaped".encode(), b'a\\"b', b"a;b=c", b"CON",
]  # fmt: skip
OWN = re.compile(rf"(uploads/{UUID}|tasks/{UUID}/[\w.]+|lock|stage_costs\.(json|part)|whisperx-api\.db.*)")
"""What the service writes in its folder."""


def test_name_of_a_recording_leads_nowhere(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    client = make_client(result_cache=True)
    wait(client, client.post(UPLOAD, files={"file": ("a.wav", speech(0.1))}).json()["task_id"])
    before = {path.name for path in tmp_path.iterdir()}
    taken = 0
    for form in (b'filename="%s"', b"filename*=utf-8''%s"):
        for name in NAMES:
            head = b'--B\r\nContent-Disposition: form-data; name="file"; ' + form % name + b"\r\n\r\n"
            body = head + speech(0.1) + b"\r\n--B--\r\n"
            answer = client.post(UPLOAD, content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
            assert answer.status_code in (202, 400), answer.text
            if answer.status_code == 202:
                taken += 1
                check_name(client, answer.json()["task_id"])
            else:
                assert answer.json()["detail"].isprintable()
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert [path for path in files if not OWN.fullmatch(str(path.relative_to(tmp_path / "data")))] == []
    assert {path.name for path in tmp_path.iterdir()} == before
    assert not Path("/tmp/escaped").exists()
    assert taken > len(NAMES)


def check_name(client: TestClient, task_id: str) -> None:
    shown = client.get(f"{API}/status/{task_id}").json()["filename"]
    assert 0 < len(shown) <= 255 and "/" not in shown
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", shown), shown
    audio = client.get(f"{API}/audio/{task_id}")
    assert audio.content == speech(0.1)
    assert audio.headers["content-disposition"].isprintable()
