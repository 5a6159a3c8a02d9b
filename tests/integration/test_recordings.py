"""The recording of a task: links that need no key, and how it looks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from fastapi.testclient import TestClient

from tests.conftest import KEY
from tests.databases import TRANSCRIPT
from tests.server import Server
from tests.waiting import send, wait
from whisperx_api.api.links import LIFE_SECONDS
from whisperx_api.jobs.database import open_database
from whisperx_api.jobs.secret_store import SecretStore

API = "/api/v1/transcribe"


def linked(client: TestClient, task: str) -> str:
    answer = client.post(f"{API}/audio/{task}/links")
    assert answer.status_code == 201
    left = datetime.fromisoformat(answer.json()["expires_at"].replace("Z", "+00:00")) - datetime.now(timezone.utc)
    assert LIFE_SECONDS - 30 < left.total_seconds() <= LIFE_SECONDS
    return answer.json()["url"]


def test_link_leads_to_the_recording_without_a_key(client: TestClient, tone) -> None:
    task = send(client, tone()).json()["task_id"]
    url = linked(client, task)
    del client.headers["X-API-Key"]
    assert client.get(f"{API}/audio/{task}").status_code == 401
    assert client.get(url).content == tone().read_bytes()
    assert client.head(url).status_code == 200
    part = client.get(url, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == tone().read_bytes()[10:20]
    assert client.delete(f"{API}/task/{task}").status_code == 401
    client.headers["X-API-Key"] = KEY
    assert client.delete(f"{API}/task/{task}").status_code == 204
    assert client.get(url).status_code == 404


@pytest.mark.parametrize(
    "change",
    [lambda url: url.replace("expires=1", "expires=2"), lambda url: url[:-2], lambda url: f"{url}AA",
     lambda url: url.replace("signature=", "signature=A")],
)  # fmt: skip
def test_link_that_was_changed_is_403(client: TestClient, tone, change: Callable[[str], str]) -> None:
    url = linked(client, send(client, tone()).json()["task_id"])
    answer = client.get(change(url))
    assert answer.status_code == 403 and answer.headers["content-type"] == "application/problem+json"
    assert client.get(url).status_code == 200


def test_link_is_for_one_recording_and_half_a_link_is_none(client: TestClient, tone) -> None:
    mine, other = (send(client, tone()).json()["task_id"] for _ in range(2))
    url = linked(client, mine)
    assert client.get(url.replace(mine, other)).status_code == 403
    del client.headers["X-API-Key"]
    assert client.get(url.partition("&")[0]).status_code == 401


def test_link_is_made_for_the_owner_alone(make_client, tone) -> None:
    client = make_client(api_keys="ann:key-a,ben:key-b", api_key=None)
    task = send(client, tone(), headers={"X-API-Key": "key-a"}).json()["task_id"]
    for path in (f"{API}/audio/{task}/links", f"{API}/audio/nobodys/links"):
        assert client.post(path, headers={"X-API-Key": "key-b"}).status_code == 404


def test_link_outlives_the_server(start_server, tone) -> None:
    server: Server = start_server(fake=True)
    task = server.upload(tone())
    url = linked(server.client, task)  # type: ignore[arg-type]  # it sends as TestClient does
    server.terminate()
    server.start()
    assert server.client.get(url, headers={"X-API-Key": ""}).content == tone().read_bytes()


def test_link_begins_with_the_path_that_a_proxy_serves_under(make_client, tone) -> None:
    client = make_client(root_path="/speech")
    task = send(client, tone()).json()["task_id"]
    assert linked(client, task).startswith(f"/speech{API}/audio/{task}?")


def test_secret_that_many_servers_need_at_once_is_one(tmp_path) -> None:
    async def run() -> None:
        database = await open_database(f"sqlite+aiosqlite:///{tmp_path}/jobs.db")
        try:
            stores = [SecretStore(database) for _ in range(5)]
            given = await asyncio.gather(*(store.secret("links") for store in stores))
            assert len(set(given)) == 1 and len(given[0]) == 32
            assert await stores[0].secret("other") != given[0]
        finally:
            await database.dispose()

    asyncio.run(run())


def test_waveform_is_in_the_form_that_players_draw(client: TestClient, tone) -> None:
    task = send(client, tone()).json()["task_id"]
    wait(client, task)
    answer = client.get(f"{API}/waveform/{task}").json()
    assert answer == {
        "version": 2, "channels": 1, "sample_rate": 16000, "samples_per_pixel": 16000, "bits": 8, "length": 1,
        "data": [-127, 127],
    }  # fmt: skip


def test_waveform_of_a_task_that_is_not_done_is_409(client: TestClient, tone) -> None:
    task = send(client, tone(), prompt='{"stage": "transcribe", "what": "hang"}').json()["task_id"]
    assert client.get(f"{API}/waveform/{task}").status_code == 409


def test_waveform_that_an_earlier_version_did_not_make_is_404(client: TestClient, tone, files) -> None:
    task = send(client, tone()).json()["task_id"]
    wait(client, task)
    files.replace(task, "assign.1.json", json.dumps(TRANSCRIPT).encode())
    answer = client.get(f"{API}/waveform/{task}")
    assert answer.status_code == 404 and "send the recording again" in answer.json()["detail"]


def test_waveform_follows_the_sound(server: Server, sample_dir) -> None:
    task = server.upload(sample_dir / "sample.wav")
    server.wait(task)
    answer = server.client.get(f"{API}/waveform/{task}").json()
    assert answer["samples_per_pixel"] == 160 and answer["length"] == 3000 and len(answer["data"]) == 6000
    assert max(answer["data"]) > 20 and min(answer["data"]) < -20
    quiet = answer["data"][: 2 * 500]  # nobody speaks in the first five seconds
    assert max(map(abs, quiet)) < 3
