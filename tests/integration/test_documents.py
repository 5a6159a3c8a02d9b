"""Every block of code in the README and the documents, run as it stands there, or looked at as far as it can be.

Commands are run against a server, all those of a page as one script, in a folder with `meeting.wav` and the server's
key. What can't be run is in `NOT_RUN`, with the reason; it is a script, and what it names of this repository is there.
A block for which nothing is said here fails.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from docsite.repository import leading_out
from tests.commands import Faulty, look
from tests.conftest import KEY
from tests.documents import HERE, Block, blocks, blocks_of, differences, pages
from tests.proxies import check_caddy, check_nginx
from tests.receiver import Receiver, eventually, receiving
from tests.server import ROOT, Server
from tests.units import verify_drop_in
from whisperx_api.metrics import Metrics
from whisperx_api.settings import Settings, load_settings

DOCKER = "needs Docker; tests/unit/test_docker.py and test_manifests.py act out what its files say"
ROOTS = "needs root, and changes the machine; tests/unit/test_units.py has the units checked"
ITSELF = "is this very run, or what CI does beside it"

NOT_RUN: Mapping[str, str] = {
    "README.md: docker compose up --detach": DOCKER,
    "README.md: docker compose --file docker-compose.cluster.yml up --detach --scale a": DOCKER,
    "docs/contributing.md: make test": ITSELF,
    "docs/docker.md: docker run --detach --init --gpus all --shm-size 1g --stop-timeout 120":
        DOCKER,
    "docs/docker.md: git pull": DOCKER,
    "docs/quick-start.md: docker compose --file docker-compose.cpu.yml up --detach": DOCKER,
    "docs/scaling.md: kubectl apply -f my-secret.yaml -f config.yaml":
        "needs Kubernetes; tests/unit/test_manifests.py holds the manifests against its schemas",
    "docs/systemd.md: make page": ROOTS,
    "docs/systemd.md: journalctl --unit whisperx-api --follow": ROOTS,
    "docs/systemd.md: install -D --mode=0640 --group=whisperx worker.env /etc/whisperx-api/w": ROOTS,
    "docs/systemd.md: git pull": ROOTS,
}  # fmt: skip
"""Commands that are only looked at, by page and first line, and why."""
ALONE: Mapping[str, str] = {
    "README.md: make try": "test_make",
    "docs/contributing.md: make docs": "test_make_docs",
    "docs/contributing.md: make test TESTS=tests/unit/test_subtitles.py": "test_make_test_runs_a_part_of_the_tests",
    "docs/docker.md: cat >> .env <<END": "test_cluster_has_its_secrets_and_a_key",
    "docs/docker.md: docker compose exec whisperx-api cat /data/api_key": "test_key_is_printed_and_a_recording_sent",
    "docs/docker.md: docker compose run --rm whisperx-api doctor": "test_doctor_looks_at_the_container",
    "docs/docker.md: docker compose run --rm whisperx-api models pull large-v2":
        "test_models_are_fetched_before_the_first_task",
    "docs/models.md: export HF_TOKEN=hf_…": "test_full_models_are_fetched",
    "docs/operations.md: pip install '.[cluster]'": "test_service_on_postgres_is_begun_and_moved_to",
    "docs/operations.md: whisperx-api db migrate-to postgresql+psycopg://whisperx:PASSWORD@db.e":
        "test_service_on_postgres_is_begun_and_moved_to",
    "docs/operations.md: whisperx-api db restore /backups/2026-03-01.tar": "test_restore",
    "docs/quick-start.md: make demo": "test_make",
    "docs/quick-start.md: make serve": "test_make",
    "docs/quick-start.md: make try": "test_make",
}  # fmt: skip
"""Commands that have a test of their own, for they want another folder or another state than the rest of their page.

