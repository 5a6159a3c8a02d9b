"""Traces, as a collector on 127.0.0.1 gets them: real OTLP over HTTP from a real server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.receiver import Receiver, eventually, receiving
from tests.server import Server, free_port

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def collector() -> Iterator[Receiver]:
    with receiving(Receiver()) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, collector: Receiver, starter_server: Callable[..., Server]
) -> Iterator[Server]:
    """A server on the fake engine, whose spans come at once."""
    folder = tmp_path_factory.mktemp("tracing")
    settings = {"otel_exporter_otlp_endpoint": collector.url, "otel_bsp_schedule_delay": 100}
    shared = starter_server(folder, folder, fake=True, **settings)
    shared.start()
    yield shared
    shared.kill()


def spans(collector: Receiver) -> dict[str, list[Span]]:
    """Return the spans that have come, by their name."""
    found: dict[str, list[Span]] = {}
    for request in list(collector.requests):
        assert (request.method, request.path) == ("POST", "/v1/traces")
        assert request.headers["content-type"] == "application/x-protobuf"
        export = ExportTraceServiceRequest.FromString(request.body)
        for resource in export.resource_spans:
            names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            assert names["service.name"] == "whisperx-api"
            for scope in resource.scope_spans:
                for span in scope.spans:
                    found.setdefault(span.name, []).append(span)
    return found


def attributes(span: Span) -> dict[str, object]:
    values = {attribute.key: attribute.value for attribute in span.attributes}
    return {key: getattr(value, str(value.WhichOneof("value"))) for key, value in values.items()}


def of(collector: Receiver, name: str, task: str) -> list[Span]:
    """Return the spans of a name that are about a task."""
    return [span for span in spans(collector).get(name, []) if attributes(span).get("task.id") == task]


def test_request_its_job_and_the_job_s_stages_are_one_trace(service: Server, tone, collector: Receiver) -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-ID": "request-one"}
    with tone(2.0).open("rb") as file:
        answer = service.client.post(
            "/api/v1/transcribe/upload?secret=hidden", files={"file": file}, data={"prompt": '{"seconds": 0.2}'},
            headers=headers,
        )  # fmt: skip
    task = answer.json()["task_id"]
    service.wait(task)
    (job,) = eventually(lambda: of(collector, "job", task))
    (request,) = of(collector, "POST /api/v1/transcribe/upload", task)
    assert request.trace_id.hex() == job.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == CALLER and job.parent_span_id == request.span_id
    assert request.kind == Span.SPAN_KIND_SERVER
    assert attributes(request) == {
        "http.request.method": "POST", "http.route": "/api/v1/transcribe/upload", "http.response.status_code": 202,
        "request.id": "request-one", "task.id": task,
    }  # fmt: skip
    assert attributes(job) == {"task.id": task, "task.epoch": 1, "task.outcome": "completed"}
    for name in ("decode", "transcribe", "align", "diarize", "assign"):
        (stage,) = of(collector, name, task)
        assert (stage.parent_span_id, stage.trace_id) == (job.span_id, job.trace_id)
        assert job.start_time_unix_nano <= stage.start_time_unix_nano < stage.end_time_unix_nano
        assert stage.end_time_unix_nano <= job.end_time_unix_nano
        assert attributes(stage)["audio.seconds"] == 2.0
    polls = spans(collector)["GET /api/v1/transcribe/status/{task_id}"]
    assert polls and all(poll.trace_id != request.trace_id and not poll.parent_span_id for poll in polls)
    assert not [name for name in spans(collector) if "health" in name]
    assert not [request for request in collector.requests if b"hidden" in request.body]


def test_job_that_fails_says_so_with_every_try(service: Server, tone, collector: Receiver) -> None:
    task = service.upload(tone(), prompt='{"stage": "align", "what": "refuse"}')
    service.wait(task)
    (job,) = eventually(lambda: of(collector, "job", task))
    assert job.status.code == Status.STATUS_CODE_ERROR and attributes(job)["task.outcome"] == "failed"
    (event,) = job.events
    told = {attribute.key: attribute.value.string_value for attribute in event.attributes}
    assert (event.name, told) == ("stage failed", {"stage": "align", "error.type": "StageError"})


def test_last_spans_are_sent_when_the_server_stops(start_server, tone) -> None:
    with receiving(Receiver()) as late:
        server = start_server(fake=True, otel_exporter_otlp_endpoint=late.url, otel_bsp_schedule_delay=60_000)
        server.wait(server.upload(tone()))
        assert late.requests == []
        server.terminate()
        assert "job" in spans(late)


def test_collector_that_is_away_holds_nothing_up(start_server, tone) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    server: Server = start_server(fake=True, otel_exporter_otlp_endpoint=endpoint, otel_bsp_schedule_delay=50)
    assert server.wait(server.upload(tone()))["status"] == "completed"
    began = time.monotonic()
    server.terminate()
    assert time.monotonic() - began < 5


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys\n{code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_traces_without_what_sends_them_stop_the_start_with_a_sentence() -> None:
    code = (
        "sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n"  # as if it were not installed
        "from whisperx_api.cli import app\napp()\n"
    )
    endpoint = ("--otel-exporter-otlp-endpoint", "http://127.0.0.1:4318")
    done = python(code, "serve", "--port", str(free_port()), "--device", "cpu", *endpoint)
    assert done.returncode == 3
    assert "pip install '.[otel]'" in done.stderr and "Traceback" not in done.stderr


def test_without_a_collector_nothing_of_it_is_imported() -> None:
    """OpenTelemetry's interface comes with FastAPI; what makes and sends traces does not."""
    done = python(
        "from whisperx_api.app import create_app\ncreate_app()\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    assert done.stdout.strip() == "[]", done.stderr
