"""Polls of a task that has ended: answered from memory, and to nobody who would not be answered without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient

from tests.backend import Files
from tests.waiting import on_server, send, transcript_of, wait
from whisperx_api.api import status as endpoint
from whisperx_api.api.parts import Parts


@pytest.fixture
def client(make_client) -> TestClient:
    """An app with Ann's key and Ben's, and one that may read nothing."""
    client = make_client(api_keys="ann:key-ann,ben:key-ben,clerk:key-clerk:transcribe", api_key=None, auth_failures="")
    client.headers["X-API-Key"] = "key-ann"
    return client


@pytest.fixture
def path(client: TestClient, tone) -> str:
    """Where the status of Ann's task is that is completed, and remembered with its transcript and without."""
    task = send(client, tone()).json()["task_id"]
    wait(client, task)
    path = f"/api/v1/transcribe/status/{task}"
    for query in ("", "?include_result=false"):
        assert client.get(path + query).status_code == 200
    return path


@contextmanager
def nothing_is_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail whatever looks further than to what is remembered, FastAPI included."""

    async def fail(*_: object) -> None:
        raise AssertionError("this was not answered from memory")

    with monkeypatch.context() as patched:
        patched.setattr(endpoint, "_status", fail)
        patched.setattr("fastapi.routing.solve_dependencies", fail)
        yield


@pytest.mark.embedded("remembers answers, which another server's changes would make wrong")
@pytest.mark.parametrize(
    ("query", "whole"), [("", True), ("?include_result=true", True), ("?include_result=false", False)]
)
def test_second_poll_is_answered_from_memory(
    client: TestClient, path: str, monkeypatch: pytest.MonkeyPatch, query: str, whole: bool
) -> None:
    first = client.get(path + query)
    with nothing_is_read(client, monkeypatch):
        again = client.get(path + query)
        bearer = client.get(path + query, headers={"X-API-Key": "", "Authorization": "Bearer key-ann"})
    assert again.status_code == bearer.status_code == 200
    assert again.content == bearer.content == first.content
    assert (again.json()["result"] is not None) == whole
    assert again.headers["content-type"] == "application/json" and again.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("query", ["", "?include_result=false"])
def test_what_is_remembered_is_for_its_owner_alone(client: TestClient, path: str, query: str) -> None:
    got = {key: client.get(path + query, headers={"X-API-Key": key}) for key in ("", "wrong", "key-clerk", "key-ben")}
    assert [answer.status_code for answer in got.values()] == [401, 401, 403, 404]
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in got.values())
    assert got["key-ben"].text == client.get(path + query, headers={"X-API-Key": "key-ben"}).text


def test_who_tries_keys_out_learns_nothing_from_what_is_remembered(make_client, tone) -> None:
    client = make_client(auth_failures="2/hour")
    task = send(client, tone()).json()["task_id"]
    wait(client, task)
    path = f"/api/v1/transcribe/status/{task}"
    assert client.get(path).status_code == 200
    tried = [client.get(path, headers={"X-API-Key": "wrong"}).status_code for _ in range(3)]
    assert tried == [401, 401, 429] and client.get(path).status_code == 429  # each wrong one counts once


def test_query_that_means_nothing_is_refused_and_one_in_other_words_understood(client: TestClient, path: str) -> None:
    assert client.get(f"{path}?include_result=maybe").status_code == 400
    for words, there in (("include_result=1", True), ("include_result=no", False), ("other=1", True)):
        assert (client.get(f"{path}?{words}").json()["result"] is not None) == there


def test_edit_and_delete_are_seen_at_once(client: TestClient, path: str) -> None:
    task = path.rpartition("/")[2]
    speaker = client.get(path).json()["result"]["speakers"][0]["id"]
    client.patch(f"/api/v1/transcribe/result/{task}", json={"speakers": {speaker: "Katie"}})
    assert client.get(path).json()["result"]["speakers"][0]["name"] == "Katie"
    assert client.delete(f"/api/v1/transcribe/task/{task}").status_code == 204
    assert client.get(path).status_code == 404


def test_damaged_transcript_is_told_and_not_remembered(client: TestClient, path: str, files: Files) -> None:
    task = path.rpartition("/")[2]

    async def forget(parts: Parts) -> None:
        parts.store.changes.happened()

    name = transcript_of(files, task)
    whole = files.read(task, name)
    files.replace(task, name, whole[:10])
    on_server(client, forget)
    for _ in range(2):
        answer = client.get(path).json()
        assert answer["status"] == "completed" and answer["result"] is None and "can't be read" in answer["message"]
    files.replace(task, name, whole)
    assert client.get(path).json()["result"] is not None