It is here, or in `test_commands.py`.
"""
DRAWINGS = frozenset({
    "docs/architecture.md: decode ──> transcribe ──> align ──> assign",
    "docs/scaling.md:  clients ──> proxy ──> servers ──┐                      ┌── workers ──",
})  # fmt: skip
"""Blocks of text in which there is nothing to be run."""

GUIDES = frozenset({"docs/command-line.md", "docs/python-client.md"})
"""Pages all of whose blocks `test_guides.py` runs."""

EVERY = [block for block in blocks() if block.page not in GUIDES]


def of(language: str) -> list[Block]:
    return [block for block in EVERY if block.language == language]


def run_here(block: Block) -> bool:
    """Whether a block of commands is run with its page."""
    return block.language == "bash" and block.name not in NOT_RUN and block.name not in ALONE


# --- nothing slips through ---


def test_every_block_is_checked() -> None:
    known = {"bash", "python", "javascript", "json", "env", "promql", "nginx", "caddyfile", "yaml", "ini", "text"}
    assert [str(block) for block in EVERY if block.language not in known] == []
    assert [str(block) for block in of("text") if block.name not in DRAWINGS] == []
    assert [str(block) for block in of("json") if block.name not in ANSWERS] == []
    assert [str(block) for block in of("yaml") if block.name not in TRAEFIK] == []
    assert [str(block) for block in of("python") if block.name not in PROGRAMS] == []


def test_nothing_is_listed_that_is_not_there_any_more() -> None:
    names = [block.name for block in EVERY]
    for listed in (NOT_RUN, ALONE, DRAWINGS, ANSWERS, TRAEFIK, PROGRAMS):
        assert [name for name in listed if names.count(name) != 1] == []
    elsewhere = (ROOT / "tests" / "integration" / "test_commands.py").read_text()
    for block, test in ALONE.items():
        assert test in globals() or (f"\ndef {test}(" in elsewhere and f'"{block}"' in elsewhere), block


def test_block_without_a_language_is_seen() -> None:
    (block,) = blocks_of("Text.\n\n```\nrm -rf /\n```\n", "page.md")
    assert (block.language, block.name) == ("", "page.md: rm -rf /")
    with pytest.raises(AssertionError, match="has no end"):
        list(blocks_of("```bash\ntrue\n", "page.md"))
    with pytest.raises(AssertionError, match=r"page\.md:1"):
        list(blocks_of('```bash title="x"\ntrue\n```\n', "page.md"))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_the_repository_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    here = page.parent
    for target in re.findall(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)", text):
        assert (here / target).exists(), target
    if here.is_relative_to(ROOT / "docs"):
        assert all((ROOT / path).exists() for path in leading_out(text, str(page.relative_to(ROOT / "docs"))))


# --- run ---


@dataclass(frozen=True)
class Desk:
    """Where a reader sits: a server that runs, a folder with a recording and the server's key, and a completed task."""

    server: Server
    folder: Path
    receiver: Receiver
    task: str
    model_dir: Path

    def here(self, text: str) -> str:
        """Return commands or a program with this desk's places in it."""
        for theirs, ours in {
            HERE: f"http://127.0.0.1:{self.server.port}", ".venv/bin/": "", "/backups/": f"{self.folder}/backups/",
            "https://example.org/transcribed": f"{self.receiver.url}/transcribed", "the key in data/api_key": KEY,
        }.items():  # fmt: skip
            text = text.replace(theirs, ours)
        return text

    def run(self, command: list[str], **environment: str) -> str:
        """Run a program in the folder, and return what it prints. Fails where it does."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """What a reader's shell has, before a page sets anything."""
        machine = {name: value for name, value in os.environ.items() if name not in ("KEY", "TASK")}
        return machine | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MODEL_DIR": str(self.model_dir),
            "DIARIZATION_MODEL": "starter", "ALIGN_MODEL": "attention", "PORT": str(self.server.port),
        }  # fmt: skip

    def set_before(self, page: str) -> dict[str, str]:
        """What the reader has set by another page before this one."""
        return {name: {"KEY": KEY, "TASK": self.task}[name] for name in SET_BEFORE.get(page, ())}


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, sample_dir: Path, starter_server: Callable[..., Server]
) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("reader")
    shutil.copy(sample_dir / "sample.wav", folder / "meeting.wav")
    (folder / "backups").mkdir()
    server = starter_server(
        folder, model_dir, fake=True, outgoing_allow="127.0.0.1", webhook_retry_seconds=0.05, log_format="json"
    )
    with receiving(Receiver()) as receiver:
        server.start()
        (folder / "data" / "api_key").write_text(f"{KEY}\n")
        task = server.upload(folder / "meeting.wav")
        server.wait(task)
        yield Desk(server, folder, receiver, task, model_dir)
        server.kill()


