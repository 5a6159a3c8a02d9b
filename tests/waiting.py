"""Sends recordings and waits for what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from tests.backend import Files
from tests.receiver import eventually
from whisperx_api.api.parts import Parts

ENDED = ("completed", "failed", "cancelled")


def send(client: TestClient, path: Path, headers: dict[str, str] | None = None, **fields: Any) -> Response:
    """Upload a file."""
    with path.open("rb") as file:
        return client.post("/api/v1/transcribe/upload", files={"file": (path.name, file)}, data=fields, headers=headers)


def on_server(client: TestClient, call: Callable[[Parts], Awaitable[object]]) -> None:
    """Run something with the parts of a client's app, on its event loop."""
    app: Any = client.app
    assert client.portal is not None
    client.portal.call(call, app.state.parts)


def wait(client: TestClient, task_id: str, *states: str, seconds: float = 20) -> dict[str, Any]:
    """Poll until the task is in one of the states; any end if none is named."""
    deadline = time.monotonic() + seconds
    status: dict[str, Any] = {}
    while time.monotonic() < deadline:
        status = client.get(f"/api/v1/transcribe/status/{task_id}").json()
        if status["status"] in (states or ENDED):
            return status
        time.sleep(0.02)
    raise AssertionError(f"the task is not {states or ENDED} after {seconds} s: {status}")


def transcript_of(files: Files, task_id: str) -> str:
    """Return the name of the one file that is kept of a completed task; what it was made from goes after its end."""
    eventually(lambda: len(files.made(task_id)) == 1)
    return files.made(task_id)[0]
