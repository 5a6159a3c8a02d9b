"""What stands as code in the sentences and tables of the documents: commands, settings, defaults and addresses."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import DEFAULT, FORMS, Faulty, has_endpoint, is_beginning, look
from tests.documents import pages, spans
from tests.own_commands import flags_of_the_program
from tests.server import ROOT
from whisperx_api.cli import COMMANDS
from whisperx_api.env_example import text_of
from whisperx_api.models import names
from whisperx_api.models.catalog import STARTER, TRANSCRIPTION_MODELS
from whisperx_api.settings import GIB, Settings, load_settings

READ = [*pages(), ROOT / "requirements" / "README.md"]
SETTINGS = frozenset(name.upper() for name in Settings.model_fields)

each_page = pytest.mark.parametrize("page", READ, ids=lambda page: str(page.relative_to(ROOT)))


def ours(page: Path) -> str:
    """Return what a page says of this service: of tables on who comes from elsewhere, the last cell."""
    lines = page.read_text().splitlines()
    return "\n".join(
        line.rpartition(" | ")[2] if page.parent.name == "migrating" and line.startswith("| ") else line
        for line in lines
    )


# --- commands ---

PROGRAMS = (
    "make", "whisperx-api", "docker", "kubectl", "systemctl", "systemd-run", "journalctl", "python", "python3", "pip",
    "npm", "git", "curl", "cat", "chown", "source", "export", "openssl", "createuser", "createdb", "useradd", "install",
    "sudo", "apt", "apt-get", "uv", "npx", "node", "psql", "pg_dump", "pytest", "ruff", "pyright", "rm", "mkdir", "cp",
)  # fmt: skip
"""What a command begins with. A name alone is no command."""
THEIRS = frozenset({
    'curl -F audio_file=@meeting.wav "http://127.0.0.1:9000/asr?output=srt"',
    "curl -F file=@meeting.wav -F response_format=verbose_json http://127.0.0.1:8080/inference",
})  # fmt: skip
"""Commands of the services that a reader comes from."""


def commands_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands in a page's sentences, each with the text before it; `a|b` stands for two."""
    for span, before in spans(text):
        words = re.sub(r"^([A-Z_]+=\S* )+", "", span).split()
        program = words[0].removeprefix(".venv/bin/") if words else ""
        if len(words) < 2 or span in THEIRS:
            continue
        if program in COMMANDS and re.fullmatch(r"[a-z-]+(\|[a-z-]+)*", words[1]):
            span = f"whisperx-api {span}"
        elif program not in PROGRAMS:
            continue
        choices = next((word for word in span.split() if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word)), None)
        for choice in choices.split("|") if choices else [""]:
            yield span.replace(choices or "", choice) if choices else span, before


@each_page
def test_commands_in_sentences_name_what_is_there(page: Path) -> None:
    assert list(faults_in(page.read_text())) == []


def faults_in(text: str) -> Iterator[str]:
    """Yield what is wrong with the commands in a page's sentences."""
    for command, before in commands_in(text):
        composed = (DEFAULT, *re.findall(r"COMPOSE_FILE=([\w.-]+)", before))
        try:
            look(command.replace("pull NAME", "pull OWNER/NAME"), composed, whole=False)
        except Faulty as fault:
            yield f"{command}: {fault}"


def test_every_wrong_command_of_a_page_is_told_of() -> None:
    stop = "`docker compose stop api`"
    text = f"`make x`, {stop}, then `export COMPOSE_FILE=docker-compose.cluster.yml` and {stop}"
    assert [fault.partition(":")[0] for fault in faults_in(text)] == ["make x", "docker compose stop api"]


def test_commands_in_sentences_are_found() -> None:
    text = "`make x`\n```bash\nmake y\n```\n`whisperx-api a|b`, `.venv/bin/pip install\nz`, `make` or `models pull`."
    found = ["make x", "whisperx-api a", "whisperx-api b", ".venv/bin/pip install z", "whisperx-api models pull"]
    assert [command for command, _ in commands_in(text)] == found
    assert sum(len(list(commands_in(page.read_text()))) for page in READ) > 100
    (pair,) = commands_in("```bash\nexport COMPOSE_FILE=a.yml\n```\nand `docker compose ps`")
    assert pair == ("docker compose ps", "```bash\nexport COMPOSE_FILE=a.yml\n```\nand ")


