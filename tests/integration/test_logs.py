"""What the service logs: lines for people or machines, each with what it is about, and nothing that is secret."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.backend import ON_CLUSTER, Files
from tests.receiver import Receiver, eventually, receiving
from tests.server import Server
from tests.waiting import send

FIELDS = ("time", "level", "logger", "event")


def lines(server: Server) -> list[dict[str, Any]]:
    """Return all that a server and its engine have logged as JSON."""
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def about(server: Server, text: str) -> list[dict[str, Any]]:
    return [line for line in lines(server) if text in line["event"]]


# --- how lines look ---


def test_every_line_of_json_says_when_and_who_and_what_it_is_about(start_server, tone) -> None:
    server: Server = start_server(
        fake=True, log_format="json", debug=True, whisper_model="tiny", model_unload_idle_minutes=0.2 / 60
    )
    with tone().open("rb") as file:
        answer = server.client.post(
            "/api/v1/transcribe/upload", files={"file": file}, headers={"X-Request-ID": "request-one"}
        )
    task = answer.json()["task_id"]
    server.wait(task)
    eventually(lambda: all(said in server.log.read_text() for said in ("was idle for", "is completed")))
    server.terminate()
    assert not [line for line in about(server, "was idle for") if "task_id" in line]  # though a task has set the timer
    for line in lines(server):
        assert tuple(line)[:4] == FIELDS, line
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
    (received,) = about(server, "is received")
    assert (received["request_id"], received["task_id"], received["key"]) == ("request-one", task, "default")
    assert (
        received["level"] == "info"
        and received["logger"] == f"whisperx_api.jobs.{'cluster.replica' if ON_CLUSTER else 'manager'}"
    )
    (completed,) = about(server, "is completed")
    assert completed["task_id"] == task and "request_id" not in completed
    of_engine = [line for line in lines(server) if line.get("process") == "engine"]
    assert {line["task_id"] for line in of_engine} == {task}
    (asked,) = about(server, '"POST /api/v1/transcribe/upload')  # uvicorn's
    assert (asked["logger"], asked["request_id"]) == ("uvicorn.access", "request-one")
    (ended,) = [line for line in about(server, "POST /api/v1/transcribe/upload: 202") if "key" in line]
    assert (ended["logger"], ended["request_id"]) == ("whisperx_api.api.entrance", "request-one")
    assert not [line for line in about(server, "is up on") if "request_id" in line]
    assert [
        line for line in lines(server) if line["logger"].startswith("sqlalchemy.engine") and "INSERT" in line["event"]
    ]


def test_text_is_for_people_and_says_what_a_line_is_about(start_server, tone) -> None:
    server: Server = start_server(fake=True, whisper_model="tiny")
    with tone().open("rb") as file:
        headers = {"X-Request-ID": "request-one"}
        answer = server.client.post("/api/v1/transcribe/upload", files={"file": file}, headers=headers)
    task = answer.json()["task_id"]
    server.wait(task)
    eventually(lambda: "is completed" in server.log.read_text())
    text = server.log.read_text()
    begins = r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    "
    assert re.search(
        rf"{begins}task {task} is received: \d+ bytes from default \[request_id=request-one\]$", text, re.M
    )
    assert re.search(rf"{begins}task {task} is completed: 1\.0 s of audio, .* after its start$", text, re.M)
    assert re.search(rf"{begins}engine: diarize is asked for \[task_id={task}\]$", text, re.M)


@pytest.mark.embedded("is about a file in DATA_DIR")
def test_error_nobody_foresaw_is_one_line_with_its_traceback_and_its_request(
    start_server, tone, tmp_path: Path
) -> None:
    server: Server = start_server(fake=True, log_format="json")
    task = server.upload(tone())
    server.wait(task)
    recording = tmp_path / "data" / "uploads" / task
    recording.unlink()
    recording.mkdir()  # no file any more, which the service does not expect
    answer = server.client.delete(f"/api/v1/transcribe/task/{task}", headers={"X-Request-ID": "request-two"})
    assert answer.status_code == 500
    server.terminate()  # uvicorn says it after the answer
    (said,) = [line for line in lines(server) if line["level"] == "error"]
    assert said["event"] == "Exception in ASGI application"
    assert (said["request_id"], said["task_id"], said["key"]) == ("request-two", task, "default")
    assert said["exception"].startswith("Traceback") and "IsADirectoryError" in said["exception"]


# --- what they do not say ---

SPOKEN = "zanzibar-quokka"
PROMPTED = "prompted-axolotl"
CORRECTED = "corrected-narwhal"
KEY_OF_ANN = "key-of-ann-5f3759df"
WRONG_KEY = "wrong-key-deadbeef"
HOOK_SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
QUERY = "query-token-cafebabe"
SECRETS = (SPOKEN, PROMPTED, CORRECTED, KEY_OF_ANN, WRONG_KEY, HOOK_SECRET, HOOK_SECRET[6:], QUERY)


@contextmanager
def neighbours() -> Iterator[tuple[Receiver, Receiver]]:
    """A receiver of webhooks, and a server of recordings."""
    with receiving(Receiver(statuses=[500])) as hooks, receiving(Receiver()) as recordings:
        yield hooks, recordings


def live_through_all(client: Any, recording: Path, files: Files, hooks: Receiver, recordings: Receiver) -> None:
    """Send everything secret that the service takes, and have as much go wrong with it as can."""
    script = json.dumps({"text": f"Hello {SPOKEN}.", "words": PROMPTED})
    recordings.content = recording.read_bytes()
    fields: Any = {
        "prompt": script, "hotwords": PROMPTED, "webhook_url": f"{hooks.url}/?token={QUERY}",
        "webhook_secret": HOOK_SECRET,
    }  # fmt: skip
    task = send(client, recording, **fields).json()["task_id"]
    upload = "/api/v1/transcribe/upload"
    failing = json.dumps({"stage": "align", "what": "refuse", "words": PROMPTED})
    form = {"url": (None, f"{recordings.url}/a.wav?sig={QUERY}"), "prompt": (None, failing)}
    by_url = client.post(upload, files=form).json()["task_id"]
    client.post(upload, files={"url": (None, f"http://127.0.0.1:9/a.wav?sig={QUERY}")})
    for each in (task, by_url):
        ended = _end(client, each)
    assert ended == "failed"
    assert SPOKEN in client.get(f"/api/v1/transcribe/result/{task}").text
    change = {"segments": [{"id": 0, "text": CORRECTED}], "speakers": {"SPEAKER_00": CORRECTED}}
    assert client.patch(f"/api/v1/transcribe/result/{task}", json=change).status_code == 200
    client.get(f"/api/v1/transcribe/status/{task}", headers={"X-API-Key": WRONG_KEY})
    client.get(f"/api/v1/transcribe/status/{task}?api_key={QUERY}", headers={"Authorization": f"Bearer {WRONG_KEY}"})
    client.get(f"/v1/models?api_key={QUERY}")
    hooks.wait(2)
    (result,) = [name for name in files.made(task) if name.startswith("assign.")]
    spoilt = {"language": [SPOKEN], "duration": SPOKEN, "segments": [{"text": [SPOKEN]}]}
    files.replace(task, result, json.dumps(spoilt).encode())
    assert client.get(f"/api/v1/transcribe/result/{task}").status_code == 500
    files.replace(task, result, f'{{"language": "{SPOKEN}'.encode())
    assert client.get(f"/v1/audio/transcriptions/{task}").status_code == 500


def _end(client: Any, task: str) -> str:
    def look() -> str | None:
        status = client.get(f"/api/v1/transcribe/status/{task}").json()["status"]
        return status if status in ("completed", "failed") else None

    return eventually(look)


SETTINGS: dict[str, Any] = {
    "api_key": KEY_OF_ANN, "outgoing_allow": "127.0.0.1", "webhook_retry_seconds": 0.05, "url_input": True,
}  # fmt: skip


def test_nothing_secret_is_logged_with_everything_switched_on(start_server, tone, files: Files) -> None:
    server: Server = start_server(fake=True, log_format="json", log_level="debug", debug=True, **SETTINGS)
    server.client.headers["X-API-Key"] = KEY_OF_ANN
    with neighbours() as (hooks, recordings):
        live_through_all(server.client, tone(), files, hooks, recordings)
    server.terminate()
    text = server.log.read_text()
    assert "INSERT INTO webhooks" in text and "GET /v1/models HTTP" in text and "its transcript can't be read" in text
    assert "align failed" in text and "try 1" in text
    for secret in SECRETS:
        assert secret not in text, next(line for line in text.splitlines() if secret in line)


def test_libraries_say_nothing_secret_though_all_of_them_may_speak(make_client, tone, files: Files, caplog) -> None:
    """As whoever runs the app in a process of their own may have set it up: every logger at its most talkative."""
    client: TestClient = make_client(debug=True, **SETTINGS)
    client.headers["X-API-Key"] = KEY_OF_ANN
    caplog.set_level(logging.DEBUG)
    assert logging.getLogger("anything").isEnabledFor(logging.DEBUG)
    with neighbours() as (hooks, recordings):
        live_through_all(client, tone(), files, hooks, recordings)
    own = "httpx2"  # the test's client, and no part of the service
    said = [str(record.__dict__) + record.getMessage() for record in caplog.records if not record.name.startswith(own)]
    assert any("INSERT INTO webhooks" in line for line in said)
    for secret in SECRETS:
        assert not [line for line in said if secret in line]
