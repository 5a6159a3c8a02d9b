"""Wrong keys: how many an address may send, what counts as one, and whose word is taken for the address."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.backend import Backend
from tests.conftest import HEADERS, KEY
from tests.server import Server

TASKS = "/api/v1/transcribe/tasks"


def ask(client: Any, key: str | None, forwarded: str | None = None, path: str = TASKS) -> Any:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client.get(path, headers=headers | ({} if key is None else {"X-API-Key": key}))


@pytest.fixture
def started(make_client) -> Callable[..., TestClient]:
    """Start apps whose clients send no key of themselves."""

    def start(**settings) -> TestClient:
        client = make_client(**settings)
        del client.headers["X-API-Key"]
        return client

    return start


def test_after_too_many_wrong_keys_an_address_is_refused_whatever_key_it_sends(started) -> None:
    client = started()
    wrong = [ask(client, f"wrong-{number}").status_code for number in range(21)]
    assert wrong == [401] * 20 + [429]
    answer = ask(client, KEY)
    assert answer.status_code == 429 and answer.headers["content-type"] == "application/problem+json"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    seconds = answer.headers["retry-after"]
    assert answer.json()["detail"] == f"Too many wrong API keys came from this address: try again in {seconds} s."
    assert client.get(TASKS, headers={"Authorization": f"Bearer {KEY}"}).status_code == 429
    answer = ask(client, KEY, path="/v1/models")
    assert answer.status_code == 429 and answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert ask(client, None, path="/health").json() == {"status": "ok"}  # who asks without a key is not concerned


def test_address_may_come_back_when_its_time_is_over(started) -> None:
    client = started(auth_failures="2 per 10 seconds")
    now = [1000.0]
    client.app.state.parts.failures._now = lambda: now[0]
    assert [ask(client, "wrong").status_code for _ in range(3)] == [401, 401, 429]
    now[0] += 9.5
    assert ask(client, KEY).headers["retry-after"] == "1"
    now[0] += 0.5
    assert ask(client, KEY).status_code == 200


def test_right_and_missing_keys_are_no_failures(started) -> None:
    client = started(auth_failures="1/hour")
    for _ in range(3):
        assert ask(client, None).status_code == 401
        assert ask(client, KEY).status_code == 200
    assert ask(client, "wrong").status_code == 401
    assert ask(client, KEY).status_code == 429
    assert ask(client, None).status_code == 401


def test_nothing_is_counted_where_the_limit_is_off(started) -> None:
    client = started(auth_failures="")
    assert {ask(client, "wrong").status_code for _ in range(30)} == {401}
    assert ask(client, KEY).status_code == 200


def test_log_names_the_address_once_and_the_setting_that_a_proxy_needs(started, caplog) -> None:
    caplog.set_level(logging.WARNING)
    client = started(auth_failures="2/hour")
    for _ in range(5):
        ask(client, "wrong-key", forwarded="203.0.113.9")
    (said,) = [record.message for record in caplog.records if "too many wrong keys" in record.message]
    assert "testclient" in said and "TRUSTED_PROXIES" in said
    assert "wrong-key" not in caplog.text


@pytest.fixture
def peer(own_backend: Backend, tmp_path: Path) -> Callable[..., AbstractContextManager[TestClient]]:
    """Give a client that connects from an address."""

    def connect(address: str, **settings) -> TestClient:
        chosen = {"data_dir": tmp_path / "data", "api_key": KEY, "whisper_model": "tiny", "auth_failures": "2/hour"}
        return TestClient(own_backend.app("tests.fake_engine", chosen | settings), client=(address, 4711))

    return connect


def test_behind_a_trusted_proxy_each_client_is_counted_for_itself(peer) -> None:
    with peer("10.0.0.1", trusted_proxies="10.0.0.0/8") as client:
        for number in range(2):
            assert ask(client, "wrong", forwarded=f"198.51.100.{number}, 203.0.113.9").status_code == 401
        assert ask(client, KEY, forwarded="203.0.113.9").status_code == 429
        assert ask(client, KEY, forwarded="203.0.113.9, 203.0.113.10").status_code == 200
        assert ask(client, KEY).status_code == 200  # the proxy itself
        for number in range(2):
            assert ask(client, "wrong", forwarded=f"2001:db8:0:1::{number}").status_code == 401
        assert ask(client, KEY, forwarded="2001:db8:0:1:ffff::1").status_code == 429
        assert ask(client, KEY, forwarded="2001:db8:0:2::1").status_code == 200
        https = HEADERS | {"X-Forwarded-Proto": "https"}
        moved = client.get("/ready/", headers=https, follow_redirects=False)
        assert moved.headers["location"].startswith("https://")


def test_stranger_is_not_believed_whom_it_speaks_for(peer) -> None:
    with peer("203.0.113.9", trusted_proxies="10.0.0.0/8") as client:
        for number in range(2):
            assert ask(client, "wrong", forwarded=f"10.0.0.{number}").status_code == 401
        assert ask(client, KEY, forwarded="198.51.100.1").status_code == 429
        moved = client.get("/ready/", headers={"X-Forwarded-Proto": "https"}, follow_redirects=False)
        assert moved.headers["location"].startswith("http://")


def test_web_server_lets_nobody_choose_its_address(start_server: Callable[..., Server], monkeypatch) -> None:
    """uvicorn by itself believes what comes from 127.0.0.1, and everybody where FORWARDED_ALLOW_IPS says so."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    server = start_server(auth_failures="3/hour", device="cuda")  # no engine is needed
    del server.client.headers["X-API-Key"]
    told = [ask(server.client, "wrong", forwarded=f"198.51.100.{number}").status_code for number in range(4)]
    assert told == [401, 401, 401, 429]
    assert ask(server.client, KEY, forwarded="203.0.113.9").status_code == 429