@pytest.mark.parametrize(
    "command",
    [
        "make trie AUDIO=x", "whisperx-api key", "whisperx-api db upgrades", "whisperx-api models pulls …",
        "whisperx-api transcribe meeting.wav --outputs x", "whisperx-api keys create --scope", "python -m bench.speed",
        ".venv/bin/python -m docsite.chek build/site", "docker compose stop api", "docker ps x",
        "systemctl edit worker", "npm --prefix web run devs", "pip install 'whisperx-api[engine]'", "kubectl get pods",
        "whisperx-api transcribe meeting.wav --json --format srt", "whisperx-api models pull base.fr",
    ],
)  # fmt: skip
def test_wrong_command_in_a_sentence_is_seen(command: str) -> None:
    ((found, _),) = commands_in(f"Say `{command}`.")
    with pytest.raises(Faulty):
        look(found, whole=False)


@pytest.mark.parametrize(
    "command",
    [
        "whisperx-api keys create",
        "whisperx-api keys …",
        "whisperx-api keys create --scopes",
        "docker compose …",
        "docker run --gpus all",
        "kubectl wait",
        "curl -N",
    ],
)
def test_command_that_is_named_in_a_sentence_need_not_be_whole(command: str) -> None:
    look(command, whole=False)
    with pytest.raises(Faulty):
        look(command)


THEIR_FLAGS = frozenset({"--inference-path"})
"""Flags of the services that a reader comes from."""


@each_page
def test_flags_that_stand_alone_are_those_of_some_command(page: Path) -> None:
    known = {flag.rstrip("=") for form in FORMS.values() for flag in form.split() if flag.startswith("--")}
    known |= flags_of_the_program()
    named = {flag for span, _ in spans(ours(page)) if span.startswith("--") for flag in re.findall(r"--[a-z-]+", span)}
    assert sorted(named - known - THEIR_FLAGS) == []


HELP = {"curl": ("--help", "all"), "git": ("-h",)}
"""How programs are asked for all of their flags, where that is not by `--help`."""
UNASKED = ("docker compose", "npm")
"""Programs whose help is not there without a plugin, or lacks the flags that all of their commands take."""


def test_forms_are_those_of_the_programs_that_are_on_this_machine() -> None:
    asked = 0
    for name, form in FORMS.items():
        program, *command = name.split()
        if shutil.which(program) is None or name.startswith(UNASKED):
            continue
        done = subprocess.run([*name.split(), *HELP.get(program, ("--help",))], capture_output=True, text=True,
                              timeout=20, check=False, stdin=subprocess.DEVNULL)  # fmt: skip
        told = done.stdout + done.stderr
        flags = [flag.rstrip("=") for flag in form.replace("-sS", "-s -S").split() if re.match("--?[a-zA-Z]", flag)]
        assert [word for word in (*command, *flags) if word not in told] == [], name
        asked += 1
    assert asked > 5


# --- settings ---

OF_OTHERS = frozenset({
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL", "COMPOSE_FILE", "CPU_LIMIT", "GPUS",
    "MEMORY_LIMIT", "FORWARDED_ALLOW_IPS", "HF_HUB_OFFLINE", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER", "SQLITE_FULL", "WAV2VEC2_ASR_BASE_960H", "XDG_CACHE_HOME", "TMPDIR", "PGPASSWORD",
    "HTTPS_PROXY",
})  # fmt: skip
"""Names in capitals that Docker's files, libraries and models have."""
WORDS = frozenset({"GET", "POST", "PATCH", "DELETE", "LISTEN", "NOTIFY", "VACUUM", "SIGTERM", "PDEATHSIG", "A", "B"})
"""Words in capitals that name nothing to be set: methods, PostgreSQL's commands, signals, speakers."""


