"""Every endpoint, walked: what it needs of a key, and that a task is there for its own key's name alone."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from tests.waiting import send, wait

ANY = "any"
"""A key is needed, whatever it may do."""
NEEDS = {
    "GET /": None,
    "HEAD /": None,
    "GET /health": None,
    "GET /ready": None,
    "GET /api/v1/transcribe/audio/{task_id}": "read",
    "HEAD /api/v1/transcribe/audio/{task_id}": "read",
    "POST /api/v1/transcribe/audio/{task_id}/links": "read",
    "POST /api/v1/transcribe/cancel/{task_id}": "transcribe",
    "GET /api/v1/transcribe/events/{task_id}": "read",
    "GET /api/v1/transcribe/result/{task_id}": "read",
    "PATCH /api/v1/transcribe/result/{task_id}": "transcribe",
    "POST /api/v1/transcribe/retry/{task_id}": "transcribe",
    "GET /api/v1/transcribe/status/{task_id}": "read",
    "DELETE /api/v1/transcribe/task/{task_id}": "transcribe",
    "GET /api/v1/transcribe/tasks": "read",
    "POST /api/v1/transcribe/upload": "transcribe",
    "GET /api/v1/transcribe/waveform/{task_id}": "read",
    "GET /api/v1/usage": "admin",
    "GET /api/v1/workers": "admin",
    "GET /metrics": "read",
    "GET /v1": ANY,
    "POST /v1/audio/transcriptions": "transcribe",
    "GET /v1/audio/transcriptions/{task_id}": "read",
    "POST /v1/audio/translations": "transcribe",
    "GET /v1/models": ANY,
    "GET /v1/models/{id:path}": ANY,
    "POST /v1/models/{id:path}/unload": "admin",
    "GET /v1/webhooks": "read",
    "POST /v1/webhooks": "transcribe",
    "DELETE /v1/webhooks/{webhook_id}": "transcribe",
    "GET /v1/webhooks/{webhook_id}": "read",
    "POST /v1/webhooks/{webhook_id}/test": "transcribe",
}
"""What every endpoint needs. A new one belongs here, with the scope it asks for; None is for everybody."""
DOCUMENTS = {"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}
SCOPES = ("transcribe", "read", "admin")
NOBODYS = str(uuid.UUID(int=0))


def endpoints(client: TestClient) -> Iterator[str]:
    """Yield method and path of every route, whether it is in the OpenAPI document or not."""
    app = client.app
    for route in iter_route_contexts(app.routes):  # type: ignore[attr-defined]  # FastAPI's own app
        if route.path in DOCUMENTS or not getattr(route, "methods", None):  # a folder of files that belong to those
            continue
        for method in route.methods or ():
            yield f"{method} {route.path}"


def ask(client: TestClient, endpoint: str, key: str | None, task_id: str = NOBODYS, **how):
    """Send a request to an endpoint, about a task."""
    method, path = endpoint.split()
    path = path.replace("{task_id}", task_id).replace("{webhook_id}", NOBODYS).replace("{id:path}", "nosuch")
    return client.request(method, path, headers={"X-API-Key": key} if key else None, **how)


@pytest.fixture
def client(make_client) -> TestClient:
    """An app with a key for each scope, and with two for all of them: Ann's and Ben's."""
    keys = [f"{scope}:key-{scope}:{scope}" for scope in SCOPES]
    client = make_client(api_keys=",".join([*keys, "ann:key-ann", "ben:key-ben"]), api_key=None)
    del client.headers["X-API-Key"]
    return client


def test_every_endpoint_asks_for_its_scope_and_no_other(client: TestClient) -> None:
    found = list(endpoints(client))
    assert sorted(found) == sorted(NEEDS)
    for endpoint in found:
        needed = NEEDS[endpoint]
        assert (ask(client, endpoint, None).status_code == 401) == (needed is not None), endpoint
        for scope in SCOPES:
            answer = ask(client, endpoint, f"key-{scope}")
            allowed = needed in (None, ANY, scope)
            assert (answer.status_code == 403) == (not allowed), (endpoint, scope, answer.text)
            assert answer.status_code not in (401, 429, 500), (endpoint, scope, answer.text)


def test_document_has_every_endpoint_and_says_which_need_a_key(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    operations = {f"{method.upper()} {path}": told for path in paths for method, told in paths[path].items()}
    expected = {endpoint.replace(":path", "") for endpoint in NEEDS if not endpoint.startswith("HEAD")}
    assert operations.keys() == expected
    open_to_all = {endpoint for endpoint, operation in operations.items() if "security" not in operation}
    assert open_to_all == {"GET /", "GET /ready"}  # /health says more to a key


def test_task_is_404_to_another_name_wherever_it_can_be_named(
    client: TestClient, tone: Callable[..., Path], tmp_path: Path
) -> None:
    task = send(client, tone(), headers={"X-API-Key": "key-ann"}).json()["task_id"]
    client.headers["X-API-Key"] = "key-ann"
    before = wait(client, task)
    assert before["status"] == "completed"
    walked = [endpoint for endpoint in endpoints(client) if "task_id" in endpoint]
    walked.sort(key=lambda endpoint: endpoint.startswith("DELETE"))  # the last thing that is done to it
    assert len(walked) >= 9
    body = {"speakers": {"SPEAKER_00": "Katie"}}
    for endpoint in walked:
        answer = ask(client, endpoint, "key-ben", task, json=body)
        assert answer.status_code == 404, (endpoint, answer.text)
        unknown = ask(client, endpoint, "key-ben", NOBODYS, json=body)
        assert answer.text.replace(task, NOBODYS) == unknown.text, endpoint  # nor does the answer tell it apart
    hook = {"task_id": task, "url": "https://hooks.example/"}
    assert client.post("/v1/webhooks", json=hook, headers={"X-API-Key": "key-ben"}).status_code == 404
    for listed in (f"/v1/webhooks?task_id={task}", "/api/v1/transcribe/tasks"):
        assert task not in client.get(listed, headers={"X-API-Key": "key-ben"}).text
    assert client.get(f"/api/v1/transcribe/status/{task}").json() == before
    for endpoint in walked:
        answer = ask(client, endpoint, "key-ann", task, json=body)
        assert answer.status_code < 300 or answer.status_code == 409, (endpoint, answer.text)
