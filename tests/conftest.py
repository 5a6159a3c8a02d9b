"""What the tests share: where models and recordings are, servers to talk to, and sound made on the spot."""

from __future__ import annotations

import os
import sys
import wave
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.backend import KEY, ON_CLUSTER, Alone, Backend, Files, OfMany, deselect
from tests.browsing import browser  # noqa: F401  # a fixture
from tests.s3 import ENVIRONMENT
from tests.server import Server
from tests.services import database_url, newest, postgres, s3, s3_server  # noqa: F401  # fixtures
from whisperx_api import telemetry
from whisperx_api.settings import Settings

telemetry.switch_off()  # before the tests that compute in this process import what would tell of it

ROOT = Path(__file__).parent.parent
HEADERS = {"X-API-Key": KEY}
UPLOAD = "/api/v1/transcribe/upload"

LONGEST = ("test_engine", "test_transcribe", "test_embeddings", "test_diarize", "test_restart", "test_result_cache",
           "test_commands")  # fmt: skip
"""Files that take minutes, the longest first: begun last, one would be left to run alone."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have the longest files begin first, and leave out what is not for the back end."""
    deselect(config, items)
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session", autouse=True)
def measured_here_alone() -> None:
    """Measure the coverage of no process that a test starts: many are killed, and some are to start fast."""
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the environment's own settings and any .env out of the tests, and what they remember out of the home."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("WHISPERX_API_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """Where the models are that `make setup` pulled."""
    folder = Path(os.environ.get("TEST_MODEL_DIR", ROOT / "data" / "models"))
    if not (folder / "starter").is_dir():
        pytest.fail(f"The starter models are not in {folder}: run `make setup`.")
    return folder


@pytest.fixture(scope="session")
def starter_dir(model_dir: Path) -> Path:
    """The starter models' folder."""
    return model_dir / "starter"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The recordings with ground truth, which do not come with a clone."""
    folder = Path(os.environ.get("DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.fail(f"There are no recordings in {folder}: name their folder with DATA=.")
    return folder


@pytest.fixture(scope="session")
def sample_dir() -> Path:
    """The folder of pyannote's sample: 30 s of two people on the telephone, with its truth."""
    spec = find_spec("pyannote.audio")
    assert spec and spec.origin
    return Path(spec.origin).parent / "sample"


@pytest.fixture
def tone(tmp_path: Path) -> Callable[..., Path]:
    """Make WAV files that hold a tone."""

    def make(seconds: float = 1.0, name: str = "tone.wav", rate: int = 16000, channels: int = 1) -> Path:
        path = tmp_path / name
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            sound = 8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
            file.writeframes(np.repeat(np.round(sound), channels).astype("<i2").tobytes())
        return path

    return make


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """What the tests' servers run on."""
    if not ON_CLUSTER:
        yield Alone()
        return
    database, bucket, template = map(request.getfixturevalue, ("postgres", "s3_server", "newest"))
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": bucket.url}.items():
            environment.setenv(name, value)
        yield OfMany(database, bucket, template)


@pytest.fixture
def own_backend(backend: Backend, tmp_path: Path) -> Iterator[Backend]:
    """The same, for servers of one test, whose data folders are in its own."""
    yield backend
    backend.release(tmp_path)


@pytest.fixture
def files(own_backend: Backend, tmp_path: Path) -> Files:
    """What the servers of a test keep that name no other data folder."""
    return own_backend.files(tmp_path / "data")


@pytest.fixture
def make_client(own_backend: Backend, tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Start apps on the fake engine, each with its own settings."""
    clients: list[TestClient] = []

    def make(engine: str = "tests.fake_engine", **settings) -> TestClient:
        chosen = {
            "data_dir": tmp_path / "data",
            "api_key": KEY,
            "whisper_model": "tiny",
            "result_cache": False,
        } | settings
        client = TestClient(own_backend.app(engine, chosen))
        client.headers.update(HEADERS)
        clients.append(client)
        return client.__enter__()

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    """An app on the fake engine."""
    return make_client()


@pytest.fixture(scope="session")
def starter_server(backend: Backend) -> Callable[..., Server]:
    """Make servers on the starter models, or on the fake engine, that keep everything in a folder.

    `path` are folders from which all their processes import first.
    """

    def make(folder: Path, model_dir: Path, fake: bool = False, path: Sequence[Path] = (), **settings) -> Server:
        chosen = {
            "data_dir": folder / "data", "api_key": KEY, "whisper_model": "starter", "align_model": "attention",
            "diarization_model": "starter", "model_dir": model_dir, "whisper_auto_download": False,
            "result_cache": False,
        } | settings  # fmt: skip
        return backend.server(chosen, "tests.fake_engine" if fake else None, folder / "server.log", path)

    return make


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, starter_server: Callable[..., Server]
) -> Iterator[Server]:
    """A real server on the real engine, for all tests of a module."""
    shared = starter_server(tmp_path_factory.mktemp("server"), model_dir)
    shared.start()
    yield shared
    shared.kill()
    sys.stderr.write(shared.log.read_text())


@pytest.fixture
def start_server(
    own_backend: Backend, starter_server: Callable[..., Server], tmp_path: Path, model_dir: Path
) -> Iterator[Callable[..., Server]]:
    """Start real server processes; those on the real engine use the starter models."""
    servers: list[Server] = []

    def start(fake: bool = False, **settings) -> Server:
        server = starter_server(tmp_path, model_dir, fake, **settings)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()
        sys.stderr.write(server.log.read_text())
