"""A server behind nginx and Caddy, set up as the page on reverse proxies says: with TLS, large uploads and events."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from httpx_sse import connect_sse

from tests.conftest import KEY
from tests.documents import Block, blocks
from tests.proxies import proxy
from tests.server import Server

KINDS = {"nginx": "nginx", "caddyfile": "caddy"}
PAGE = [block for block in blocks() if block.page == "docs/reverse-proxy.md" and block.language in KINDS]
AT_ROOT = [block for block in PAGE if "/asr/" not in block.text]
UNDER_A_PATH = [block for block in PAGE if "/asr/" in block.text]
SLOW = json.dumps({"seconds": 0.7})
ENDLESS = json.dumps({"seconds": 60})
CLIENT = "127.0.0.2"
"""Where requests come from that are to be told from the proxy's own."""


@contextmanager
def behind(block: Block, server: Server, folder: Path, path: str = "") -> Iterator[httpx.Client]:
    """Have a block's proxy in front of a server; yield a client of the proxy's."""
    with (
        proxy(KINDS[block.language], block.text, folder, server.port) as port,
        httpx.Client(
            base_url=f"https://localhost:{port}{path}", headers={"X-API-Key": KEY}, timeout=30,
            transport=httpx.HTTPTransport(verify=False, local_address=CLIENT),
        ) as client,
    ):  # fmt: skip
        yield client


@pytest.fixture(params=AT_ROOT, ids=str)
def proxied(
    request: pytest.FixtureRequest, start_server: Callable[..., Server], tmp_path: Path
) -> Iterator[tuple[httpx.Client, Server]]:
    server = start_server(fake=True, trusted_proxies="127.0.0.1,::1", auth_failures="2/minute", keep_alive_seconds=0.3)
    with behind(request.param, server, tmp_path) as client:
        yield client, server


def test_page_has_both_in_both_places() -> None:
    assert [block.language for block in AT_ROOT] == [block.language for block in UNDER_A_PATH] == list(KINDS)


def test_server_behind_a_proxy(proxied: tuple[httpx.Client, Server], tone: Callable[..., Path]) -> None:
    client, server = proxied
    recording = tone(seconds=120)
    assert recording.stat().st_size > 3_000_000  # more than nginx takes by itself

    task = upload(client, recording, prompt=SLOW)
    times: dict[str, float] = {}
    with connect_sse(client, "GET", f"/api/v1/transcribe/events/{task}") as events:
        for event in events.iter_sse():
            times.setdefault(event.event, time.monotonic())
    assert times["completed"] - times["progress"] > 1  # as they come, and not all at the end

    redirected = client.get("/api/v1/usage/").headers["Location"]
    assert re.fullmatch(rf"https://localhost:{client.base_url.port}/api/v1/usage", redirected)
    hung_up_cancels(client, server, recording)
    refused_before_the_body_is_sent(client)
    counted_by_the_client_s_address(client, server)


def upload(client: httpx.Client, recording: Path, **fields: str) -> str:
    with recording.open("rb") as file:
        answer = client.post("/api/v1/transcribe/upload", files={"file": file}, data=fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["task_id"]


def hung_up_cancels(client: httpx.Client, server: Server, recording: Path) -> None:
    """A sign of life is here while the job is at work, and whoever hangs up then cancels it."""
    form = {"model": "whisper-1", "prompt": ENDLESS}
    with (
        recording.open("rb") as file,
        client.stream("POST", "/v1/audio/transcriptions", files={"file": file}, data=form) as answer,
    ):
        assert next(answer.iter_raw()).isspace()
    deadline = time.monotonic() + 15
    while server.client.get("/api/v1/transcribe/tasks").json()["tasks"][0]["status"] != "cancelled":
        assert time.monotonic() < deadline, "the service was not told that the client has hung up"
        time.sleep(0.1)


def refused_before_the_body_is_sent(client: httpx.Client) -> None:
    """A wrong key's answer is here while most of the body is not sent yet."""
    port = client.base_url.port
    assert port is not None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), timeout=15, source_address=(CLIENT, 0))
    with context.wrap_socket(plain, server_hostname="localhost") as line:
        line.sendall(
            b"POST /api/v1/transcribe/upload HTTP/1.1\r\nHost: localhost\r\nX-API-Key: wrong\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000000\r\n\r\n--x\r\n"
        )
        line.sendall(bytes(64 * 1024))  # more than a proxy collects before it sends anything on
        assert line.recv(1024).startswith(b"HTTP/1.1 401")


def counted_by_the_client_s_address(client: httpx.Client, server: Server) -> None:
    forged = {"X-API-Key": "wrong", "X-Forwarded-For": "203.0.113.9"}
    answers = [client.get("/v1/models", headers=forged).status_code for _ in range(4)]
    assert answers[-1] == 429
    assert f"too many wrong keys from {CLIENT}" in server.log.read_text()
    assert server.client.get("/v1/models").status_code == 200  # who comes from elsewhere is served


@pytest.mark.parametrize("block", UNDER_A_PATH, ids=str)
def test_server_under_a_path(
    block: Block, start_server: Callable[..., Server], tone: Callable[..., Path], tmp_path: Path
) -> None:
    server = start_server(fake=True, trusted_proxies="127.0.0.1,::1", root_path="/asr")
    with behind(block, server, tmp_path, "/asr") as client:
        with tone(seconds=60).open("rb") as file:
            answer = client.post("/api/v1/transcribe/upload", files={"file": file})
        assert answer.status_code == 202, answer.text
        place = answer.headers["Location"]
        assert re.fullmatch(r"/asr/api/v1/transcribe/status/[\w-]+", place)
        assert client.get(place.removeprefix("/asr")).json()["task_id"] == answer.json()["task_id"]
        assert "/asr/openapi.json" in client.get("/docs").text
