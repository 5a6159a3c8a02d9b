"""The files that a cluster is put together from: what they name is there, fits together, and starts."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import typer
import yaml

from tests.conftest import ROOT
from tests.postgres import Postgres
from tests.s3 import S3
from tests.server import free_port
from tests.unit.test_docker import OF_COMPOSE, SETTINGS, read_image, seconds
from whisperx_api import clustered
from whisperx_api.api import health
from whisperx_api.cli import COMMANDS
from whisperx_api.cli.serve import SHUTDOWN_SECONDS
from whisperx_api.engine.session import COMPANY_GRACE_SECONDS
from whisperx_api.metrics import Metrics
from whisperx_api.settings import Settings, load_settings
from whisperx_api.work import create_worker

COMPOSE = "docker-compose.cluster.yml"
KUBERNETES = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()
"""Releases of Kubernetes whose schemas the manifests are held against."""

OF_THE_BUCKET = {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
"""Variables that obstore reads."""
OF_THIS_FILE = {*OF_COMPOSE, "GPUS", "POSTGRES_PASSWORD", "BUCKET_KEY_ID", "BUCKET_KEY", "BUCKET_RPC_SECRET"}
"""What the compose file reads from .env without handing it on under that name."""
SHARED = {
    "QUEUE", "DATABASE_URL", "STORAGE_URL", "WHISPER_MODEL", "ALIGN_MODEL", "DIARIZATION_MODEL", "DIARIZATION_MODE",
    "RESULT_CACHE", *OF_THE_BUCKET,
}  # fmt: skip
"""Variables in which servers and workers may not differ."""
SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD|DATABASE_URL")
OPEN = "CHANGE_ME"
"""Stands where a secret is to be put."""


# --- reading ---


def manifests() -> Iterator[dict[str, Any]]:
    """Yield what the files for Kubernetes hold."""
    for file in KUBERNETES:
        yield from yaml.safe_load_all(file.read_text())


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """Return the manifests of a kind, by name."""
    return {one["metadata"]["name"]: one for one in manifests() if one["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    """Return the template of the pods of each Deployment and Job, by name."""
    return {name: one["spec"]["template"] for kind in ("Deployment", "Job") for name, one in of_kind(kind).items()}


def container(name: str) -> dict[str, Any]:
    """Return the one container of a Deployment or Job."""
    (only,) = pods()[name]["spec"]["containers"]
    return only


def environment(name: str) -> dict[str, str]:
    """Return the variables of a Deployment's or Job's container, wherever they come from."""
    config = {name: one["data"] for name, one in of_kind("ConfigMap").items()}
    secret = {name: one["stringData"] for name, one in of_kind("Secret").items()}
    here = container(name)
    values: dict[str, str] = {}
    for source in here["envFrom"]:
        values |= config[source["configMapRef"]["name"]] if "configMapRef" in source else {}
        values |= secret[source["secretRef"]["name"]] if "secretRef" in source else {}
    for one in here.get("env", ()):
        kept = one.get("valueFrom", {}).get("secretKeyRef")
        values[one["name"]] = secret[kept["name"]][kept["key"]] if kept else one["value"]
    return values


def compose() -> dict[str, Any]:
    """Return the compose file with its variables at their defaults, and `given` for those without one."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / COMPOSE).read_text())
    text = re.sub(r"\$\{\w+:\?[^}]*\}", "given", text)
    assert "${" not in text
    return yaml.safe_load(text)


def services() -> dict[str, dict[str, Any]]:
    return compose()["services"]


def paths(routes: Any) -> set[str]:
    return {route.path for route in routes}


def settings_of(values: dict[str, str]) -> Settings:
    """Return the settings that a container has."""
    return load_settings(**{name.lower(): value for name, value in values.items() if name in SETTINGS})


def is_command(words: list[str]) -> bool:
    """Whether the command line has a command of these words."""
    if words[0] not in COMMANDS:
        return False
    command: Any = typer.main.get_command(importlib.import_module(f"whisperx_api.cli.{words[0]}").app)
    return words[1:] == [] if not hasattr(command, "commands") else len(words) == 2 and words[1] in command.commands


