"""Commands of the README and the documents that want a place of their own: a clone, PostgreSQL, a hub, Docker's part.

Each is taken from its page and run as it stands there; what is put in another's place, each test says. Those that serve
go on until Ctrl-C, which then comes as from a terminal: to the command, and to all that it has started.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import yaml

from tests import fake_hub
from tests.databases import filled_at, write_files
from tests.documents import CLUSTER, HERE, blocks, look
from tests.postgres import Postgres, programs, running
from tests.program import until
from tests.server import ROOT, Server, free_port
from whisperx_api.jobs.tables import REVISION
from whisperx_api.models.alignment import BUNDLES
from whisperx_api.models.catalog import TRANSCRIPTION_MODELS

PROGRAMS = Path(sys.executable).parent
OWN = (".env", ".git", "build", "data")
"""What a clone has that is its owner's, or of this test run."""


def text_of(name: str) -> str:
    """Return a block's text, by its page and first line. It has been looked through."""
    (text,) = (block.text for block in blocks() if block.name == name)
    look(text)
    return text


def environment(**more: str) -> dict[str, str]:
    """Return a reader's environment. What `make test` hands on is not for a `make` of the reader's."""
    own = {name: value for name, value in os.environ.items() if not re.match("MAKE|MFLAGS$", name)}
    return own | {"PATH": f"{PROGRAMS}:{own['PATH']}"} | more


def run(script: str, folder: Path, environment: dict[str, str], seconds: float = 240) -> str:
    """Run a script to its end, and return what it prints. Fails where it does."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Going:
    """A script that is at work."""

    process: subprocess.Popen[str]
    log: Path

    def until(self, true: Callable[[], object]) -> None:
        """Wait until something is so; the script must go on."""

        def now() -> object:
            assert self.process.poll() is None, self.log.read_text()
            with suppress(httpx.TransportError):
                return true()
            return None

        until(now, 240)


@contextmanager
def going(script: str, folder: Path, environment: dict[str, str], typed: str = "") -> Iterator[Going]:
    """Run a script that goes on until Ctrl-C, with what is typed first. In the end nothing of it must be left."""
    log = folder / "said"
    with log.open("w") as said, subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background may ignore it
    ) as process:  # fmt: skip
        try:
            assert process.stdin is not None
            process.stdin.write(typed)
            process.stdin.flush()
            yield Going(process, log)
            started = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
            _, left = psutil.wait_procs(started, 10)
            assert left == [], log.read_text()
            assert "Traceback" not in log.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


# --- make ---


@dataclass(frozen=True)
class Clone:
    """A clone of this repository in which all is made that `make setup` and `make test` make."""

    folder: Path
    port: int
    environment: dict[str, str]

    def get(self, path: str, port: int | None = None, **headers: str) -> httpx.Response:
        """Ask what is served."""
        return httpx.get(f"http://127.0.0.1:{port or self.port}{path}", headers=headers, follow_redirects=True)


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
LINES = [line for name in BEGINNINGS for line in text_of(name).splitlines()]


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
        assert key == (clone.folder / "data" / "api_key").read_text().strip()
        assert clone.get("/", Accept="text/html").headers["content-type"].startswith("text/html")
        at = f"/api/v1/transcribe/result/{task}"
        tried.until(lambda: clone.get(at, **{"X-API-Key": key}).status_code == 200)
        assert len(clone.get(at, **{"X-API-Key": key}).json()["speakers"]) == 2


def see_transcript(clone: Clone, line: str) -> None:
    """A labelled transcript is printed."""
    printed = run(line, clone.folder, clone.environment)
    assert set(re.findall(r"^\[00:\d\d\.\d → 00:\d\d\.\d\] (\w+): \w", printed, re.M)) == {"SPEAKER_00", "SPEAKER_01"}


def see_service(clone: Clone, line: str) -> None:
    """The service answers, and takes the key that it has written where the page says."""
    with going(line, clone.folder, clone.environment) as served:
        served.until(lambda: clone.get("/health").status_code == 200)
        key = (clone.folder / "data" / "api_key").read_text().strip()
        assert clone.get("/api/v1/transcribe/tasks", **{"X-API-Key": key}).json()["tasks"] == []


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
