"""The examples of the API reference, each sent to a server; its answers are made as those that the page shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
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
SLOW = json.dumps({"seconds": 60})


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as one:
        yield one


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, starter_server: Callable[..., Server]
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reference")
    server = starter_server(folder, model_dir, fake=True, outgoing_allow="127.0.0.1")
    server.start()
    yield server
    server.kill()


def test_page_has_every_endpoint_with_a_group_and_an_example() -> None:
    page = api_page.render()
    assert len(OPERATIONS) > 25
    for one in OPERATIONS.values():
        assert one.described["tags"][0] in api_page.GROUPS and f"### {one.name} {{" in page
        assert one.described.get("description"), one.name
    for named in (api_examples.BODIES, api_examples.QUERIES, api_examples.WITHOUT_KEY, api_examples.STREAMS, SHOWN):
        assert set(named) <= set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_example_is_answered_as_the_page_says(
    name: str, made: Server, receiver: Receiver, tone: Callable[..., Path], tmp_path: Path
) -> None:
    one = OPERATIONS[name]
    recording = tone(name="meeting.wav")
    ended = made.upload(recording, prompt=SLOW if name.endswith(("cancel/{task_id}", "retry/{task_id}")) else "")
    if name.endswith("retry/{task_id}"):
        made.client.post(f"/api/v1/transcribe/cancel/{ended}")
    if not name.endswith("cancel/{task_id}"):
        made.wait(ended)
    url = f"{receiver.url}/transcribed"
    hook = made.client.post("/v1/webhooks", json={"task_id": ended, "url": url}).json()["id"]
    command = api_examples.call(one.method, one.path)
    command = command.replace(api_examples.SERVER, f"http://127.0.0.1:{made.port}")
    command = command.replace("https://example.org/transcribed", url)
    environment = os.environ | {"KEY": KEY, "TASK": ended, "WEBHOOK": hook, "MODEL": "starter"}
    done = subprocess.run(
        ["bash", "-c", f"{command} -D head"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    made.client.delete(f"/api/v1/transcribe/task/{ended}")  # one that is retried would keep the others waiting
    assert done.returncode == 0, done.stderr
    head = (tmp_path / "head").read_text()
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