@pytest.mark.parametrize("page", dict.fromkeys(block.page for block in EVERY if run_here(block)))
def test_commands_of_a_page(desk: Desk, page: str) -> None:
    there = [block for block in EVERY if block.page == page and run_here(block)]
    marked = "".join(f"echo '>>> line {block.line}'\n{block.text}\n" for block in there)
    for command, folder in ON_ANOTHER_MACHINE.get(page, {}).items():
        marked = marked.replace(command, f"MODEL_DIR={desk.folder / folder} {command}")
    printed = desk.run(["bash", "-euo", "pipefail", "-c", desk.here(marked)], **desk.set_before(page))
    assert printed.count(">>> line ") == len(there)
    for told in TOLD.get(page, ()):
        assert re.search(told, printed, re.MULTILINE), f"{told} in {printed}"


SET_BEFORE: Mapping[str, tuple[str, ...]] = {
    "docs/webhooks.md": ("KEY", "TASK"),  # as in the API by example: a webhook is for who has sent a recording before
}
"""The variables that pages use and do not set."""
ON_ANOTHER_MACHINE: Mapping[str, Mapping[str, str]] = {
    "docs/models.md": {"whisperx-api models pull starter --from starter-models.zip": "without-models"},
}
"""Commands for a machine that has no models yet, and what folder they go to."""


def test_only_pages_that_set_no_key_get_one(desk: Desk) -> None:
    with pytest.raises(AssertionError, match="KEY: unbound variable"):
        desk.run(["bash", "-euc", "echo $KEY"])
    for page, names in SET_BEFORE.items():
        text = "".join(block.text for block in EVERY if block.page == page and run_here(block))
        assert all(f"${name}" in text and f"{name}=" not in text for name in names), page


RESULT = r'\{"task_id":"[^"]+".*"segments":\[\{.*"words":\[\{.*\}'
"""A transcript as it is in JSON, without a line's end."""
TOLD: Mapping[str, tuple[str, ...]] = {
    "README.md": (r'"status":"pe|"status":"pr|"status":"co', rf"^event: completed\ndata: .*\n\n{RESULT}>>> line",
                  "^WEBVTT", '"name":"Katie"', r"^\[00:00\.0 → "),
    "docs/api.md": ("^event: completed", '"url":"/api/v1/transcribe/audio/', '"samples_per_pixel":', "^WEBVTT",
                    "^SPEAKER meeting 1 ", '"name":"Katie"', '"param":"language"'),
    "docs/quick-start.md": ("^event: completed", f"^{RESULT}1$", "^00:00:00,000 --> ", r"^\[00:00\.0 → "),
    "docs/keys.md": (r"^wxa_[0-9a-f]{12}_[\w-]{43}$", "^ID +NAME", "is revoked"),
    "docs/operations.md": (r"\.db holds \d+ tasks, without their files", r"\.tar holds \d+ tasks with \d+ files"),
    "docs/models.md": ("^starter\t", "^starter: all files are sound", r"^starter-models\.zip holds the starter models",
                       r"^starter is in /.*/without-models/starter\.$"),
    "docs/migrating/openai.md": ("^Hello there", '"status":'),
    "docs/migrating/speaches.md": ("^Hello there",),
    "docs/migrating/whisper-asr-webservice.md": ("^00:00:00,000 --> ",),
    "docs/migrating/whisper-cpp.md": ('"language":"english"',),
    "docs/migrating/faster-whisper-server.md": ('"text":"Hello there',),
    "docs/webhooks.md": ('"secret":"whsec_',),
    "docs/reverse-proxy.md": ("transcript.text.delta", "transcript.text.done"),
    "docs/configuration.md": ("The starter models are here|WHISPER_MODEL=starter is in",),
}  # fmt: skip
"""What commands of a page print, beside ending well."""


def test_restore(desk: Desk, tmp_path: Path) -> None:
    (block,) = (block for block in EVERY if ALONE.get(block.name) == "test_restore")
    backup = tmp_path / "2026-03-01.tar"
    desk.run(["whisperx-api", "db", "backup", str(backup), "--with-files"])
    script = block.text.replace("/backups/2026-03-01.tar", str(backup))
    printed = desk.run(["bash", "-euo", "pipefail", "-c", script], DATA_DIR=str(tmp_path / "new"))
    assert "are restored to" in printed and "is whole, and the files of its tasks are there." in printed


