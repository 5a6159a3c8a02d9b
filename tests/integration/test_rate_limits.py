"""How often a key may submit: what is counted and for whom, what it is told, and counting together in Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fakeredis import FakeStrictRedis, TcpFakeServer
from fastapi.testclient import TestClient
from limits.aio.storage.redis.bridge import RedisBridge

from tests.conftest import UPLOAD
from tests.waiting import send
from whisperx_api import rates
from whisperx_api.settings import SettingsError, load_settings

KEYS = {"api_key": None, "api_keys": "ann:k1,bob:k2,ben:k3:read"}


def told(answer: Any) -> tuple[int, int]:
    """Return what an answer says of the limit: its size and what is left."""
    assert int(answer.headers["ratelimit-reset"]) >= 1
    return int(answer.headers["ratelimit-limit"]), int(answer.headers["ratelimit-remaining"])


def post(client: TestClient, key: str = "test-key") -> Any:
    """Submit what is no form: it is counted all the same."""
    return client.post(UPLOAD, content=b"", headers={"X-API-Key": key})


def test_nothing_is_counted_where_no_limit_is_set(client: TestClient, tone) -> None:
    answer = send(client, tone())
    assert answer.status_code == 202 and "ratelimit-limit" not in answer.headers


def test_submission_over_the_limit_is_429_and_says_when_to_come_back(make_client, tone) -> None:
    client = make_client(rate_limits="2/hour")
    assert told(send(client, tone())) == (2, 1)
    assert told(send(client, tone())) == (2, 0)
    answer = send(client, tone())
    assert answer.status_code == 429 and told(answer) == (2, 0)
    assert answer.headers["content-type"] == "application/problem+json"
    assert 3590 <= int(answer.headers["retry-after"]) <= 3600
    assert answer.headers["retry-after"] == answer.headers["ratelimit-reset"]
    assert "2 per 1 hour" in answer.json()["detail"]
    assert len(client.get("/api/v1/transcribe/tasks").json()["tasks"]) == 2


def test_wrong_submission_is_counted_and_told_how_it_stands(make_client) -> None:
    client = make_client(rate_limits="2/hour")
    answer = post(client)
    assert answer.status_code == 400 and told(answer) == (2, 1)


def test_body_of_a_submission_over_the_limit_is_not_read(make_client) -> None:
    client = make_client(rate_limits="1/hour")
    post(client)
    read: list[int] = []

    def body() -> Iterator[bytes]:
        read.append(1)
        yield b"--B"

    answer = client.post(UPLOAD, content=body(), headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert answer.status_code == 429
    assert "--B" not in answer.text


def test_polls_are_not_counted(make_client, tone) -> None:
    client = make_client(rate_limits="1/hour")
    task = send(client, tone()).json()["task_id"]
    for _ in range(3):
        answer = client.get(f"/api/v1/transcribe/status/{task}")
        assert answer.status_code == 200 and "ratelimit-limit" not in answer.headers


def test_each_key_is_counted_for_itself_and_strangers_not_at_all(make_client) -> None:
    client = make_client(rate_limits="1/hour", **KEYS)
    assert post(client, "wrong").status_code == 401
    assert post(client, "k3").status_code == 403
    assert post(client, "k1").status_code == 400
    assert post(client, "k1").status_code == 429
    assert post(client, "k2").status_code == 400


def test_all_limits_hold_and_the_tightest_is_told(make_client) -> None:
    client = make_client(rate_limits="3/hour, 2 per 1 second")
    assert told(post(client)) == (2, 1)
    assert told(post(client)) == (2, 0)
    assert post(client).status_code == 429  # is not counted by the hour either
    deadline = time.monotonic() + 10
    while (answer := post(client)).status_code == 429:
        assert int(answer.headers["retry-after"]) == 1 and time.monotonic() < deadline
        time.sleep(0.05)
    assert told(answer) == (3, 0)
    answer = post(client)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 3000


def test_of_two_limits_that_forbid_the_longer_one_is_told(make_client) -> None:
    client = make_client(rate_limits="1/minute,1/hour")
    post(client)
    answer = post(client)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 3000


def test_window_moves(make_client, monkeypatch) -> None:
    """No stretch of a minute has more than the minute's, wherever it begins."""
    now = [1_000_000_059.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    client = make_client(rate_limits="2/minute", auth="off", api_key=None)
    assert [post(client).status_code for _ in range(3)] == [400, 400, 429]
    now[0] += 2  # the clock's next minute
    assert post(client).headers["retry-after"] == "58"
    now[0] += 58.5
    assert [post(client).status_code for _ in range(3)] == [400, 400, 429]


@pytest.mark.parametrize("text", ["often", "0/minute", "10/fortnight", "10/minute;5/hour", "10"])
def test_limit_that_is_none_is_said_at_start(text) -> None:
    with pytest.raises(SettingsError, match=r"RATE_LIMITS.*must list rates like 10/minute") as caught:
        load_settings(rate_limits=f"9/hour,{text}")
    assert f"'{text}' is none" in str(caught.value)


@pytest.mark.parametrize("url", ["disk", "redis://", "redis://:secret@", "redis://host:port/0", "memcached://host"])
def test_storage_that_is_none_is_said_at_start_without_its_password(url) -> None:
    with pytest.raises(SettingsError, match="RATE_LIMIT_STORAGE can't be used: it must be memory:// or redis://"):
        load_settings(rate_limit_storage=url)
    for good in ("memory://", "redis://h", "rediss://:secret@h:6379/1", "redis://[::1]:1/0", "redis+unix:///run/redis"):
        assert load_settings(rate_limit_storage=good).rate_limit_storage == good


class Redis:
    """A Redis server, on a port of its own if none is named, until it is stopped."""

    def __init__(self, port: int = 0) -> None:
        self.server = TcpFakeServer(("127.0.0.1", port))
        self.port = self.server.server_address[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        knows = FakeStrictRedis(server=self.server.fake_server)  # a real one learns them; this one hangs up first
        for script in (RedisBridge.SCRIPT_MOVING_WINDOW, RedisBridge.SCRIPT_ACQUIRE_MOVING_WINDOW):
            knows.script_load(script)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.daemon_threads = True  # connections that are open end with their clients
        self.server.block_on_close = False
        self.server.server_close()


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.stop()


def test_servers_on_one_redis_count_together(make_client, redis: Redis, tmp_path) -> None:
    limits = {"rate_limits": "3/hour", "rate_limit_storage": redis.url} | KEYS
    one = make_client(data_dir=tmp_path / "one", **limits)
    other = make_client(data_dir=tmp_path / "other", **limits)
    assert told(post(one, "k1")) == (3, 2)
    assert told(post(other, "k1")) == (3, 1)
    assert told(post(one, "k1")) == (3, 0)
    answer = post(other, "k1")
    assert answer.status_code == 429 and 3590 <= int(answer.headers["retry-after"]) <= 3600
    assert told(post(other, "k2")) == (3, 2)
    assert one.get("/health", headers={"X-API-Key": "k1"}).json()["redis"] == "ok"


def test_server_counts_alone_while_redis_is_away_and_says_so_once(make_client, monkeypatch, caplog) -> None:
    monkeypatch.setattr(rates, "RETRY_SECONDS", 0.0)
    gone = Redis()
    gone.stop()
    client = make_client(rate_limits="2/hour", rate_limit_storage=gone.url)
    assert [post(client).status_code for _ in range(3)] == [400, 400, 429]
    said = [record.message for record in caplog.records if "counted by this server alone" in record.message]
    assert len(said) == 1
    assert client.get("/health").json()["redis"] == "Redis does not answer."


def test_redis_is_left_alone_for_a_while_and_then_asked_again(make_client) -> None:
    gone = Redis()
    gone.stop()
    client = make_client(rate_limits="9/hour", rate_limit_storage=gone.url)
    assert told(post(client)) == (9, 8)
    back = Redis(gone.port)
    try:
        assert told(post(client)) == (9, 7)
        client.app.state.parts.limiter._ask_again = 0.0
        assert told(post(client)) == (9, 8)
        assert told(post(client)) == (9, 7)
    finally:
        back.stop()