def names_in_the_code(page: str) -> set[str]:
    """Return the constants of the service, of the files that a page names, and the command line's variables."""
    files = [
        *(ROOT / "whisperx_api").rglob("*.py"),
        *(ROOT / name for name in re.findall(r"`(tests/[\w/]+\.py)`", page)),
    ]
    code = "".join(path.read_text() for path in files)
    shown = "".join((ROOT / name).read_text() for name in re.findall(r"\(\.\./(web/src/[\w/]+\.tsx?)\)", page))
    return {
        *re.findall(r"^([A-Z][A-Z_]+)\b(?=.* = )", code, re.MULTILINE), *re.findall(r'envvar="(\w+)"', code),
        *re.findall(r"^const ([A-Z][A-Z_]+) = ", shown, re.MULTILINE),
    }  # fmt: skip


@each_page
def test_names_in_capitals_are_settings_or_in_the_code(page: Path) -> None:
    assert sorted(names_in(ours(page)) - SETTINGS - OF_OTHERS - WORDS - names_in_the_code(page.read_text())) == []


@each_page
def test_what_is_to_be_set_is_a_setting(page: Path) -> None:
    assert sorted(to_be_set_in(ours(page)) - SETTINGS - OF_OTHERS) == []


def names_in(text: str) -> set[str]:
    """Return the names in capitals of a page's sentences: all with an underscore, and those that stand alone."""
    found: set[str] = set()
    for span, _ in spans(text):
        found |= set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", span))
        found |= set(re.findall(r"^[A-Z][A-Z0-9]*$", span))
    return found


def to_be_set_in(text: str) -> set[str]:
    """Return what is set as `NAME=value`, and the names that rows of tables begin with."""
    rows = "\n".join(re.findall(r"^\| ((?:`[A-Z0-9_]+`(?:, )?)+) \|", text, re.MULTILINE))
    return {*re.findall(r"`(\w+)`", rows), *(found[1] for span, _ in spans(text)
                                             if (found := re.fullmatch(r"([A-Z][A-Z0-9_]*)=\S*", span)))}  # fmt: skip


def test_unknown_name_is_seen() -> None:
    text = (
        "Say `PORTS`, `GET`, `--flag WHISPER_MODELS`, `DEVICE=cpu` or `DEVICES=cpu`.\n| `HOST`, `HOSTS` | `QUEUES` |\n"
    )
    assert names_in(text) == {"PORTS", "GET", "WHISPER_MODELS", "HOST", "HOSTS", "QUEUES"}
    assert to_be_set_in(text) == {"DEVICE", "DEVICES", "HOST", "HOSTS"}
    assert {"PORT", "QUEUE", "DEVICE", "AUTH"} <= set().union(*(to_be_set_in(ours(page)) for page in READ))


@each_page
def test_settings_in_sentences_can_be_set(page: Path) -> None:
    for name, value in settings_in(ours(page)):
        load_settings(**{name.lower(): value})


