"""`/metrics` after real work: what has happened is counted, and what the dashboard and the docs name is there."""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.backend import device, of_worker, soon
from tests.conftest import KEY, ROOT
from tests.receiver import Receiver, eventually, receiving
from tests.server import Server
from tests.waiting import on_server, send, wait
from whisperx_api.happenings import Delivery

KEYS = f"ann:{KEY},prometheus:key-of-prometheus:read,writer:key-of-writer:transcribe"
DELIVERIES = [delivery.value for delivery in Delivery]
STATUS = "/api/v1/transcribe/status"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, starter_server: Callable[..., Server]) -> Iterator[Server]:
    """A server on the fake engine, for all tests that count what is added."""
    folder = tmp_path_factory.mktemp("metrics")
    settings = {"outgoing_allow": "127.0.0.1", "webhook_retry_seconds": 0.01, "whisper_model": "tiny"}
    shared = starter_server(folder, folder, fake=True, api_keys=KEYS, api_key="", result_cache=True, **settings)
    shared.start()
    eventually(lambda: value(shared.client, "whisperx_engine_starts_total", device="cpu"))
    yield shared
    shared.kill()


OF_ALL = ("whisperx_queue_depth", "whisperx_active_tasks")
"""What a server tells of the whole cluster."""
Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


def scrape(client: Any) -> Samples:
    """Return every sample, by its name and its labels: of a cluster the sum of its processes' ones."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    samples: Samples = {}
    for text in (answer.text, of_worker(client) or ""):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values, labels = samples.setdefault(sample.name, {}), frozenset(sample.labels.items())
                if sample.name not in OF_ALL or labels not in values:
                    values[labels] = values.get(labels, 0.0) + sample.value
    return samples


def value(client: Any, name: str, **labels: str) -> float:
    """Return one sample; 0 where there is none yet."""
    return scrape(client).get(name, {}).get(frozenset(labels.items()), 0.0)


class Counts:
    """What is added from now on."""

    def __init__(self, service: Server) -> None:
        self._client = service.client
        self._before = scrape(self._client)

    def __call__(self, name: str, **labels: str) -> float:
        before = self._before.get(name, {}).get(frozenset(labels.items()), 0.0)
        return value(self._client, name, **labels) - before


@pytest.fixture
def counts(service: Server) -> Counts:
    return Counts(service)


def script(**what: Any) -> str:
    """Return a prompt for the fake engine, that is no other task's."""
    return json.dumps(what | {"tag": uuid.uuid4().hex})


def run(service: Server, path: Path, **what: Any) -> str:
    """Run a job to its end, and return how it ended."""
    return service.wait(service.upload(path, prompt=script(**what)))["status"]


def at(service: Server, task: str, stage: str) -> bool:
    return service.status(task)["stage"] == stage


# --- who may ask ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer key-of-writer"}, 403),
        ({"Authorization": "Bearer key-of-prometheus"}, 200),
        ({"X-API-Key": "key-of-prometheus"}, 200),
    ],
)
def test_metrics_are_for_keys_that_may_read(service: Server, headers: dict[str, str], status: int) -> None:
    answer = httpx.get(f"http://127.0.0.1:{service.port}/metrics", headers=headers)
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "_created" not in answer.text


def test_example_for_prometheus_gets_the_metrics(service: Server) -> None:
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    assert job["authorization"]["credentials_file"].endswith(".key")
    headers = {"Authorization": f"{job['authorization']['type']} key-of-prometheus"}
    url = f"http://127.0.0.1:{service.port}{job['metrics_path']}"
    assert httpx.get(url, headers=headers).status_code == 200


# --- what is counted ---


