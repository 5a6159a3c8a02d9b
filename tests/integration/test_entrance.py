"""What every answer has, whatever it is: an id, headers for browsers, and for other origins none unless that is set."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from tests.conftest import HEADERS, KEY, UPLOAD
from tests.server import Server
from tests.waiting import send, wait
from whisperx_api.api import answers

SLOW = '{"seconds": 5}'
SECURITY = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer"}


def broken(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Response:
    """Have a client's app run into an error nobody foresaw, and return its answer."""

    async def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(answers, "find", fail)
    quiet = TestClient(client.app, headers=HEADERS, raise_server_exceptions=False)
    answer = quiet.get("/api/v1/transcribe/status/x", headers={"Origin": "https://app.example.com"})
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    return answer


def every_kind_of_answer(client: TestClient, monkeypatch: pytest.MonkeyPatch, tone) -> Iterator[tuple[str, Response]]:
    """Yield answers from every place that answers."""
    recording = tone()
    task = send(client, recording).json()["task_id"]
    wait(client, task)
    yield "json", client.get("/health")
    yield "no key", client.get("/health", headers={"X-API-Key": "wrong"})
    yield "unknown path", client.get("/nothing")
    yield "wrong method", client.put("/health")
    yield "bad parameter", client.get("/api/v1/transcribe/tasks?limit=0")
    yield "page", client.get("/", headers={"Accept": "text/html"})
    yield "documents", client.get("/docs")
    yield "file of a page", client.get("/static-offline-docs/swagger-ui.css")
    yield "document", client.get("/openapi.json")
    yield "metrics", client.get("/metrics")
    yield "no content", client.delete(f"/api/v1/transcribe/task/{send(client, recording).json()['task_id']}")
    yield "openai", client.get("/v1/models/nosuch")
    yield "unforeseen", broken(client, monkeypatch)


# --- X-Request-ID ---


def test_every_answer_has_an_id_and_headers_for_browsers(client: TestClient, monkeypatch, tone) -> None:
    ids: set[str] = set()
    for kind, answer in every_kind_of_answer(client, monkeypatch, tone):
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"]), kind
        ids.add(answer.headers["x-request-id"])
        for name, value in SECURITY.items():
            assert answer.headers.get_list(name) == [value], kind
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], kind
        assert not [name for name in answer.headers if name.startswith("access-control")], kind
    assert len(ids) == 13


@pytest.mark.parametrize("given", ["a", "req_01:2.b/c+d=e@f-g", "x" * 128, "Root=1-67891233-abcdef012345678912345678"])
def test_sane_id_of_the_client_is_kept(client: TestClient, given: str) -> None:
    assert client.get("/health", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "a;b", "<script>", "a,b", "%0a", "\u00e9"])
def test_any_other_id_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/health", headers={b"X-Request-ID": given.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_upload_and_stream_carry_the_client_s_id(client: TestClient, tone) -> None:
    answer = send(client, tone(), headers={"X-Request-ID": "mine-1"})
    assert answer.status_code == 202 and answer.headers["x-request-id"] == "mine-1"
    wait(client, answer.json()["task_id"])
    path = f"/api/v1/transcribe/events/{answer.json()['task_id']}"
    assert client.get(path, headers={"X-Request-ID": "mine-2"}).headers["x-request-id"] == "mine-2"


# --- streams ---


def test_stream_begins_before_its_job_is_done(start_server, tone) -> None:
    server: Server = start_server(fake=True)
    task = server.upload(tone(), prompt=SLOW)
    began = time.monotonic()
    with server.client.stream("GET", f"/api/v1/transcribe/events/{task}") as answer:
        assert answer.headers["x-request-id"] and answer.headers["x-frame-options"] == "DENY"
        assert "progress" in next(answer.iter_lines())
        assert time.monotonic() - began < 4
        assert server.status(task)["status"] != "completed"
    server.client.delete(f"/api/v1/transcribe/task/{task}")


