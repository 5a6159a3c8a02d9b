"""Traces for OpenTelemetry: a span a request, and a span a run of a job with one below it for each of its stages.

A run belongs to the trace of the request that has submitted its job, in whatever process it runs: the job has it on
record. The libraries are those of the extra `otel`, and are imported only where traces are asked for.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from anyio import move_on_after

from whisperx_api import __version__, happenings
from whisperx_api.errors import StartError
from whisperx_api.extras import how_to_install
from whisperx_api.happenings import Happening

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

NAME = "whisperx-api"
PATH = "/v1/traces"
"""Where a collector takes traces, below its endpoint (OTLP/HTTP)."""
UNTRACED = ("/health", "/ready", "/metrics")
"""Routes that are asked for all day long by machines."""
STOP_SECONDS = 1.0
"""How long the last spans have to be taken when the server stops."""

_request: ContextVar[Any] = ContextVar("request_span", default=None)


class Tracing:
    """Observes what happens, and makes spans of it."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(NAME, __version__)
        self._runs: dict[tuple[str, int], Span] = {}

    async def stop(self) -> None:
        """Send what is left, as far as it is taken soon."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody has waited so long
                loop.call_soon_threadsafe(stopped.set)

        # Not a thread of the loop's own: the end of the process waits for these, and a collector may not answer.
        threading.Thread(target=shut_down, daemon=True).start()
        with move_on_after(STOP_SECONDS):
            await stopped.wait()

    def __call__(self, happening: Happening) -> None:
        match happening:
            case happenings.RequestBegan():
                self._request_began(happening)
            case happenings.RequestEnded():
                self._request_ended(happening)
            case happenings.JobSubmitted(task_id):
                self._job_submitted(task_id)
            case happenings.RunBegan(task_id, epoch, trace):
                self._runs[task_id, epoch] = self._tracer.start_span(
                    "job", _within(trace), attributes={"task.id": task_id, "task.epoch": epoch}
                )
            case happenings.StageEnded():
                self._stage_ended(happening)
            case happenings.StageTryFailed(task_id, epoch, stage, error):
                if (run := self._runs.get((task_id, epoch))) is not None:
                    run.add_event("stage failed", {"stage": stage.value, "error.type": error})
            case happenings.RunEnded():
                self._run_ended(happening)

    def _request_began(self, request: happenings.RequestBegan) -> None:
        from opentelemetry.trace import SpanKind

        _request.set(
            self._tracer.start_span(
                request.method, _within(request.parent), SpanKind.SERVER,
                attributes={"http.request.method": request.method, "request.id": request.request_id},
            )
        )  # fmt: skip

    def _request_ended(self, request: happenings.RequestEnded) -> None:
        from opentelemetry.trace import StatusCode

        span: Span | None = _request.get()
        _request.set(None)
        if span is None or request.route in UNTRACED:
            return
        span.update_name(f"{request.method} {request.route}")
        span.set_attributes({"http.route": request.route, "http.response.status_code": request.status})
        if request.status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def _job_submitted(self, task_id: str) -> None:
        span: Span | None = _request.get()
        if span is not None:
            span.set_attribute("task.id", task_id)

    def _stage_ended(self, done: happenings.StageEnded) -> None:
        from opentelemetry.trace import set_span_in_context

        if (run := self._runs.get((done.task_id, done.epoch))) is None:
            return
        end = time.time_ns()
        span = self._tracer.start_span(
            done.stage.value, set_span_in_context(run, _no_context()),
            attributes={"task.id": done.task_id, "audio.seconds": done.sound},
            start_time=end - round(done.seconds * 1e9),
        )  # fmt: skip
        span.end(end)

    def _run_ended(self, ended: happenings.RunEnded) -> None:
        from opentelemetry.trace import StatusCode

        if (run := self._runs.pop((ended.task_id, ended.epoch), None)) is None:
            return
        run.set_attribute("task.outcome", ended.outcome)
        if ended.outcome == "failed":
            run.set_status(StatusCode.ERROR)
        run.end()


def _no_context() -> Context:
    """Return the context in which nothing is known: ours goes by task and not by where the code runs just then."""
    from opentelemetry.context import Context

    return Context()


def _within(trace: str | None) -> Context:
    """Return the context of a `traceparent`; one without a parent where it is None, or is none."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": trace} if trace else {}, _no_context())


def traceparent() -> str | None:
    """Return what says which span this request is (W3C Trace Context); None where its spans are not recorded."""
    span: Span | None = _request.get()
    if span is None:
        return None
    own = span.get_span_context()
    return f"00-{own.trace_id:032x}-{own.span_id:016x}-{int(own.trace_flags):02x}"


def start(endpoint: str) -> Tracing:
    """Return what sends traces to the collector at `endpoint`, over HTTP. Raises `StartError`.

    What the libraries read from the environment besides holds too, such as OTEL_EXPORTER_OTLP_HEADERS.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise StartError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and what sends traces is not installed: run "
            f"{how_to_install('otel')}, or leave the setting out."
        ) from error
    own = Resource({"service.name": NAME, "service.version": __version__})
    provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}{PATH}")))
    return Tracing(provider)