def test_job_leaves_its_end_its_bytes_and_the_work_of_each_stage(service: Server, tone, counts: Counts) -> None:
    path = tone(2.0)
    assert run(service, path, seconds=0.2) == "completed"
    assert counts("whisperx_jobs_total", end="completed") == 1
    assert counts("whisperx_uploads_total") == 1
    assert counts("whisperx_upload_bytes_total") == path.stat().st_size
    for stage in ("decode", "transcribe", "align", "diarize", "assign"):
        seconds = counts("whisperx_stage_seconds_total", stage=stage)
        assert (0.1 if stage != "decode" else 0.0) < seconds < 10, stage
        assert counts("whisperx_stage_audio_seconds_total", stage=stage) == 2.0
        assert counts("whisperx_stage_real_time_factor_count", stage=stage) == 1
        assert counts("whisperx_stage_real_time_factor_sum", stage=stage) == pytest.approx(seconds / 2.0)
    client = service.client
    assert value(client, "whisperx_engine_starts_total", device="cpu") >= 1
    assert value(client, "whisperx_engine_up", device="cpu") == 1
    assert value(client, "whisperx_model_loads_total", device="cpu", model="transcribe:tiny") >= 1
    assert value(client, "whisperx_models_loaded", device="cpu") == 2
    assert value(client, "whisperx_device_memory_used_bytes", device="cpu") == 1000
    assert value(client, "whisperx_device_memory_total_bytes", device="cpu") == 2000


def test_each_end_of_a_job_is_counted_once(service: Server, tone, counts: Counts) -> None:
    path = tone()
    assert run(service, path, stage="align", what="refuse") == "failed"
    cancelled = service.upload(path, prompt=script(seconds=30))
    service.client.post(f"/api/v1/transcribe/cancel/{cancelled}")
    prompt = script(seconds=0.5)
    tasks = [service.upload(path, prompt=prompt) for _ in range(3)]  # two of them follow the first
    assert {service.wait(task)["status"] for task in tasks} == {"completed"}
    assert service.status(service.upload(path, prompt=prompt))["status"] == "completed"
    ended = {end: counts("whisperx_jobs_total", end=end) for end in ("completed", "failed", "cancelled", "cached")}
    assert ended == {"completed": 1, "failed": 1, "cancelled": 1, "cached": 3}
    assert counts("whisperx_stage_failures_total", stage="align") == 1
    service.client.delete(f"/api/v1/transcribe/task/{tasks[0]}")
    assert counts("whisperx_jobs_total", end="cancelled") == 1


def test_waiting_and_running_jobs_are_seen_at_once(service: Server, tone) -> None:
    client = service.client
    eventually(lambda: value(client, "whisperx_queue_depth") == value(client, "whisperx_active_tasks") == 0)
    tasks = [service.upload(tone(), prompt=script(seconds=30)) for _ in range(5)]
    eventually(lambda: value(client, "whisperx_active_tasks") == 2)
    assert soon(lambda: value(client, "whisperx_queue_depth") == 3)
    for task in reversed(tasks):
        client.delete(f"/api/v1/transcribe/task/{task}")
    assert soon(lambda: (value(client, "whisperx_queue_depth"), value(client, "whisperx_active_tasks")) == (0, 0))


def test_death_of_an_engine_and_its_new_start_are_counted(service: Server, tone, tmp_path: Path) -> None:
    assert run(service, tone()) == "completed"  # so it is up
    counts = Counts(service)
    assert run(service, tone(), stage="align", what="die", marker=str(tmp_path / "deaths")) == "completed"
    assert counts("whisperx_engine_deaths_total", device="cpu") == 1
    assert counts("whisperx_engine_starts_total", device="cpu") == 1


def test_cancelled_stage_that_is_killed_is_no_death(service: Server, tone) -> None:
    assert run(service, tone()) == "completed"
    counts = Counts(service)
    task = service.upload(tone(), prompt=script(stage="transcribe", what="hang"))
    eventually(lambda: at(service, task, "transcribe"))
    service.client.delete(f"/api/v1/transcribe/task/{task}")
    assert run(service, tone()) == "completed"
    assert counts("whisperx_engine_starts_total", device="cpu") == 1
    assert counts("whisperx_engine_deaths_total", device="cpu") == 0


