"""Servers and workers as processes of their own, on one PostgreSQL and one bucket."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backend import TABLES
from tests.cluster import Cluster
from tests.patient import Clients
from tests.postgres import Postgres, running
from tests.receiver import Receiver, eventually, receiving
from tests.s3 import S3
from tests.server import Gone, Server

Tone = Callable[..., Path]


@pytest.fixture
def cluster(tmp_path: Path, postgres: Postgres, newest: str, s3: S3) -> Iterator[Cluster]:
    """A cluster on the fake engine, of which nothing is started."""
    made = Cluster(tmp_path, newest, f"s3://{s3.bucket}/prefix", "tests.fake_engine")
    yield made
    print(made.end())
    postgres.empty(newest, TABLES)


def test_task_sent_to_one_server_is_run_by_a_worker_and_read_from_another_server(cluster: Cluster, tone: Tone) -> None:
    cluster.start(servers=2, workers=1)
    first, second = cluster.servers
    task_id = first.upload(tone())
    status = second.wait(task_id, seconds=30)
    assert status["status"] == "completed" and status["progress"] == 100.0
    assert status["result"]["segments"][0]["text"] == "Hello there."
    (worker,) = second.client.get("/api/v1/workers").json()["workers"]
    assert worker["capacity"] == 2 and worker["devices"][0]["name"] == "fake"


def test_cancel_reaches_the_worker_that_runs_the_task(cluster: Cluster, tone: Tone) -> None:
    cluster.start(servers=2, workers=1)
    first, second = cluster.servers
    task_id = first.upload(tone(), prompt=json.dumps({"seconds": 60}))
    second.wait(task_id, until="transcribe", seconds=30)
    assert second.client.post(f"/api/v1/transcribe/cancel/{task_id}").json()["status"] == "cancelled"
    eventually(lambda: not cluster.workers[0].get("/health").json()["active_tasks"], 5)
    other = first.upload(tone())
    assert second.wait(other, seconds=30)["status"] == "completed"


def test_killed_workers_task_goes_on_elsewhere_from_its_last_checkpoint(cluster: Cluster, tone: Tone) -> None:
    cluster.start(servers=1, workers=1)
    (server,) = cluster.servers
    task_id = server.upload(tone(), prompt=json.dumps({"seconds": 3}))
    server.wait(task_id, until="align", seconds=40)
    cluster.workers[0].kill()
    cluster.worker().start()
    status = server.wait(task_id, seconds=70)
    assert status["status"] == "completed"
    log = cluster.workers[1].log.read_text()
    assert "transcribe is asked for" not in log and "align is asked for" in log


def test_terminated_worker_hands_its_task_to_another(cluster: Cluster, tone: Tone) -> None:
    cluster.settings["shutdown_grace_seconds"] = 0.5
    cluster.start(servers=1, workers=1)
    (server,) = cluster.servers
    task_id = server.upload(tone(), prompt=json.dumps({"seconds": 20}))
    server.wait(task_id, until="transcribe", seconds=40)
    assert cluster.workers[0].terminate() < 10
    assert server.status(task_id)["status"] == "pending"
    cluster.worker().start()
    server.wait(task_id, until="transcribe", seconds=20)
    assert server.client.delete(f"/api/v1/transcribe/task/{task_id}").status_code == 204


def test_installation_of_one_server_goes_on_as_a_cluster(
    tmp_path: Path, postgres: Postgres, s3: S3, tone: Tone, start_server: Callable[..., Server]
) -> None:
    before = start_server(fake=True, shutdown_grace_seconds=0.1)
    done = before.upload(tone())
    before.wait(done)
    begun = before.upload(tone(), prompt=json.dumps({"seconds": 1}))
    before.wait(begun, until="align")
    before.terminate()
    cluster = Cluster(tmp_path, postgres.new_database(), f"s3://{s3.bucket}/moved", "tests.fake_engine")
    url, storage = cluster.settings["database_url"], cluster.settings["storage_url"]
    command = ["-m", "whisperx_api", "db", "migrate-to", url, "--storage-url", storage]
    data = ["--data-dir", str(tmp_path / "data")]
    moved = subprocess.run([sys.executable, *command, *data], capture_output=True, text=True, check=False)
    assert moved.stdout.startswith("2 tasks are moved"), moved.stderr
    try:
        cluster.start(servers=1, workers=1)
        (server,) = cluster.servers
        assert server.wait(begun, seconds=30)["status"] == "completed"
        assert "transcribe is asked for" not in cluster.workers[0].log.read_text()
        assert server.status(done)["result"]["segments"]
        assert server.client.get(f"/api/v1/transcribe/audio/{done}").content == tone().read_bytes()
    finally:
        print(cluster.end())


def test_single_server_has_no_part_in_a_clusters_database(
    cluster: Cluster, newest: str, tone: Tone, start_server: Callable[..., Server]
) -> None:
    single = start_server(fake=True, queue="embedded", database_url=newest)
    for begin in (cluster.server, cluster.worker):
        with pytest.raises(Gone, match="is in use by another server: stop that one"):
            begin().start()
    single.terminate()
    for program in (cluster.servers[0], cluster.workers[0]):
        program.start()
    assert cluster.servers[0].wait(cluster.servers[0].upload(tone()), seconds=30)["status"] == "completed"
    for last in (cluster.servers[0], cluster.workers[0]):
        with pytest.raises(Gone, match="is in use by another server: stop that one"):
            single.start()
        last.terminate()
    single.start()


def test_two_hundred_jobs_end_once_each_through_a_kill_a_restart_and_a_faulty_bucket(
    tmp_path: Path, s3: S3, tone: Tone
) -> None:
    with running() as postgres, receiving(Receiver()) as receiver:
        cluster = Cluster(
            tmp_path, postgres.new_database(), f"s3://{s3.bucket}", "tests.fake_engine", outgoing_allow="127.0.0.1",
            webhook_retry_seconds=0.2, max_concurrent_tasks=4,
        )  # fmt: skip
        try:
            cluster.start(servers=2, workers=3)
            clients = Clients(cluster.servers, tone(0.2), webhook_url=f"{receiver.url}/hook")
            s3.fail(10)
            clients.send(100)
            receiver.wait(10, 60)
            cluster.workers[0].kill()
            clients.send(50)
            postgres.stop()
            clients_meanwhile = threading.Thread(target=clients.send, args=(50,))
            clients_meanwhile.start()
            time.sleep(2)
            postgres.start()
            clients_meanwhile.join()
            assert [status["status"] for status in clients.ended()] == ["completed"] * 200
            told = [json.loads(request.body)["data"]["task_id"] for request in receiver.wait(200, 60)]
            assert sorted(set(told)) == sorted(clients.tasks)
            with postgres.connect(cluster.database) as connection:
                messages = connection.execute("SELECT task_id FROM webhook_messages").fetchall()
                ends = connection.execute("SELECT sum(completed) FROM usage").fetchall()
            assert len(messages) == 200 and ends == [(200,)]
            assert s3.failed > 100
            s3.fail(0)
            for task in clients.tasks:
                assert cluster.servers[0].client.delete(f"/api/v1/transcribe/task/{task}").status_code == 204
            eventually(lambda: not s3.objects(), 30)
        finally:
            print(cluster.end())