# --- caches ---


def test_answers_with_transcripts_are_kept_by_no_cache_and_files_of_pages_are(client: TestClient, tone) -> None:
    task = send(client, tone()).json()["task_id"]
    wait(client, task)
    private = ("status", "result", "audio", "events")
    for path in [f"/api/v1/transcribe/{name}/{task}" for name in private] + [
        "/api/v1/transcribe/tasks", "/v1/models", f"/v1/audio/transcriptions/{task}", "/health",
    ]:  # fmt: skip
        (stated,) = client.get(path).headers.get_list("cache-control")
        assert stated in ("no-store", "no-cache"), path
        assert stated == "no-store" or "/events/" in path
    asset = client.get("/static-offline-docs/redoc.standalone.js")
    assert "cache-control" not in asset.headers and asset.headers["etag"]


# --- pages ---


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_page_runs_its_own_scripts_alone(client: TestClient, page: str) -> None:
    answer = client.get(page)
    rules = [rule.split() for rule in answer.headers["content-security-policy"].split(";")]
    policy = {name: values for name, *values in rules}
    assert policy["default-src"] == ["'none'"] and policy["connect-src"] == ["'self'"]
    assert "'self'" in policy["script-src"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "data:"} & set(policy["script-src"])
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in inline}
    assert hashes == set(policy["script-src"]) - {"'self'"}
    assert not re.search(r"\son\w+=", answer.text)  # no handler in an attribute: those have no hash
    for link in re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["']([^"']+)""", answer.text):
        assert link.startswith("/"), link


def test_page_without_a_policy_of_its_own_gets_a_strict_one(client: TestClient) -> None:
    from fastapi.responses import HTMLResponse

    app = client.app
    app.add_api_route("/a-page", lambda: HTMLResponse("<p>Hello</p>"))  # type: ignore[attr-defined]  # typed as any ASGI app
    policy = client.get("/a-page").headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy and "unsafe" not in policy
    assert client.get("/health").headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors")


# --- other origins ---

PREFLIGHT = {
    "Origin": "https://app.example.com",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,x-stainless-lang",
}


def test_without_allowed_origins_no_page_of_another_may_call(client: TestClient) -> None:
    for answer in (client.options(UPLOAD, headers=PREFLIGHT), client.get("/health", headers={"Origin": "https://a.b"})):
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "origin" not in answer.headers.get("vary", "").lower()


def test_pages_of_an_allowed_origin_may_call_and_read_the_answer(make_client) -> None:
    client = make_client(allowed_origins="https://app.example.com, http://localhost:3000/")
    del client.headers["X-API-Key"]  # a browser asks first, without a key
    asked = client.options(UPLOAD, headers=PREFLIGHT)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "x-stainless-lang" in asked.headers["access-control-allow-headers"]
    assert asked.headers["x-request-id"]
    for origin in ("https://app.example.com", "http://localhost:3000"):
        for key in (KEY, "wrong"):  # an error is to be read too
            answer = client.get("/health", headers={"Origin": origin, "X-API-Key": key})
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["vary"].lower() == "origin"
            assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
            assert "access-control-allow-credentials" not in answer.headers


def test_pages_of_any_other_origin_may_not(make_client) -> None:
    client = make_client(allowed_origins="https://app.example.com")
    other = {"Origin": "https://app.example.com.evil.net"}
    assert client.options(UPLOAD, headers=PREFLIGHT | other).status_code == 400
    assert "access-control-allow-origin" not in client.get("/health", headers=other).headers


def test_star_allows_every_origin(make_client) -> None:
    client = make_client(allowed_origins="*")
    answer = client.get("/health", headers={"Origin": "https://any.net"})
    assert answer.headers["access-control-allow-origin"] == "*"


def test_error_nobody_foresaw_can_be_read_by_an_allowed_page(make_client, monkeypatch) -> None:
    answer = broken(make_client(allowed_origins="https://app.example.com"), monkeypatch)
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