def test_engine_that_leaves_because_it_is_idle_has_not_died(make_client) -> None:
    client = make_client(model_unload_idle_minutes=0.01 / 60)
    eventually(lambda: value(client, "whisperx_engine_starts_total", device="cpu"))
    eventually(lambda: [one["engine"] for one in client.get("/health").json()["devices"]] == ["off"])
    assert value(client, "whisperx_engine_up", device="cpu") == 0
    assert value(client, "whisperx_engine_deaths_total", device="cpu") == 0


def test_engine_that_does_not_start_is_counted(make_client) -> None:
    client = make_client(align_model="doomed")
    eventually(lambda: value(client, "whisperx_engine_start_failures_total", device="auto"))
    assert value(client, "whisperx_engine_starts_total", device="auto") == 0


def test_want_of_memory_is_counted_by_what_is_tried_again(service: Server, tone, counts: Counts, tmp_path) -> None:
    run(service, tone(), stage="transcribe", what="halve")
    assert counts("whisperx_out_of_memory_retries_total", device="cpu", retry="batch") == 1
    slow = service.upload(tone(), prompt=script(seconds=1))
    eventually(lambda: at(service, slow, "transcribe"))
    run(service, tone(), stage="diarize", what="lack", marker=str(tmp_path / "lacks"))
    assert counts("whisperx_out_of_memory_retries_total", device="cpu", retry="alone") == 1


def test_model_that_is_let_go_is_counted(service: Server, tone, counts: Counts) -> None:
    run(service, tone())
    assert service.client.post("/v1/models/tiny/unload").json()["unloaded"] == [device()]
    assert counts("whisperx_model_evictions_total", device="cpu", model="transcribe:tiny") == 1


def test_tries_of_webhooks_are_counted_by_what_came_of_them(service: Server, tone, counts: Counts) -> None:
    with receiving(Receiver(statuses=[500, 200, 410])) as receiver:
        for _ in range(2):
            task = service.upload(tone(), prompt=script(), webhook_url=receiver.url)
            service.wait(task)
            eventually(lambda task=task: service.status(task)["webhooks"][0]["messages"][0]["status"] != "pending")
    tries = {result: counts("whisperx_webhook_tries_total", result=result) for result in DELIVERIES}
    assert tries == {"retried": 1, "delivered": 1, "dead": 1}


@pytest.mark.embedded("is about SQLite's file")
def test_faults_of_the_database_are_counted(client: TestClient, tmp_path: Path) -> None:
    on_server(client, lambda parts: parts.store.database.dispose())
    for file in (tmp_path / "data").glob("whisperx-api.db*"):
        file.unlink()
    (tmp_path / "data" / "whisperx-api.db").mkdir()
    assert client.get("/api/v1/transcribe/tasks").status_code == 503
    assert value(client, "whisperx_database_faults_total") >= 1  # who delivers webhooks may have asked too


def test_requests_are_counted_by_the_template_of_their_path(make_client, tone) -> None:
    client = make_client(root_path="/asr")
    task = send(client, tone()).json()["task_id"]
    for path in (f"/asr{STATUS}/{task}?include_result=false", f"{STATUS}/{task}", f"{STATUS}/made-up", "/made/up"):
        client.get(path)
    client.put(f"{STATUS}/{task}")
    client.request("BREW", "/made/up")
    text = client.get("/metrics").text
    assert task not in text and "made" not in text and "BREW" not in text
    template, count = f"{STATUS}/{{task_id}}", "whisperx_http_requests_total"
    assert value(client, count, method="POST", route="/api/v1/transcribe/upload", status="202") == 1
    assert value(client, count, method="GET", route=template, status="200") == 2
    assert value(client, count, method="GET", route=template, status="404") == 1
    assert value(client, count, method="PUT", route=template, status="405") == 1
    assert value(client, count, method="other", route="none", status="404") == 1
    assert value(client, count, method="GET", route="none", status="404") == 1
    assert value(client, "whisperx_http_request_seconds_count", method="GET", route=template) == 3


