"""Commands of the README and the documents that want a place of their own: a clone, PostgreSQL, a hub, Docker's part.

Each is taken from its page and run as it stands there; what is put in another's place, each test says. Those that serve
go on until Ctrl-C, which then comes as from a terminal: to the command, and to all that it has started.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from tests import fake_hub
from tests.databases import filled_at, write_files
from tests.documents import CLUSTER, HERE, blocks
from tests.postgres import NAME, PASSWORD, Postgres, programs, running
from tests.server import ROOT, Server, free_port
from tests.shell import PROGRAMS, environment, going, run, text_of
from whisperx_api.jobs.tables import REVISION
from whisperx_api.models.alignment import BUNDLES
from whisperx_api.models.catalog import TRANSCRIPTION_MODELS

# --- make ---

OWN = (".env", ".git", "build", "data")
"""What a clone has that is its owner's, or of this test run."""


@dataclass(frozen=True)
class Clone:
    """A clone of this repository in which all is made that `make setup` and `make test` make."""

    folder: Path
    port: int
    environment: dict[str, str]

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask what is served."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, follow_redirects=True)

    @property
    def key(self) -> dict[str, str]:
        """The header with the key that the service has written where the pages say."""
        return {"X-API-Key": (self.folder / "data" / "api_key").read_text().strip()}


@pytest.fixture
def clone(tmp_path: Path, model_dir: Path) -> Clone:
    """This clone, without what is its owner's: links to all else. Other are the port, and where the models are."""
    folder, port = tmp_path / "clone", free_port()
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name not in OWN:
            (folder / path.name).symlink_to(path)
    here = environment(PORT=str(port), MODEL_DIR=str(model_dir))
    made = ["make", "--question", "setup", ".venv/tested"]
    if subprocess.run(made, cwd=folder, env=here, capture_output=True, timeout=60, check=False).returncode:
        pytest.fail(f"Not everything is made in {ROOT}: run `make setup .venv/tested`.")
    return Clone(folder, port, here)


BEGINNINGS = (
    "README.md: make try", "docs/quick-start.md: make try", "docs/quick-start.md: make demo",
    "docs/quick-start.md: make serve",
)  # fmt: skip
LINES = [line for block in blocks() if block.name in BEGINNINGS for line in block.text.splitlines()]


def see_page(clone: Clone, line: str) -> None:
    """A browser is opened, by a program in its place: at the page, where a task becomes a labelled transcript."""
    browser, opened = clone.folder / "browser", clone.folder / "opened"
    browser.write_text('#!/bin/sh\ncat "${1#file://}" > opened.part && mv opened.part opened\n')
    browser.chmod(0o755)
    with going(line, clone.folder, clone.environment | {"BROWSER": str(browser), "DISPLAY": ":99"}) as tried:
        tried.until(opened.exists)
        found = re.search(rf"url=http://127\.0\.0\.1:{clone.port}/#/task/([\w-]+)&amp;key=([\w-]+)", opened.read_text())
        assert found, opened.read_text()
        task, key = found.groups()
        assert clone.key == {"X-API-Key": key}
        assert clone.get("/", Accept="text/html").headers["content-type"].startswith("text/html")
        at = f"/api/v1/transcribe/result/{task}"
        tried.until(lambda: clone.get(at, **clone.key).status_code == 200)
        assert len(clone.get(at, **clone.key).json()["speakers"]) == 2


def see_transcript(clone: Clone, line: str) -> None:
    """A labelled transcript is printed."""
    printed = run(line, clone.folder, clone.environment)
    assert set(re.findall(r"^\[00:\d\d\.\d → 00:\d\d\.\d\] (\w+): \w", printed, re.M)) == {"SPEAKER_00", "SPEAKER_01"}


def see_service(clone: Clone, line: str) -> None:
    """The service answers, and takes the key that it has written where the page says."""
    with going(line, clone.folder, clone.environment) as served:
        served.until(lambda: clone.get("/health").status_code == 200)
        assert clone.get("/api/v1/transcribe/tasks", **clone.key).json()["tasks"] == []


SEEN: Mapping[str, Callable[[Clone, str], None]] = {
    "make try": see_page, "make demo": see_transcript, "make serve": see_service,
}  # fmt: skip


@pytest.mark.parametrize("line", dict.fromkeys(re.sub(r"\s+#.*", "", line) for line in LINES))
def test_make(clone: Clone, line: str) -> None:
    """Each is run once, however many pages have it."""
    SEEN[line](clone, line)


def test_make_docs(clone: Clone) -> None:
    """The port, which the Makefile has, is a free one in its place."""
    makefile, address = clone.folder / "Makefile", "127.0.0.1:8001"
    assert f"`http://{address}`" in (ROOT / "docs" / "contributing.md").read_text()
    makefile.unlink()
    makefile.write_text((ROOT / "Makefile").read_text().replace(address, f"127.0.0.1:{clone.port}"))
    with going(text_of("docs/contributing.md: make docs"), clone.folder, clone.environment) as shown:
        shown.until(lambda: "whisperx-api" in clone.get("/quick-start/").text)
        assert (clone.folder / "build" / "site" / "quick-start" / "index.html").is_file()