def settings_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield what sentences say can be set, as `NAME=value`."""
    for span, _ in spans(text):
        if (found := re.fullmatch(r"([A-Z][A-Z0-9_]*)=(\S*)", span)) and found[1] in SETTINGS:
            yield found[1], found[2].replace("…,", "").replace("…", "x")


def test_setting_that_can_not_be_set_is_found() -> None:
    ((name, value),) = settings_in("With `DEVICE=gpu`, and `GPUS=4`,")
    with pytest.raises(Exception, match="DEVICE=gpu can't be used"):
        load_settings(**{name.lower(): value})
    assert sum(len(list(settings_in(ours(page)))) for page in READ) > 50


WORDED = {
    "API_KEYS": "one is made", "ALLOWED_MODELS": "every size, `starter`", "WORKER_QUEUES": "all",
    "DIARIZATION_MODE": "`exact`; `fast` for `starter`", "COMPUTE_TYPE": "float16 on CUDA, int8 on CPU",
}  # fmt: skip
"""What tables say is done where a setting is left out that has no default."""


def defaults_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield each setting of a table that has a column `default`, with what stands there."""
    for header, rows in re.findall(r"^\|(.*\| default \|.*)\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE):
        titles = [title.strip() for title in header.split("|")]
        place = next((titles.index(title) for title in ("variable", "setting") if title in titles), None)
        for row in rows.splitlines() if place is not None else ():
            cells = [cell.strip() for cell in row[1:].split("|")]
            settings, said = re.findall(r"`([A-Z_]+)`", cells[place or 0]), cells[titles.index("default")]
            yield from zip(settings, said.split(", ") if len(settings) > 1 else [said], strict=True)


def is_default(name: str, said: str) -> bool:
    """Whether a setting is, unless it is set, what a table says in its words."""
    default = Settings.model_fields[name.lower()].default
    if default is None or default == ():
        return said == WORDED.get(name, "none")
    size = re.fullmatch(r"(\d+) GiB", said)
    return text_of(default) == (str(int(size[1]) * GIB) if size else said.removesuffix(" (keep)").strip("`"))


@pytest.mark.parametrize(("page", "least"), [("README.md", 30), ("docs/models.md", 3)])
def test_defaults_in_tables_are_those_of_the_settings(page: str, least: int) -> None:
    found = list(defaults_in((ROOT / page).read_text()))
    assert len(found) >= least
    assert [(name, said) for name, said in found if not is_default(name, said)] == []


def test_wrong_default_is_seen() -> None:
    table = "| variable | default | |\n|---|---|---|\n| `PORT`, `HOST` | 80, `127.0.0.1` | x |\n| `API_KEY` | x | |\n"
    assert [is_default(name, said) for name, said in defaults_in(table)] == [False, True, False]
    assert not is_default("MAX_FILE_SIZE", "1 GiB") and is_default("MAX_FILE_SIZE", "2 GiB")
    assert not is_default("ALLOWED_MODELS", "none")


def test_what_is_done_without_a_default_is_what_the_tables_say() -> None:
    assert names.allowed(Settings.model_construct()) == (*TRANSCRIPTION_MODELS, STARTER)


# --- addresses ---

OF_ALL = frozenset({"/docs", "/redoc", "/openapi.json"})
"""Addresses of the server that are not in its OpenAPI document."""
METHODS = "GET|POST|PUT|PATCH|DELETE"


def addresses_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the methods and paths that sentences and tables name; no method where any will do.

    What is listed behind a method, as in "`GET /a`, `/b`", is asked for by that method too.
    """
    for method, first, others in re.findall(rf"`({METHODS})\s+(/[^`\s]*)`((?:,\s+`/[^`\s]*`)*)", text):
        for path in (first, *re.findall(r"`([^`]+)`", others)):
            yield method, path.partition("?")[0]
    for span, _ in spans(text):
        if re.fullmatch(r"/(api|v1|health|ready|metrics)\b(/\S*)?", span):
            yield "", span.partition("?")[0]


def is_there(method: str, path: str, page: str = "") -> bool:
    """Whether the server has an address, or, without a method, any that begins with it.

    The page on the API by example has them without what all begin with.
    """
    if path in OF_ALL:
        return method in ("", "GET")
    begin = "/api/v1/transcribe" if page == "api.md" and path.count("/") < 4 and not path.startswith("/v1") else ""
    return has_endpoint(method, begin + path) or (not method and is_beginning(path))


@each_page
def test_addresses_in_sentences_are_those_of_the_server(page: Path) -> None:
    assert [each for each in set(addresses_in(ours(page))) if not is_there(*each, page.name)] == []


def test_wrong_address_is_seen() -> None:
    text = (
        "| `GET  /api/v1/no`, `/v1/model` | `/health`\n`POST /ready` `/v1/audio` `/v1/aud`\n`GET /usage?x=1` `/metric`"
    )
    found = list(addresses_in(text))
    assert [each for each in found if is_there(*each)] == [("", "/health"), ("", "/v1/audio")]
    assert [each for each in found if not is_there(*each)] == [
        ("GET", "/api/v1/no"), ("GET", "/v1/model"), ("POST", "/ready"), ("GET", "/usage"), ("", "/v1/model"),
        ("", "/v1/aud"),
    ]  # fmt: skip
    named = {address for page in READ for address in addresses_in(ours(page))}
    assert {("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"), ("GET", "/api/v1/workers")} <= named
    assert ("", "/ready") in named and ("POST", "/v1/audio/translations") in named
