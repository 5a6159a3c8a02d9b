"""`/api/v1/usage`: what it tells of tasks that were sent, whatever has become of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.waiting import on_server, send, wait
from whisperx_api.api import usage

USAGE = "/api/v1/usage"
ANN, BEN, BOSS = ({"X-API-Key": f"key-{name}"} for name in ("ann", "ben", "boss"))
KEYS: dict[str, Any] = {"api_keys": "ann:key-ann,ben:key-ben:transcribe+read,boss:key-boss:admin", "api_key": None}


@pytest.fixture
def client(make_client) -> TestClient:
    return make_client(result_cache=True, **KEYS)


def used(client: TestClient, **wanted: str) -> list[dict[str, Any]]:
    answer = client.get(USAGE, params=wanted, headers=BOSS)
    assert answer.status_code == 200, answer.text
    return answer.json()["usage"]


def done(client: TestClient, path: Path, headers: dict[str, str], **fields: Any) -> dict[str, Any]:
    client.headers.update(headers)
    return wait(client, send(client, path, **fields).json()["task_id"])


def test_usage_is_told_by_key_and_outlives_its_tasks(client: TestClient, tone: Callable[..., Path]) -> None:
    begun = datetime.now(timezone.utc).date()
    tasks = [done(client, tone(1.5), ANN), done(client, tone(1.5), ANN), done(client, tone(0.5, channels=2), BEN)]
    refused = json.dumps({"stage": "transcribe", "what": "refuse"})
    tasks.append(done(client, tone(2.5), ANN, prompt=refused))
    assert [(task["status"], task["cached"]) for task in tasks] == [
        ("completed", False), ("completed", True), ("completed", False), ("failed", False),
    ]  # fmt: skip
    told = used(client)
    days = {entry.pop("day") for entry in told}
    assert days <= {f"{begun}", f"{begun + timedelta(days=1)}"} and len(days) == 1  # all of it unless at midnight
    assert told == [
        {"key": "ann", "seconds": 1.5, "completed": 1, "failed": 1, "cached": 1, "cached_seconds": 1.5},
        {"key": "ben", "seconds": 0.5, "completed": 1, "failed": 0, "cached": 0, "cached_seconds": 0.0},
    ]
    for headers, task in zip((ANN, ANN, BEN), tasks, strict=False):
        assert client.delete(f"/api/v1/transcribe/task/{task['task_id']}", headers=headers).status_code == 204
    on_server(client, lambda parts: parts.manager.expire(datetime.now(timezone.utc)))
    assert client.get("/api/v1/transcribe/tasks", headers=ANN).json()["tasks"] == []
    assert [entry | {"day": None} for entry in used(client)] == [entry | {"day": None} for entry in told]


def test_follower_of_a_task_is_counted_as_cached(client: TestClient, tone: Callable[..., Path]) -> None:
    client.headers.update(ANN)
    slow = json.dumps({"seconds": 0.5})
    first, second = [send(client, tone(1.5), prompt=slow).json()["task_id"] for _ in range(2)]
    assert [wait(client, task)["cached"] for task in (first, second)] == [False, True]
    (entry,) = used(client)
    assert (entry["completed"], entry["seconds"], entry["cached"], entry["cached_seconds"]) == (1, 1.5, 1, 1.5)


def test_usage_is_asked_for_by_day_and_key(client: TestClient, tone: Callable[..., Path], monkeypatch) -> None:
    done(client, tone(1.5), ANN)
    (entry,) = used(client)
    today = entry["day"]
    yesterday, tomorrow = (str(date.fromisoformat(today) + timedelta(days=days)) for days in (-1, 1))
    assert used(client, **{"from": today, "to": today}) == [entry]
    assert used(client, **{"from": tomorrow, "to": tomorrow}) == used(client, to=yesterday) == []
    assert used(client, key="ann") == [entry] and used(client, key="ben") == []
    whole = client.get(USAGE, params={"to": "2026-03-31"}, headers=BOSS).json()
    assert whole == {"from": "2026-03-01", "to": "2026-03-31", "usage": []}
    assert used(client, to="0001-01-05") == []
    for wrong, param, detail in (
        ({"from": tomorrow, "to": today}, "from", f"from ({tomorrow}) must not be later than to ({today})."),
        ({"from": "yesterday"}, "from", "from must be a date like 2027-01-31."),
        ({"to": "2027-02-30"}, "to", "to must be a date like 2027-01-31."),
    ):
        answer = client.get(USAGE, params=wrong, headers=BOSS)
        assert answer.status_code == 400
        assert (answer.json()["param"], answer.json()["detail"]) == (param, detail)
    monkeypatch.setattr(usage, "MAX_ENTRIES", 0)
    answer = client.get(USAGE, headers=BOSS)
    assert answer.status_code == 400 and "ask for fewer days" in answer.json()["detail"]
