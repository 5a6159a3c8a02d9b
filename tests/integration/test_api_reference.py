"""The examples of the API reference, each sent to a server; its answers are made as those that the page shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from docsite import api_examples, api_page
from tests.conftest import KEY
from tests.documents import differences
from tests.receiver import Receiver, receiving
from tests.server import Server

API = api_page.document()
OPERATIONS = {one.name: one for one in api_page.operations(API)}
SHOWN: dict[str, Any] = json.loads(api_page.ANSWERS.read_text(encoding="utf-8"))
LAST = "DELETE /v1/webhooks/{webhook_id}"
"""Others need what it deletes."""
SLOW = json.dumps({"seconds": 60})


@dataclass(frozen=True)
class Desk:
    """A server with a completed task and a webhook of it, and who is told."""

    server: Server
    receiver: Receiver
    folder: Path
    task: str
    webhook: str

    def upload(self, **fields: str) -> str:
        return self.server.upload(self.folder / "meeting.wav", **fields)


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, sample_dir: Path, starter_server: Callable[..., Server]
) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("reference")
    shutil.copy(sample_dir / "sample.wav", folder / "meeting.wav")
    server = starter_server(folder, model_dir, fake=True, outgoing_allow="127.0.0.1")
    with receiving(Receiver()) as receiver:
        server.start()
        task = server.upload(folder / "meeting.wav")
        server.wait(task)
        hook = server.client.post("/v1/webhooks", json={"task_id": task, "url": f"{receiver.url}/transcribed"})
        yield Desk(server, receiver, folder, task, hook.json()["id"])
        server.kill()


def test_page_has_every_endpoint_with_a_group_and_an_example() -> None:
    page = api_page.render()
    assert len(OPERATIONS) > 25
    for one in OPERATIONS.values():
        assert one.described["tags"][0] in api_page.GROUPS and f"### {one.name} {{" in page
        assert one.described.get("description"), one.name
    for named in (api_examples.BODIES, api_examples.QUERIES, api_examples.WITHOUT_KEY, api_examples.STREAMS, SHOWN):
        assert set(named) <= set(OPERATIONS)


def task_for(name: str, desk: Desk) -> str:
    """Return the task for an example: one of its own where that changes it for good."""
    if name.startswith("DELETE /api"):
        return desk.upload()
    if name.endswith(("/cancel/{task_id}", "/retry/{task_id}")):
        task = desk.upload(prompt=SLOW)
        if "retry" in name:
            desk.server.client.post(f"/api/v1/transcribe/cancel/{task}")
        return task
    return desk.task


@pytest.mark.parametrize("name", [*(name for name in OPERATIONS if name != LAST), LAST])
def test_example_is_answered_as_the_page_says(name: str, desk: Desk) -> None:
    one, task = OPERATIONS[name], task_for(name, desk)
    command = api_examples.call(one.method, one.path)
    command = command.replace(api_examples.SERVER, f"http://127.0.0.1:{desk.server.port}")
    command = command.replace("https://example.org/transcribed", f"{desk.receiver.url}/transcribed")
    environment = os.environ | {"KEY": KEY, "TASK": task, "WEBHOOK": desk.webhook, "MODEL": "starter"}
    done = subprocess.run(
        ["bash", "-c", f"{command} -D head"], cwd=desk.folder, env=environment, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    if task != desk.task:  # one that is retried would keep the others waiting
        desk.server.client.delete(f"/api/v1/transcribe/task/{task}")
    assert done.returncode == 0, done.stderr
    head = (desk.folder / "head").read_text()
    status = re.findall(r"^HTTP/1.1 (\d+)", head, re.M)[-1]
    assert status in one.described["responses"] and status.startswith("2"), done.stdout
    (media_type,) = re.findall(r"^content-type: ([^;\r\n]+)", head, re.M | re.I) or [""]
    described = one.described["responses"][status].get("content", {})
    assert not media_type or media_type in described or "audio" in name
    if media_type == "application/json":
        answer = json.loads(done.stdout)
        if schema := described["application/json"].get("schema"):
            jsonschema.validate(answer, schema | {"components": API["components"]})
        assert name in SHOWN, f"docsite/answers.json has no answer to {name}: {done.stdout.decode()}"
        assert list(differences(SHOWN[name], answer)) == []