PROGRAMS: Mapping[str, str] = {
    "README.md: from pathlib import Path": r"^\s+\d+\.\d\d  SPEAKER_00: Hello there\.",
    "README.md: from openai import OpenAI": r"^\s+\d+\.\d\d  A: Hello there\.",
    "docs/webhooks.md: import os": "",
}
"""What each program in Python prints."""


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_program_in_python(desk: Desk, block: Block) -> None:
    printed = desk.run([sys.executable, "-c", desk.here(block.text)], WEBHOOK_SECRET="whsec_x")
    assert re.search(PROGRAMS[block.name], printed, re.MULTILINE)


@pytest.mark.parametrize("block", of("javascript"), ids=str)
def test_program_in_javascript(desk: Desk, block: Block) -> None:
    program = desk.folder / "program.mjs"
    program.write_text(desk.here(block.text))
    assert desk.run([str(Path(sys.executable).parent / "node"), str(program)]) == "Hello there.\n"


def test_signature_is_checked_as_the_page_on_webhooks_says(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (block for block in of("python") if block.page == "docs/webhooks.md")
    page: dict[str, Any] = {}
    exec(block.text, page)  # noqa: S102  # it is what readers are told to copy
    message = delivered(desk)
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    assert page["message_of"](message.body, message.headers)["type"] == "transcription.completed"
    assert page["message_of"](message.body + b" ", message.headers) is None


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def delivered(desk: Desk) -> Any:
    """Have a message delivered, and return the request that brought it."""
    before = len(desk.receiver.requests)
    made = desk.server.client.post(
        "/v1/webhooks", json={"task_id": desk.task, "url": f"{desk.receiver.url}/told", "secret": SECRET}
    )
    assert made.status_code == 201, made.text
    return eventually(lambda: [each for each in desk.receiver.requests[before:] if each.path == "/told"])[0]


# --- only looked at ---


@pytest.mark.parametrize("block", [block for block in EVERY if block.name in {**NOT_RUN, **ALONE}], ids=str)
def test_commands_that_are_not_run_with_their_page_are_looked_at(block: Block) -> None:
    look(block.text)


@pytest.mark.parametrize(
    "script",
    [
        "make demos", "make demo VOICE=x", "docker compose up whisperx", "docker compose --file docker-compose.cpu.yml "
        "exec api whisperx-api keys list", "docker compose run --rm whisperx-api model pull starter",
        "docker compose exec whisperx-api whisperx-api db backups x", "docker compose up --scale apis=3",
        "whisperx-api keys create --nam x", "whisperx-api serves", "kubectl apply -f configs.yaml",
        "kubectl wait --for=condition=complete job/whisperx-migrates", "systemctl enable --now whisperx",
        "install --mode=0644 deploy/systemd/x.service /etc", "docker run x whisperx-api:latest workers",
        "pip install 'whisperx-api[gpu]'", "pip install --requirement requirements/all.txt",
        "if true; then", "frobnicate", "whisperx-api models pull", "whisperx-api keys create",
        "whisperx-api keys create --name x -x", "whisperx-api db migrate-to", "whisperx-api serve extra words",
        "whisperx-api models pull large-v9", "whisperx-api models pull x --from y", "whisperx-api keys create --name x "
        "--scopes everything", "whisperx-api keys create --name x --expires tomorrow", "whisperx-api --versions",
        "whisperx-api serve --port eighty", "whisperx-api db migrate-to mysql://x", "whisperx-api models pack base",
        "whisperx-api transcribe", "docker compose up --detatch --no-such-flag", "docker compose up --scaled api=3",
        "docker compose up --scale api", "docker compose uq", "docker compose exec whisperx-api", "docker ps --no-such",
        "docker compose exec whisperx-api whisperx-api keys create", "docker compose run --rm whisperx-api models pull",
        "docker run --no-such --priviledged whisperx-api:latest worker", "docker run whisperx-api:l worker",
        "docker run whisperx-api:latest worker --devise cuda", "docker compose exec api whisperx-api keys list",
        "export COMPOSE_FILE=docker-compose.cluster.yml\ndocker compose exec whisperx-api whisperx-api keys list",
        "export COMPOSE_FILE=docker-compose.gpu.yml", "export WHISPER_MODELS=x", "export PORT=eighty",
        "kubectl aply -f config.yaml", "kubectl apply config.yaml", "kubectl wait --timout=1s job/whisperx-migrate",
        "kubectl wait --for=condition=complete --timeout=soon job/whisperx-migrate", "kubectl delete pod x",
        "kubectl exec deploy/whisperx-api -- whisperx-api keys create", "kubectl exec deploy/whisperx-apis -- cat x",
        "systemctl frobnicate --now whisperx-api", "systemctl daemon-reload whisperx-api", "systemctl edit whisperx",
        "systemd-run --pipes /opt/whisperx-api/bin/whisperx-api doctor", "journalctl --unit whisperx",
        "systemd-run --pipe /opt/whisperx-api/bin/whisperx-api doctors", "git pul", "git pull --every",
        "useradd --no-such-flag x", "useradd --system", "createuser --password-prompt x", "createdb --owners x x",
        "install -X .env.example /etc", "install .env.example", "curl http://localhost:9999/no/such/path",
        "curl http://127.0.0.1:8000/api/v1/transcribe/upload", "curl -X DELETE http://127.0.0.1:8000/health",
        "curl --no-such http://127.0.0.1:8000/health", "pip install 'whisperx-api[cluster]'", "pip install x",
        "pip install '.[gpu]'", "pip install", "pip instal .", "pip install --deps .", "python -m bench.speed",
        "python -m bench.queue --no-such", "python -m tests.server", "python3 -m venvs x", "python3 -c 'if'",
        "npm --prefix web run devel", "npm --prefix page run dev", "source .venv/bin/deactivate", "make try DATA=x",
        "curl http://127.0.0.1:9999/health", "WHISPER_MODELS=x whisperx-api doctor", "docker run --detach",
        "COMPOSE_FILE=none.yml docker compose up", "cat x; frobnicate", "cat 'x\ny'\nfrobnicate",
        "cat <<END\n$(frobnicate)\nEND\n", "cat $(frobnicate)",
    ],
)  # fmt: skip
def test_command_that_names_what_is_not_there_is_seen(script: str) -> None:
    with pytest.raises(Faulty):
        look(script)


# --- configuration ---


@pytest.mark.parametrize("block", of("env"), ids=str)
def test_settings_can_be_set(block: Block) -> None:
    values = dict(line.split("=", 1) for line in block.text.splitlines() if line)
    assert values and values.keys() <= {name.upper() for name in Settings.model_fields}
    load_settings(**{name.lower(): value for name, value in values.items()})


@pytest.mark.parametrize("block", of("promql"), ids=str)
def test_metrics_that_are_asked_for_are_there(block: Block) -> None:
    told = set(re.findall(rb"^# TYPE (\w+) ", Metrics().text(), re.MULTILINE))
    asked = set(re.findall(r"\bwhisperx_\w+", block.text))
    assert asked and asked <= {name.decode() for name in told} | {"whisperx_queue_depth", "whisperx_active_tasks"}
    assert block.text.count("(") == block.text.count(")")


@pytest.mark.parametrize("block", of("nginx"), ids=str)
def test_nginx_takes_its_configuration(block: Block, tmp_path: Path) -> None:
    check_nginx(block.text, tmp_path)


@pytest.mark.parametrize("block", of("caddyfile"), ids=str)
def test_caddy_takes_its_configuration(block: Block, tmp_path: Path) -> None:
    check_caddy(block.text, tmp_path)


@pytest.mark.parametrize("block", of("ini"), ids=str)
def test_systemd_takes_its_configuration(block: Block, tmp_path: Path) -> None:
    verify_drop_in("whisperx-api.service", block.text, tmp_path)


TRAEFIK: Mapping[str, str] = {
    "docs/reverse-proxy.md: entryPoints:": "static",
    "docs/reverse-proxy.md: http:": "dynamic",
}


def test_parts_of_traefik_s_configuration_fit_together() -> None:
    parts = {TRAEFIK[block.name]: yaml.safe_load(block.text) for block in of("yaml")}
    (name, entry), = parts["static"]["entryPoints"].items()  # fmt: skip
    hours = entry["transport"]["respondingTimeouts"]["readTimeout"]
    assert int(hours.removesuffix("h")) * 3600 == Settings.model_fields["upload_timeout_seconds"].default
    (router,) = parts["dynamic"]["http"]["routers"].values()
    assert router["entryPoints"] == [name] and router["tls"] == {}
    (server,) = parts["dynamic"]["http"]["services"][router["service"]]["loadBalancer"]["servers"]
    assert server == {"url": HERE}


# --- JSON ---


def usage(desk: Desk) -> Any:
    return desk.server.client.get("/api/v1/usage").json()


def message(desk: Desk) -> Any:
    return json.loads(delivered(desk).body)


def line_of_the_log(desk: Desk) -> Any:
    lines = [json.loads(line) for line in desk.server.log.read_text().splitlines() if line.startswith("{")]
    return next(line for line in lines if "is received" in line["event"])


def refusal(desk: Desk) -> Any:
    with (desk.folder / "meeting.wav").open("rb") as file:
        answer = desk.server.client.post(
            "/api/v1/transcribe/upload", files={"file": file}, data={"language": "klingon"}
        )
    assert answer.status_code == 400
    return answer.json()


ANSWERS: Mapping[str, Callable[[Desk], Any]] = {
    'docs/keys.md: {"from": "2026-03-01", "to": "2026-03-31",': usage,
    'docs/webhooks.md: {"type": "transcription.completed", "timestamp": "2026-03-01T12:00:00.': message,
    'docs/monitoring.md: {"time": "2026-03-01T09:30:00.123+00:00", "level": "info", "logger": "': line_of_the_log,
    'docs/api.md: {"type": "about:blank", "title": "Bad Request", "status": 400,': refusal,
}
"""What the server says, for each piece of JSON."""
WORD_FOR_WORD = (refusal,)
"""What the server says the same each time."""


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json_is_what_the_server_says(desk: Desk, block: Block) -> None:
    documented, said = json.loads(block.text), ANSWERS[block.name](desk)
    assert list(differences(documented, said)) == []
    if ANSWERS[block.name] in WORD_FOR_WORD:
        assert documented == said


def test_difference_in_json_is_seen() -> None:
    assert list(differences({"a": 1, "b": [{"c": None}]}, {"a": 2.5, "b": [{"c": "x"}, 1]})) == []
    assert list(differences({"a": [1]}, {"a": ["1"]})) == [".a[0] is float in the document, and str"]
    assert list(differences({"a": 1}, {"b": 1})) == [".a is only in the document", ".b is not in the document"]


@pytest.mark.parametrize(
    ("page", "endpoint", "fields"),
    [
        ("openai", "transcriptions", {"model": "whisper-9"}),
        ("openai", "transcriptions", {"model": "whisper-1", "timestamp_granularities[]": "word"}),
        ("openai", "transcriptions", {"model": "whisper-1", "best_of": "5"}),
        ("whisper-asr-webservice", "transcriptions", {}),
        ("speaches", "transcriptions", {"model": "whisper-1", "hotwords": "Ceph"}),
        ("speaches", "transcriptions", {"model": "whisper-1", "without_timestamps": "true"}),
        ("faster-whisper-server", "transcriptions", {"model": "whisper-1", "vad_filter": "true"}),
        ("faster-whisper-server", "translations", {"model": "whisper-1", "stream": "true"}),
        ("whisper-cpp", "transcriptions", {"model": "whisper-1", "temperature_inc": "0.2"}),
        ("whisper-cpp", "transcriptions", {"model": "whisper-1", "tinydiarize": "true"}),
    ],
)
def test_what_a_guide_says_is_not_taken_is_a_400(desk: Desk, page: str, endpoint: str, fields: dict[str, str]) -> None:
    guide = (ROOT / "docs" / "migrating" / f"{page}.md").read_text()
    assert "400" in guide or "required" in guide
    with (desk.folder / "meeting.wav").open("rb") as file:
        answer = desk.server.client.post(f"/v1/audio/{endpoint}", files={"file": file}, data=fields)
    assert answer.status_code == 400, answer.text
    last = list(fields)[-1] if fields else "model"
    assert answer.json()["error"]["param"] == last.removesuffix("[]")


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "gpt-4o-transcribe-2025-03-20", "language": "german", "keywords[]": "Ceph"},
        {"model": "gpt-transcribe", "languages[]": "en", "chunking_strategy": "auto", "include[]": "logprobs"},
        {"model": "whisper-1", "response_format": "diarized_json"},
    ],
)
def test_what_a_guide_says_is_taken_is(desk: Desk, fields: dict[str, str]) -> None:
    with (desk.folder / "meeting.wav").open("rb") as file:
        answer = desk.server.client.post("/v1/audio/transcriptions", files={"file": file}, data=fields)
    assert answer.status_code == 200 and answer.json()["text"] == "Hello there.", answer.text