def test_make_test_runs_a_part_of_the_tests(clone: Clone) -> None:
    script = text_of("docs/contributing.md: make test TESTS=tests/unit/test_subtitles.py")
    printed = run(script, clone.folder, clone.environment)
    assert len(re.findall(r"^\d+ passed in ", printed, re.M)) == 2


# --- PostgreSQL ---


ADMINISTRATOR = "postgres"
TYPED, IN_A_URL = "s3cr@t", "s3cr%40t"
"""The password of the service, as the page says how to write it."""


@pytest.fixture
def fresh() -> Iterator[Postgres]:
    """A PostgreSQL as its administrator finds it: that of the tests has another name, for the page's is to be made."""
    with running() as server:
        with server.connect() as connection:
            connection.execute(f"CREATE ROLE {ADMINISTRATOR} SUPERUSER LOGIN PASSWORD '{PASSWORD}'".encode())
        with psycopg.connect(server.url.replace("+psycopg", "").replace(NAME, ADMINISTRATOR)) as connection:
            connection.execute(f"ALTER ROLE {NAME} RENAME TO tests".encode())
        yield server


def test_service_on_postgres_is_begun_and_moved_to(fresh: Postgres, tmp_path: Path) -> None:
    """Other are the password and the place of PostgreSQL, for whose administrator the environment speaks.

    `pip` only notes what it is asked for.
    """
    begin = text_of("docs/operations.md: pip install '.[cluster]'")
    move = text_of("docs/operations.md: whisperx-api db migrate-to postgresql+psycopg://whisperx:PASSWORD@db.e")
    place = f"{IN_A_URL}@127.0.0.1:{fresh.port}"
    shim = tmp_path / "bin"
    put(shim / "pip", 'echo "$*" >> pip-was-asked')
    here = environment(
        PGHOST="127.0.0.1", PGPORT=str(fresh.port), PGUSER=ADMINISTRATOR, PGPASSWORD=PASSWORD, PORT=str(free_port()),
        PATH=f"{shim}:{programs()}:{PROGRAMS}:{os.environ['PATH']}",
    )  # fmt: skip
    with going(begin.replace("PASSWORD@db.example", place), tmp_path, here, f"{TYPED}\n" * 2) as served:
        served.until(lambda: httpx.get(f"http://127.0.0.1:{here['PORT']}/ready").status_code == 200)
        asked, first = (tmp_path / "pip-was-asked").read_text(), begin.partition("\n")[0]
        assert f"pip {asked.strip()}" == first.replace("'", "")
        own = f"postgresql://whisperx:{place}/whisperx"
        with psycopg.connect(own) as connection:
            found = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'jobs'").fetchall()
        assert found == [("whisperx",)]
    before = tmp_path / "before"
    write_files(before / "data", b"sound")
    filled_at(REVISION, before / "data" / "whisperx-api.db")
    assert "5 tasks are moved" in run(move.replace("PASSWORD@db.example", place), before, here)


def test_table_of_the_tasks_is_set_as_the_page_on_scaling_says(postgres: Postgres, newest: str) -> None:
    (statement,) = re.findall(r"`(ALTER TABLE [^`]+)`", (ROOT / "docs" / "scaling.md").read_text())
    database = postgres.new_database(like=newest.rpartition("/")[2]).rpartition("/")[2]
    with postgres.connect(database) as connection:
        connection.execute(statement.encode())
        (set_so,) = connection.execute("SELECT reloptions FROM pg_class WHERE relname = 'jobs'").fetchone() or ([],)
    assert sorted(part.partition("=")[0] for part in set_so) == [
        "autovacuum_vacuum_scale_factor", "autovacuum_vacuum_threshold", "fillfactor",
    ]  # fmt: skip


# --- models, from stand-ins for the hub and torchaudio's server ---


WHISPER = {"config.json": b"{}", "model.bin": b"w" * 5000, "tokenizer.json": b"{}", "vocabulary.json": b"[]"}
REPOSITORIES: fake_hub.Repositories = {
    TRANSCRIPTION_MODELS["large-v2"]: WHISPER,
    fake_hub.WITH_TERMS: {"config.yaml": b"x: 1"},
    "torchaudio/models": {BUNDLES["WAV2VEC2_ASR_BASE_960H"]: b"weights"},
}