@pytest.fixture(autouse=True)
def no_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep a .env of the checkout out of the tests."""
    monkeypatch.chdir(tmp_path)


# --- their form ---


@pytest.mark.parametrize("file", KUBERNETES, ids=lambda file: file.name)
@pytest.mark.parametrize("release", [OLDEST, NEWEST])
def test_kubernetes_takes_every_manifest(file: Path, release: str) -> None:
    found = list(yaml.safe_load_all(file.read_text()))
    assert found
    for one in found:
        kubernetes_validate.validate(one, release, strict=True)
        assert "namespace" not in one["metadata"]


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker-compose.cpu.yml", COMPOSE])
def test_compose_takes_every_file(file: str) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / file)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_in_kubernetes_names_what_is_not_there() -> None:
    claims, labels = of_kind("PersistentVolumeClaim"), {name: pod["metadata"]["labels"] for name, pod in pods().items()}
    for name, pod in pods().items():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        assert {mount["name"] for mount in container(name)["volumeMounts"]} == volumes
        claimed = [one["persistentVolumeClaim"]["claimName"] for one in pod["spec"]["volumes"] if len(one) == 2
                   and "persistentVolumeClaim" in one]  # fmt: skip
        assert set(claimed) <= set(claims)
    for name, one in of_kind("Deployment").items():
        assert one["spec"]["selector"]["matchLabels"].items() <= labels[name].items()
    for name, one in of_kind("PodDisruptionBudget").items():
        assert one["spec"]["selector"]["matchLabels"] == labels[name]
    for name, one in of_kind("Service").items():
        assert one["spec"]["selector"] == labels[name]
        ports = {port["name"] for port in container(name)["ports"]}
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports


# --- settings, secrets, commands ---


@pytest.mark.parametrize("name", ["whisperx-migrate", "whisperx-api", "whisperx-worker"])
def test_every_variable_in_kubernetes_is_a_setting(name: str) -> None:
    values = environment(name)
    assert values.keys() <= SETTINGS | OF_THE_BUCKET
    image = read_image("Dockerfile" if container(name)["image"] == "whisperx-api:latest" else "Dockerfile.cpu")
    clustered.check(settings_of(image.environment | values))


@pytest.mark.parametrize("name", ["migrate", "api", "worker"])
def test_every_variable_in_compose_is_a_setting(name: str) -> None:
    values = {name: str(value) for name, value in services()[name]["environment"].items()}
    assert values.keys() <= SETTINGS | OF_THE_BUCKET
    clustered.check(settings_of(values))
    image = read_image("Dockerfile").environment
    for kept in ("HOST", "PORT", "DATA_DIR", "MODEL_DIR"):  # a .env made for another machine must not move them
        assert values[kept] == image[kept]


def test_compose_reads_nothing_from_env_that_it_does_not_say() -> None:
    text = (ROOT / COMPOSE).read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) <= SETTINGS | OF_THIS_FILE
    for name in set(re.findall(r"\$\{(\w+):\?", text)):
        assert re.search(rf"^#.*\b{name}\b", text, re.M), name


def test_servers_and_workers_have_the_same_database_bucket_queue_and_models() -> None:
    assert {"QUEUE", "DATABASE_URL", "STORAGE_URL", "AWS_ENDPOINT_URL"} <= environment("whisperx-api").keys()
    here = services()
    for all_values in (
        [environment(name) for name in ("whisperx-api", "whisperx-worker", "whisperx-migrate")],
        [here[name]["environment"] for name in ("api", "worker", "migrate")],
    ):
        first, *others = [{name: value for name, value in values.items() if name in SHARED} for values in all_values]
        assert all(other == first for other in others)
        assert first["QUEUE"] == "procrastinate"


def test_database_and_bucket_of_compose_are_those_of_its_services() -> None:
    here = services()
    values, postgres, bucket = (here[name]["environment"] for name in ("api", "postgres", "bucket"))
    url = urlsplit(values["DATABASE_URL"])
    assert url.hostname == "postgres" and url.username == postgres["POSTGRES_USER"]
    assert url.path == "/" + postgres["POSTGRES_DB"]
    assert values["STORAGE_URL"] == "s3://" + bucket["GARAGE_DEFAULT_BUCKET"]
    garage = (ROOT / "deploy" / "garage.toml").read_text()
    place = urlsplit(values["AWS_ENDPOINT_URL"])
    assert place.hostname == "bucket" and f'api_bind_addr = "[::]:{place.port}"' in garage
    assert f's3_region = "{values["AWS_REGION"]}"' in garage
    volumes = dict(volume.split(":")[:2] for volume in bucket_volumes(here))
    assert all(folder.startswith(volumes["recordings"] + "/") for folder in re.findall(r'_dir = "(.+)"', garage))
    text = (ROOT / COMPOSE).read_text()
    for mine, its in (("AWS_ACCESS_KEY_ID", "GARAGE_DEFAULT_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY",
                      "GARAGE_DEFAULT_SECRET_KEY")):  # fmt: skip
        assert len(set(re.findall(rf"(?:{mine}|{its}): (\S+)", text))) == 1


def bucket_volumes(here: dict[str, dict[str, Any]]) -> list[str]:
    for volume in (volumes := here["bucket"]["volumes"]):
        source = volume.split(":")[0]
        assert (ROOT / source).is_file() if source.startswith("./") else source in compose()["volumes"]
    return volumes


def test_no_secret_is_in_any_file() -> None:
    for name, one in of_kind("Secret").items():
        assert all(OPEN in value for value in one["stringData"].values()), name
    plain = [one["data"] for one in of_kind("ConfigMap").values()]
    for name in pods():
        plain.append({one["name"]: one["value"] for one in container(name).get("env", ()) if "value" in one})
    assert not [name for values in plain for name in values if SECRET.search(name)]
    for line in (ROOT / COMPOSE).read_text().splitlines():
        name, _, value = line.strip().partition(": ")
        if re.fullmatch("[A-Z_]+", name) and SECRET.search(name):
            assert re.search(r"\$\{\w+:\?", value), line
    assert not re.search("secret|token|password", re.sub("#.*", "", (ROOT / "deploy" / "garage.toml").read_text()))


def test_workers_have_no_keys_of_callers_and_servers_no_token() -> None:
    assert "API_KEYS" in environment("whisperx-api") and "HF_TOKEN" in environment("whisperx-worker")
    assert "API_KEYS" not in environment("whisperx-worker") and "HF_TOKEN" not in environment("whisperx-api")


def test_every_command_is_one_of_the_command_line() -> None:
    given = {name: container(name)["args"] for name in pods()}
    given |= {name: services()[name]["command"] for name in ("migrate", "api", "worker")}
    assert all(is_command(words) for words in given.values())
    assert given["whisperx-migrate"] == given["migrate"] == ["db", "upgrade"]
    assert given["whisperx-worker"] == given["worker"] == ["worker"]
    assert not is_command(["servers"]) and not is_command(["db", "downgrade"]) and not is_command(["db"])


# --- health, ports, the end ---


def test_probes_ask_what_is_answered_on_a_port_that_is_listened_on() -> None:
    worker = create_worker(settings_of(environment("whisperx-worker")))
    for name, answered, port in (
        ("whisperx-api", paths(health.router.routes), int(read_image("Dockerfile.cpu").environment["PORT"])),
        ("whisperx-worker", paths(worker.routes), int(environment("whisperx-worker")["METRICS_PORT"])),
    ):
        here = container(name)
        (listened,) = here["ports"]
        assert listened["containerPort"] == port
        asked = {kind: here[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
        assert {probe["port"] for probe in asked.values()} == {listened["name"]}
        assert {probe["path"] for probe in asked.values()} <= answered
        assert asked["readiness"]["path"] == "/ready" and asked["liveness"]["path"] == "/health"


def test_health_checks_of_compose_ask_the_port_of_their_service() -> None:
    here = services()
    asked = read_image("Dockerfile").health_check
    assert here["api"]["healthcheck"]["test"] == ["CMD", *asked]
    of_worker = [word.replace("'PORT'", "'METRICS_PORT'") for word in asked]
    assert here["worker"]["healthcheck"]["test"] == ["CMD", *of_worker] and of_worker != asked
    assert here["worker"]["expose"] == [here["worker"]["environment"]["METRICS_PORT"]]


def test_proxy_of_compose_leads_to_the_servers_and_holds_nothing_back() -> None:
    here = services()
    proxy, nginx = here["proxy"], (ROOT / "deploy" / "nginx.conf").read_text()
    listens = re.search(r"listen (\d+);", nginx)
    assert listens and proxy["ports"] == [f"8000:{listens[1]}"]
    assert f":{listens[1]}/health" in proxy["healthcheck"]["test"][-1]
    assert f"server api:{here['api']['environment']['PORT']} resolve;" in nginx
    assert proxy["volumes"] == ["./deploy/nginx.conf:/etc/nginx/nginx.conf:ro"]
    for line in ("proxy_request_buffering off;", "proxy_buffering off;", "client_max_body_size 0;"):
        assert line in nginx
    assert "X-Forwarded-For $remote_addr;" in nginx and settings_of(here["api"]["environment"]).trusted_proxies
    assert [name for name, service in here.items() if "ports" in service] == ["proxy"]


def test_there_is_time_to_end_in_good_order() -> None:
    usual = Settings.model_fields["shutdown_grace_seconds"].default
    drained = float(environment("whisperx-worker")["SHUTDOWN_GRACE_SECONDS"]) + COMPANY_GRACE_SECONDS
    here, pod = services(), {name: pod["spec"]["terminationGracePeriodSeconds"] for name, pod in pods().items()
                             if "terminationGracePeriodSeconds" in pod["spec"]}  # fmt: skip
    assert pod["whisperx-worker"] > drained
    pause = float(container("whisperx-api")["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["whisperx-api"] > pause + usual + SHUTDOWN_SECONDS + 5
    stops = {name: seconds(service.get("stop_grace_period", "")) for name, service in here.items()}
    of_worker = float(here["worker"]["environment"]["SHUTDOWN_GRACE_SECONDS"])
    assert stops["worker"] > of_worker + COMPANY_GRACE_SECONDS
    assert stops["api"] > usual + SHUTDOWN_SECONDS + 5
    assert "SHUTDOWN_GRACE_SECONDS" not in here["api"]["environment"].keys() | environment("whisperx-api").keys()


# --- rights, folders, devices ---


def test_kubernetes_takes_rights_away() -> None:
    user, _, group = read_image("Dockerfile").one("USER").value.partition(":")
    for name, pod in pods().items():
        of_pod, own = pod["spec"]["securityContext"], container(name)["securityContext"]
        assert (of_pod["runAsUser"], of_pod["runAsGroup"], of_pod["fsGroup"]) == (int(user), int(group), int(group))
        assert of_pod["runAsNonRoot"] is True and of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["readOnlyRootFilesystem"] is True and own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert container(name)["resources"]["limits"]["memory"]


def test_compose_takes_rights_away() -> None:
    for name, service in services().items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and not service.get("privileged"), name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
        assert any(folder.startswith("/tmp:") for folder in service["tmpfs"]), name
        assert (":" in service["image"] and not service["image"].endswith(":latest")) or service["build"] == "."


def test_each_container_has_a_data_folder_of_its_own_and_workers_share_the_models() -> None:
    folders = read_image("Dockerfile").environment
    data, models = folders["DATA_DIR"], folders["MODEL_DIR"]
    for name in ("api", "worker", "migrate"):  # a named volume would be one for all of a service's containers
        assert services()[name]["volumes"] == [data, f"models:{models}"]
    for name, pod in pods().items():
        kinds = {volume["name"]: next(key for key in volume if key != "name") for volume in pod["spec"]["volumes"]}
        mounted = {mount["mountPath"]: kinds[mount["name"]] for mount in container(name)["volumeMounts"]}
        assert mounted[data] == mounted["/tmp"] == "emptyDir"
        assert mounted.get(models) == (None if name == "whisperx-migrate" else "persistentVolumeClaim")


def test_named_volumes_of_compose_are_used() -> None:
    used = {volume.split(":")[0] for service in services().values() for volume in service.get("volumes", ())}
    assert set(compose()["volumes"]) == {name for name in used if name[0] not in "./"}


def test_only_workers_have_a_gpu() -> None:
    for name in pods():
        limits = container(name)["resources"]["limits"]
        assert limits.get("nvidia.com/gpu") == (1 if name == "whisperx-worker" else None)
    devices = {name: one["deploy"]["resources"].get("reservations", {}).get("devices")
               for name, one in services().items() if "deploy" in one}  # fmt: skip
    assert devices == {"api": None, "worker": [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]}


def test_migration_comes_before_servers_and_workers() -> None:
    here = services()
    for name in ("api", "worker"):
        waits = {other: one["condition"] for other, one in here[name]["depends_on"].items()}
        assert waits == {"migrate": "service_completed_successfully", "bucket": "service_healthy"}
    assert here["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


# --- how many workers ---


def test_workers_are_as_many_as_the_metrics_ask_for() -> None:
    adapter = yaml.safe_load((ROOT / "deploy" / "prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["external"]
    known = set(re.findall(r"^# TYPE (\w+)", Metrics().text().decode(), re.M))
    named = set(re.findall(r"whisperx_\w+", rule["metricsQuery"] + rule["seriesQuery"]))
    assert named == {"whisperx_queue_depth", "whisperx_active_tasks"} and named <= known
    (scaler,) = of_kind("HorizontalPodAutoscaler").values()
    target = scaler["spec"]["scaleTargetRef"]
    assert target["name"] == "whisperx-worker" and target["kind"] == "Deployment"
    (metric,) = scaler["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    wanted = metric["external"]["target"]["averageValue"]
    assert wanted == environment("whisperx-worker")["MAX_CONCURRENT_TASKS"]
    assert "replicas" not in of_kind("Deployment")["whisperx-worker"]["spec"]  # or each change would set it back


# --- acted out ---


def test_cluster_of_compose_starts_is_healthy_and_stops(postgres: Postgres, s3: S3, tmp_path: Path) -> None:
    """As they are in the file, but for where PostgreSQL, the bucket and folders are, and for the GPU."""
    url = postgres.new_database()
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name in ("migrate", "api", "worker"):
            service, folder = services()[name], tmp_path / name
            (folder / "data").mkdir(parents=True)
            ports = {port: str(free_port()) for port in ("PORT", "METRICS_PORT") if port in service["environment"]}
            moved = {
                "DATABASE_URL": url, "STORAGE_URL": f"s3://{s3.bucket}/prefix", "DATA_DIR": str(folder / "data"),
                "MODEL_DIR": str(tmp_path), "DEVICE": "cpu", **ports,
            }  # fmt: skip
            values = {key: str(value) for key, value in service["environment"].items() if key not in OF_THE_BUCKET}
            variables = {**os.environ, **values, **moved}
            with (folder / "log").open("wb") as log:
                command = [str(Path(sys.executable).parent / "whisperx-api"), *service["command"]]
                process = subprocess.Popen(command, env=variables, cwd=folder, stdout=log, stderr=log)
            started.append(process)
            if name == "migrate":
                assert process.wait(60) == 0, (folder / "log").read_text()
            else:
                await_health(process, service["healthcheck"]["test"], variables, folder / "log")
        for process in started[1:]:
            process.send_signal(signal.SIGTERM)
        assert all(process.wait(30) in (0, -signal.SIGTERM) for process in started)
    finally:
        for process in started:
            process.kill()
            process.wait()
        postgres.drop_database(url)


def await_health(process: subprocess.Popen[bytes], test: list[str], variables: dict[str, str], log: Path) -> None:
    """Wait until a health check of the compose file is content, and fail with the log if the process ends."""
    assert test[:2] == ["CMD", "python"]
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        if subprocess.run([sys.executable, *test[2:]], env=variables, capture_output=True, timeout=30).returncode == 0:
            return
    raise AssertionError(log.read_text())


def test_documents_name_every_file_of_a_cluster() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text()
    for file in (*KUBERNETES, ROOT / "deploy" / "prometheus-adapter.yaml"):
        assert file.name in text, file.name
    for file in re.findall(r"\]\((\.\./[\w./-]+|[\w-]+\.md)", text):
        assert (ROOT / "docs" / file).exists(), file
