"""The service's metrics for Prometheus: what happens is counted as it is told, the rest is looked at when it is asked.

Each app has a registry of its own. No metric has a label whose values callers could make up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from whisperx_api import __version__, happenings
from whisperx_api.engine.protocol import EngineReady, ModelsLoaded, Retry, Stage
from whisperx_api.happenings import Delivery, End, Happening

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Bounds of the buckets. Who waits for a transcript, or listens to its events, waits as long as the job takes."""
REAL_TIME_FACTORS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Bounds of the buckets, in seconds of work a second of sound."""


class Manager(Protocol):
    """What is asked of the task manager."""

    @property
    def waiting(self) -> int: ...

    @property
    def running(self) -> int: ...


class Engine(Protocol):
    """What is asked of an engine."""

    @property
    def ready(self) -> EngineReady | None: ...

    @property
    def device(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def models(self) -> ModelsLoaded: ...


class Metrics:
    """Observes what happens, and tells it in Prometheus' text format."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._jobs = Counter("whisperx_jobs", "Jobs that have ended, by how.", ["end"], registry=registry)
        self._uploads = Counter("whisperx_uploads", "Recordings taken in.", registry=registry)
        self._upload_bytes = Counter("whisperx_upload_bytes", "Bytes of recordings taken in.", registry=registry)
        self._stage_seconds = Counter(
            "whisperx_stage_seconds", "Seconds of work, waiting and loading of models not counted.", ["stage"],
            registry=registry,
        )  # fmt: skip
        self._stage_audio = Counter(
            "whisperx_stage_audio_seconds", "Seconds of sound on which that work was done.", ["stage"],
            registry=registry,
        )  # fmt: skip
        self._real_time_factor = Histogram(
            "whisperx_stage_real_time_factor", "Seconds of work a second of sound, of each stage done.", ["stage"],
            buckets=REAL_TIME_FACTORS, registry=registry,
        )  # fmt: skip
        self._stage_failures = Counter(
            "whisperx_stage_failures", "Tries of a stage that failed; it may have been tried again.", ["stage"],
            registry=registry,
        )  # fmt: skip
        self._starts = Counter(
            "whisperx_engine_starts", "Engine processes that came up.", ["device"], registry=registry
        )
        self._start_failures = Counter(
            "whisperx_engine_start_failures", "Engine processes that did not come up.", ["device"], registry=registry
        )
        self._deaths = Counter(
            "whisperx_engine_deaths", "Engine processes that ended though nobody had told them to.", ["device"],
            registry=registry,
        )  # fmt: skip
        self._loads = Counter("whisperx_model_loads", "Models loaded.", ["device", "model"], registry=registry)
        self._evictions = Counter(
            "whisperx_model_evictions", "Models let go, for room, by MODEL_RESIDENCY or on request.",
            ["device", "model"], registry=registry,
        )  # fmt: skip
        self._memory_retries = Counter(
            "whisperx_out_of_memory_retries",
            "What was tried again for want of memory: a batch at half its size, a stage without other models or alone.",
            ["device", "retry"], registry=registry,
        )  # fmt: skip
        self._deliveries = Counter(
            "whisperx_webhook_tries", "Tries to deliver a webhook's message, by what came of them.", ["result"],
            registry=registry,
        )  # fmt: skip
        self._database_faults = Counter(
            "whisperx_database_faults", "Times that the database did not answer or take a change.", registry=registry
        )
        self._requests = Counter(
            "whisperx_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "whisperx_http_request_seconds", "Seconds from a request's headers to the end of its answer.",
            ["method", "route"], buckets=REQUEST_SECONDS, registry=registry,
        )  # fmt: skip
        self._show_nothing_as_zero()
        self._now = _Now()
        registry.register(self._now)
        ProcessCollector(registry=registry)

    def watch(self, manager: Manager, engines: Sequence[Engine]) -> None:
        """Look at these whenever somebody asks."""
        self._now.manager, self._now.engines = manager, engines

    def text(self) -> bytes:
        """Return all metrics. No disk is read."""
        return generate_latest(_WithoutCreated(self._registry))  # type: ignore[arg-type]  # it asks for `collect` alone

    def __call__(self, happening: Happening) -> None:
        match happening:
            case happenings.RequestEnded(method, route, status, seconds):
                self._requests.labels(method, route, str(status)).inc()
                self._request_seconds.labels(method, route).observe(seconds)
            case happenings.JobSubmitted(size=size):
                self._uploads.inc()
                self._upload_bytes.inc(size)
            case happenings.JobEnded(end=end):
                self._jobs.labels(end.value).inc()
            case happenings.StageEnded(stage=stage, seconds=seconds, sound=sound):
                self._stage_seconds.labels(stage.value).inc(seconds)
                self._stage_audio.labels(stage.value).inc(sound)
                if sound > 0:
                    self._real_time_factor.labels(stage.value).observe(seconds / sound)
            case happenings.StageTryFailed(stage=stage):
                self._stage_failures.labels(stage.value).inc()
            case happenings.EngineStarted(device, failed):
                (self._start_failures if failed else self._starts).labels(device).inc()
                self._show_device(device)
            case happenings.EngineDied(device):
                self._deaths.labels(device).inc()
            case happenings.ModelLoaded(device, model):
                self._loads.labels(device, model).inc()
                self._evictions.labels(device, model)
            case happenings.ModelReleased(device, model):
                self._evictions.labels(device, model).inc()
            case happenings.MemoryRetry(device, retry):
                self._memory_retries.labels(device, retry.value).inc()
            case happenings.MessageTried(delivery):
                self._deliveries.labels(delivery.value).inc()
            case happenings.DatabaseFault():
                self._database_faults.inc()

    def _show_device(self, device: str) -> None:
        """Have what may happen on a device be there before it does: a rate needs a value before the first event."""
        for metric in (self._starts, self._start_failures, self._deaths):
            metric.labels(device)
        for retry in Retry:
            self._memory_retries.labels(device, retry.value)

    def _show_nothing_as_zero(self) -> None:
        """The same of what may happen anywhere."""
        for end in End:
            self._jobs.labels(end.value)
        for delivery in Delivery:
            self._deliveries.labels(delivery.value)
        for stage in Stage:
            for metric in (self._stage_seconds, self._stage_audio, self._real_time_factor, self._stage_failures):
                metric.labels(stage.value)