@pytest.fixture
def hub(tmp_path: Path, starter_dir: Path) -> Iterator[dict[str, str]]:
    """The environment of who fetches models: from stand-ins, into a folder that has the starter models."""
    models = tmp_path / "models"
    models.mkdir()
    (models / "starter").symlink_to(starter_dir)
    put(tmp_path / "stand-ins" / "sitecustomize.py", "import os\nfrom whisperx_api.models import alignment\n"
        "alignment.BUNDLE_URL = os.environ['BUNDLES']\n")  # fmt: skip
    with fake_hub.serve(REPOSITORIES) as url:
        yield environment(
            **{name: value for name, value in fake_hub.environment(url, tmp_path / "home").items() if "HF" in name},
            NO_PROXY="127.0.0.1", BUNDLES=f"{url}/torchaudio/models/resolve/main/", MODEL_DIR=str(models),
            PYTHONPATH=f"{tmp_path / 'stand-ins'}:{ROOT}", WHISPER_MODEL="starter", DIARIZATION_MODEL="starter",
            ALIGN_MODEL="attention",
        )  # fmt: skip


def put(program: Path, text: str) -> None:
    """Write a program."""
    program.parent.mkdir(exist_ok=True)
    program.write_text(text if program.suffix else f"#!/usr/bin/env bash\nset -eu\n{text}\n")
    program.chmod(0o755)


def test_full_models_are_fetched(hub: dict[str, str], tmp_path: Path) -> None:
    """The token is the one that the stand-in gives the model with terms of use for."""
    pull = text_of("docs/models.md: export HF_TOKEN=hf_…")
    printed = run(pull.replace("hf_…", fake_hub.GIVEN), tmp_path, hub)
    names = re.findall(r"models pull (\S+)", pull)
    assert re.findall(r"^(\S+) is in .*\.$", printed, re.M) == names
    listed = run("whisperx-api models list; whisperx-api models verify", tmp_path, hub)
    assert {"starter", *names} == set(re.findall(r"^(\S+)\t", listed, re.M)) and "damaged" not in listed


# --- Docker's part acted out ---


DOCKER = """
echo "docker $*" >> docker-was-asked
[ "$1" = compose ]; shift; [ "$1" != --file ] || shift 2
case "$1 $2" in
    "exec "*) shift 2; exec "${@/#\\/data\\//data/}" ;;
    "run --rm") shift 3; exec whisperx-api "$@" ;;
    up\\ *|logs\\ *) ;;
    *) exit 1 ;;
esac
"""
"""In Docker's place: what a container is to run is run here, with `data` for its /data. Nothing is brought up."""


@pytest.fixture
def host(hub: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of who sits before Docker, in `tmp_path`."""
    put(tmp_path / "bin" / "docker", DOCKER)
    return hub | {"PATH": f"{tmp_path / 'bin'}:{hub['PATH']}"}


def test_key_is_printed_and_a_recording_sent(
    host: dict[str, str], start_server: Callable[..., Server], sample_dir: Path, tmp_path: Path
) -> None:
    """Other are the port, and the key in `KEY`'s place: the one that the line before prints."""
    show, send = text_of("docs/docker.md: docker compose exec whisperx-api cat /data/api_key").splitlines()
    server = start_server(fake=True, api_key="")
    shutil.copy(sample_dir / "sample.wav", tmp_path / "meeting.mp3")
    key = run(show, tmp_path, host).strip()
    elsewhere = HERE.replace("127.0.0.1", "localhost")
    assert elsewhere in send and "KEY" in send
    send = send.replace(elsewhere, f"http://localhost:{server.port}").replace("KEY", key)
    task = json.loads(run(send, tmp_path, host))["task_id"]
    server.client.headers["X-API-Key"] = key
    assert server.wait(task)["status"] == "completed"


def test_models_are_fetched_before_the_first_task(host: dict[str, str], tmp_path: Path) -> None:
    printed = run(text_of("docs/docker.md: docker compose run --rm whisperx-api models pull large-v2"), tmp_path, host)
    assert re.search(r"^large-v2 is in .*\.$", printed, re.M) and "starter is in" in printed


def test_cluster_has_its_secrets_and_a_key(host: dict[str, str], tmp_path: Path) -> None:
    """The key is made in the database of `data`, and not in a cluster's."""
    (tmp_path / ".env").write_text("PORT=9000\n")
    printed = run(text_of("docs/docker.md: cat >> .env <<END"), tmp_path, host)
    assert re.search(r"^wxa_[0-9a-f]{12}_[\w-]{43}$", printed, re.M)
    kept = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert kept.pop("PORT") == "9000"
    assert kept.keys() == set(re.findall(r"\$\{(\w+):\?", CLUSTER.read_text()))
    assert re.fullmatch("GK[0-9a-f]{24}", kept.pop("BUCKET_KEY_ID"))
    assert re.fullmatch("[0-9a-f]{48}", kept.pop("POSTGRES_PASSWORD"))
    assert [len(bytes.fromhex(secret)) for secret in kept.values()] == [32, 32]
    assert len(set(kept.values())) == 2


def test_doctor_looks_at_the_container(host: dict[str, str], tmp_path: Path) -> None:
    printed = run(text_of("docs/docker.md: docker compose run --rm whisperx-api doctor"), tmp_path, host)
    assert re.search("^ok ", printed, re.M)