def test_apps_in_one_process_count_each_their_own(make_client, tmp_path: Path) -> None:
    one, other = make_client(align_model="doomed"), make_client(align_model="doomed", data_dir=tmp_path / "other")
    one.get("/health")
    assert value(one, "whisperx_http_requests_total", method="GET", route="/health", status="200") == 1
    assert value(other, "whisperx_http_requests_total", method="GET", route="/health", status="200") == 0


# --- what asking costs ---

_opened: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in ("open", "os.listdir", "os.scandir", "sqlite3.connect"):
        _opened.append(str(arguments[0]))


@pytest.fixture
def opened() -> Iterator[Callable[[], list[str]]]:
    """Watch what files this process opens from here on."""
    global _watching
    sys.addaudithook(_watch)  # for good: a hook can't be taken away, so it is told when to look
    _opened.clear()
    _watching = True
    yield lambda: list(_opened)
    _watching = False


def test_asking_reads_no_disk_and_takes_milliseconds(client: TestClient, tone, opened) -> None:
    task = send(client, tone()).json()["task_id"]
    wait(client, task)
    eventually(lambda: value(client, "whisperx_active_tasks") == 0)
    client.get(f"/api/v1/transcribe/result/{task}")
    assert [path for path in opened() if task in path]  # so it would be seen
    _opened.clear()
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        client.get("/metrics")
        seconds.append(time.perf_counter() - began)
    assert [path for path in opened() if not path.startswith("/proc/")] == []
    assert sorted(seconds)[10] < 0.1  # a few milliseconds; machines differ


# --- what is written about them ---


@pytest.fixture
def labels(service: Server, tone) -> dict[str, set[str]]:
    """The label names of every metric, after a job."""
    run(service, tone())
    return {name: {label for one in series for label, _ in one} for name, series in scrape(service.client).items()}


METRIC = re.compile(r"\b((?:whisperx|process)_\w+)(?:\{([^}]*)\})?")


def test_dashboard_asks_for_what_there_is(labels: dict[str, set[str]]) -> None:
    board = json.loads((ROOT / "deploy" / "grafana" / "whisperx-api.json").read_text())
    queries = [(panel["title"], target) for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) > 20 and len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    of_prometheus = {"instance", "job"}
    asked: set[str] = set()
    for title, target in queries:
        for name, selector in METRIC.findall(target["expr"]):
            assert name in labels, f"{title}: there is no {name}"
            asked.add(name)
            used = set(re.findall(r"(\w+)\s*[=!]~?", selector))
            for grouped in re.findall(r"by \(([^)]*)\)", target["expr"]):
                used |= {label.strip() for label in grouped.split(",")}
            used |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert used <= labels[name] | of_prometheus, f"{title}: {name} has no {used - labels[name]}"
    variable = board["templating"]["list"][1]["query"]["query"]
    assert re.findall(r"label_values\((\w+), instance\)", variable)[0] in labels
    counted = {name for name in labels if name.startswith("whisperx_") and not name.endswith(("_sum", "_count"))}
    assert counted - asked <= {"whisperx_info", "whisperx_uploads_total"}


def test_table_of_the_docs_is_what_there_is(service: Server, labels: dict[str, set[str]]) -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text()
    rows = re.findall(r"^\| `(whisperx_\w+)` \| (\w+) \|([^|]*)\| (.+) \|$", text, re.M)
    written = {name: (kind, set(re.findall(r"`(\w+)`", names)), meaning) for name, kind, names, meaning in rows}
    there = {}
    for family in text_string_to_metric_families(service.client.get("/metrics").text):
        if family.name.startswith("whisperx"):
            counter = f"{family.name}_total" if family.type == "counter" else family.name
            sample = f"{family.name}_count" if family.type == "histogram" else counter
            there[counter] = (family.type, labels[sample], family.documentation)
    assert written == there