class _Now(Collector):
    """What is looked at when metrics are asked for."""

    def __init__(self) -> None:
        self.manager: Manager | None = None
        self.engines: Sequence[Engine] = ()

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("whisperx", "The service's version.", value={"version": __version__})
        waiting, running = (self.manager.waiting, self.manager.running) if self.manager else (0, 0)
        yield GaugeMetricFamily("whisperx_queue_depth", "Jobs that wait for their turn.", value=waiting)
        yield GaugeMetricFamily("whisperx_active_tasks", "Jobs in work.", value=running)
        up = GaugeMetricFamily("whisperx_engine_up", "Whether a device has an engine process.", labels=["device"])
        loaded = GaugeMetricFamily("whisperx_models_loaded", "Models on a device.", labels=["device"])
        used = GaugeMetricFamily(
            "whisperx_device_memory_used_bytes",
            "Memory in use, as measured last: of the whole GPU, on a CPU that of the engine.", labels=["device"],
        )  # fmt: skip
        total = GaugeMetricFamily("whisperx_device_memory_total_bytes", "Memory that there is.", labels=["device"])
        for engine in self.engines:
            device, models = [engine.device], engine.models
            up.add_metric(device, engine.state in ("idle", "busy"))
            loaded.add_metric(device, len(models.models))
            if models.memory_used is not None:
                used.add_metric(device, models.memory_used)
            if engine.ready is not None and engine.ready.memory_total is not None:
                total.add_metric(device, engine.ready.memory_total)
        yield from (up, loaded, used, total)


class _WithoutCreated:
    """A registry without the times at which metrics were made, which nobody asks for and which double the series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
