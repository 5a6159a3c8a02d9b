"""The OpenAPI document against the service: requests made from it, right and wrong, get no answer outside it.

Schemathesis makes the requests; the fake engine does what they start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import HEADERS
from tests.server import Server

EXAMPLES = 6
"""Requests to each operation, of right ones and of wrong ones."""
CHECKS: list[Any] = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip


def test_every_operation_answers_as_the_document_says(
    start_server: Callable[..., Server], tone: Callable[..., Path]
) -> None:
    server = start_server(fake=True, outgoing_allow="127.0.0.1")
    recording = tone(0.5)
    schema: Any = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    answered: defaultdict[str, set[int]] = defaultdict(set)
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            asked = _asked(server, operation, mode, recording)
            answered[f"{operation.method.upper()} {operation.path}"] |= asked
    assert len(answered) >= 20
    never = [name for name, statuses in answered.items() if not any(status < 400 for status in statuses)]
    assert never == []


def _asked(server: Server, operation: Any, mode: Any, recording: Path) -> set[int]:
    """Send requests to an operation and check every answer; return the statuses that came."""
    statuses: set[int] = set()
    right = mode is GenerationMode.POSITIVE

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        if right:
            _complete(server, case, recording)
        response = case.call(headers=HEADERS, timeout=30)
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    with suppress(Unsatisfiable):  # what takes nothing can't be asked wrongly
        ask()
    return statuses


def _complete(server: Server, case: Case, recording: Path) -> None:
    """Put into a right request what no schema can know: a recording that is one, and names of what is there."""
    if "task_id" in (case.path_parameters or {}):
        case.path_parameters["task_id"] = _task(server, recording, fails="/retry/" in case.operation.path)
    if "webhook_id" in (case.path_parameters or {}):
        case.path_parameters["webhook_id"] = _webhook(server, recording)
    if "id" in (case.path_parameters or {}):
        case.path_parameters["id"] = "starter"
    body: Any = case.body
    if isinstance(body, dict) and "file" in body:
        known = {"file": recording.read_bytes(), "model": "whisper-1", "language": "en"}
        case.body = {name: known.get(name, value) for name, value in body.items() if name in known}
    elif isinstance(body, dict) and "task_id" in body:
        case.body = body | {"task_id": _task(server, recording), "url": "http://127.0.0.1:9/", "secret": None}


def _task(server: Server, recording: Path, fails: bool = False) -> str:
    """Return a task that is completed, or has failed."""
    task_id = server.upload(recording, prompt='{"stage": "transcribe", "what": "refuse"}' if fails else "")
    server.wait(task_id)
    return task_id


def _webhook(server: Server, recording: Path) -> str:
    body = {"task_id": _task(server, recording), "url": "http://127.0.0.1:9/"}
    return server.client.post("/v1/webhooks", json=body).json()["id"]
