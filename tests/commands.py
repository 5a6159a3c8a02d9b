"""How commands of the documents are looked at without being run: what they name is there, and their flags are too."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from docsite.api_page import document
from tests.own_commands import Faulty, cli, make, python
from tests.server import ROOT
from whisperx_api.settings import Settings, SettingsError, load_settings

FORMS: Mapping[str, str] = {
    "cat": "…",
    "chown": "OWNER FILE",
    "cp": "SOURCE TARGET",
    "createdb": "--owner= NAME",
    "createuser": "--pwprompt NAME",
    "curl": "-sS -N -H= -F= -X= -d= --fail-with-body --range= --output= URL",
    "docker": "…",
    "docker compose": "--file= …",
    "docker compose build": "…",
    "docker compose down": "--volumes",
    "docker compose exec": "SERVICE COMMAND",
    "docker compose logs": "…",
    "docker compose run": "--rm SERVICE COMMAND",
    "docker compose stop": "…",
    "docker compose up": "--detach --build --scale= …",
    "docker run": "--detach --init --gpus= --shm-size= --stop-timeout= --restart= --read-only --tmpfs= --cap-drop= "
    "--security-opt= --no-healthcheck --env-file= --volume= IMAGE COMMAND",
    "export": "…",
    "git": "…",
    "git pull": "",
    "install": "-D --mode= --group= SOURCE TARGET",
    "journalctl": "--unit= --follow",
    "kubectl": "…",
    "kubectl apply": "-f=",
    "kubectl delete": "--ignore-not-found KIND NAME",
    "kubectl exec": "TARGET -- COMMAND",
    "kubectl wait": "--for= --timeout= TARGET",
    "npm": "--prefix= …",
    "openssl": "…",
    "openssl rand": "-hex SIZE",
    "pip": "…",
    "pip install": "--require-hashes --requirement= --no-deps --force-reinstall …",
    "source": "FILE",
    "systemctl": "…",
    "systemctl daemon-reload": "",
    "systemctl edit": "UNIT",
    "systemctl enable": "--now UNIT",
    "systemctl restart": "UNIT",
    "systemd-run": "--pipe --wait --uid= --property= --setenv= PROGRAM COMMAND",
    "useradd": "--system --home-dir= --shell= NAME",
}
"""What the vendors document of their programs, as far as these documents use it: every flag (with = if it takes a
value) and every word. … stands for any number of words, COMMAND for a command of its own, -- for itself. A program with
subcommands has those only."""

DEFAULT = "docker-compose.yml"
"""The file of Docker compose where none is named."""
TO_BE_WRITTEN = ("my-secret.yaml", "worker.env")
"""Files of which the pages say that the reader writes them."""
HERE = ("localhost:8000", "127.0.0.1:8000")
"""Where a server is, unless its settings say otherwise."""
COMPOSE_FILE = "COMPOSE_FILE"
"""What a page sets for Docker compose, besides settings."""


def look(script: str, composed: Iterable[str] = (DEFAULT,), whole: bool = True) -> None:
    """Look a script through: it is one, and what it names is there. Raises `Faulty`.

    `composed` are the files by which Docker compose may go. What is not `whole` stands in a sentence: `…` ends it, and
    what it leaves out is not missed.
    """
    read = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, timeout=10, check=False)
    if read.returncode:
        raise Faulty(read.stderr)
    files = tuple(composed)
    found = list(commands(script))
    if not found:
        raise Faulty(f"nothing is done: {script}")
    for words in found:
        command = _Command(tuple(words), files, whole)
        command.look()
        files = command.composed_from_here or files


def commands(script: str) -> Iterator[list[str]]:
    """Yield the simple commands of a script, a list of words each: redirections away.

    Variables that are set for a command alone are as if they were exported before it.
    """
    script = script.replace("\\\n", " ")
    for text in re.findall(r"<<\s*\w+\n(.*?)\n\w+\n", script, re.DOTALL):
        yield from commands("\n".join(re.findall(r"\$\(([^()'\"]*)\)", text)))
    script = re.sub(r"<<\s*(\w+)\n.*?\n\1\n", "\n", script, flags=re.DOTALL)
    for line in _statements(script):
        for inner in re.findall(r"\$\(([^()'\"]*)\)", line):
            yield from commands(inner)
        lexer = _lexer(re.sub(r"\$\([^()'\"]*\)", "printed", line))
        words: list[str] = []
        redirected = False
        for word in [*lexer, ";"]:
            if re.fullmatch(r"[&|;()]+", word):
                words = [each for each in words if each != "$"]
                told = list(itertools.takewhile(lambda each: re.match(r"[A-Z_]+=", each), words))
                if told and words[len(told) :]:
                    yield ["export", *told]
                if words[len(told) :]:
                    yield words[len(told) :]
                words = []
            elif re.fullmatch(r"[<>&]+", word):
                redirected = True
                continue
            elif not redirected:
                words.append(word)
            redirected = False


def _lexer(text: str) -> shlex.shlex:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&|;<>()")
    lexer.whitespace_split = True
    return lexer


def _statements(script: str) -> Iterator[str]:
    """Yield the lines of a script, those together that a quotation goes over."""
    begun = ""
    for line in script.splitlines():
        begun += line
        try:
            list(_lexer(begun))
        except ValueError:
            begun += "\n"
            continue
        yield begun
        begun = ""


@dataclass(frozen=True)
class _Given:
    """What a command of somebody else's says: flags with their values, words, and a command within."""

    flags: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)
    lacking: bool = False

    def values(self, name: str) -> list[str]:
        return [value for flag, value in self.flags if flag == name]


def given(name: str, words: list[str], whole: bool = True) -> _Given:
    """Read what comes after a program's name by its form. Raises `Faulty` where it has another."""
    form = FORMS[name].split()
    taking = {each.rstrip("=") for each in form if each.startswith("-") and each.endswith("=")}
    alone = {each for each in form if each.startswith("-") and not each.endswith("=")}
    places = [each for each in form if not each.startswith("-") and each not in ("…", "COMMAND")]
    read = _Given()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if word == "--" and "--" in alone:
            read.inner.extend(rest)
            break
        if not word.startswith("-") or word == "-":
            read.words.append(word)
            if form[-1:] == ["COMMAND"] and "--" not in alone and len(read.words) == len(places):
                read.inner.extend(rest)
                break
            if name in SUBCOMMANDS:
                read.inner.extend(rest)
                break
        elif flag in taking and (equals or rest):
            read.flags.append((flag, value if equals else rest.pop(0)))
        elif word in alone:
            read.flags.append((word, ""))
        else:
            raise Faulty(f"{name} has no {word}, or it lacks a value")
    lacking = len(read.words) < len(places)
    if "…" not in form and (len(read.words) > len(places) or (whole and lacking)):
        raise Faulty(f"{name} takes {places}, not {read.words}")
    return replace(read, lacking=lacking)


SUBCOMMANDS = frozenset(name.rpartition(" ")[0] for name in FORMS if " " in name)
"""Programs whose first word says what is to be done."""


@dataclass(frozen=True)
class _Command:
    words: tuple[str, ...]
    composed: tuple[str, ...]
    whole: bool

    @property
    def composed_from_here(self) -> tuple[str, ...]:
        """The files of Docker compose that this command sets for those after it."""
        return tuple(word.partition("=")[2] for word in self.words[1:]
                     if self.words[0] == "export" and word.startswith(f"{COMPOSE_FILE}="))  # fmt: skip

    def look(self) -> None:
        """Raises `Faulty`."""
        program, rest = Path(self.words[0]).name, list(self.words[1:])
        if rest[-1:] == ["…"] and not self.whole:
            rest.pop()
        own = {"make": make, "python": python, "python3": python}
        if program == "whisperx-api":
            cli(rest, self.whole)
        elif program in own:
            own[program](rest)
        elif program not in FORMS:
            raise Faulty(f"nobody knows what {program} does")
        else:
            self._others(program, rest)

    def _others(self, name: str, rest: list[str]) -> None:
        said = given(name, rest, self.whole)
        checks = {
            "cp": _install, "curl": _curl, "docker run": _docker_run, "export": _export, "install": _install,
            "kubectl apply": _files, "kubectl delete": _kubernetes, "kubectl exec": _kubernetes,
            "kubectl wait": _kubernetes, "npm": _npm, "pip install": _pip, "source": _source,
            "systemd-run": _systemd_run,
        }  # fmt: skip
        if name == "docker compose":
            files = tuple(said.values("--file")) or self.composed
            _Command(self.words, files, self.whole)._subcommand(name, said)
        elif name in SUBCOMMANDS:
            self._subcommand(name, said)
        elif name.startswith("docker compose "):
            _compose(name, said, self.composed)
        elif name.startswith("systemctl ") or name == "journalctl":
            _units([*said.words, *said.values("--unit")])
        elif name in checks and not said.lacking:
            checks[name](said)
        if said.inner and name not in SUBCOMMANDS:
            self._within(name, said)
        elif self.whole and "COMMAND" in FORMS[name] and not said.inner:
            raise Faulty(f"{name} lacks a command")

    def _subcommand(self, name: str, said: _Given) -> None:
        if not said.words and not self.whole:
            return
        if not said.words or f"{name} {said.words[0]}" not in FORMS:
            raise Faulty(f"{name} has no {said.words}")
        self._others(f"{name} {said.words[0]}", said.inner)

    def _within(self, name: str, said: _Given) -> None:
        """Look at the command that Docker, Kubernetes or systemd is to run."""
        into_image = name in ("docker run", "docker compose run")  # whose images begin with the program
        program = {"systemd-run": said.words}.get(name, ["whisperx-api"] if into_image else [])
        _Command((*program, *said.inner), self.composed, self.whole).look()


# --- what others' programs are handed of this repository ---


def services(file: str) -> Mapping[str, Any]:
    """Return a compose file's services. Raises `Faulty` where there is no such file."""
    if not (ROOT / file).is_file():
        raise Faulty(f"there is no {file}")
    return yaml.safe_load(re.sub(r"\$\{[^}]*\}", "1", (ROOT / file).read_text()))["services"]


def _compose(name: str, said: _Given, files: tuple[str, ...]) -> None:
    there = {service for file in files for service in services(file)}
    scaled = [
        value.partition("=")[0] if re.fullmatch(r"[\w-]+=\d+", value) else value for value in said.values("--scale")
    ]
    named = said.words[:1] if FORMS[name].endswith("COMMAND") else said.words
    for service in [*named, *scaled]:
        if service not in there:
            raise Faulty(f"there is no service {service} in {files}")


def _docker_run(said: _Given) -> None:
    images = {
        service.get("image") for file in ROOT.glob("docker-compose*.yml") for service in services(file.name).values()
    }
    if not said.words[0].startswith("whisperx-api:") or said.words[0] not in images:
        raise Faulty(f"there is no image {said.words[0]}")
    _written(said.values("--env-file"))


def _written(files: Iterable[str], folder: Path = ROOT) -> None:
    for file in files:
        if not (folder / file).is_file() and file not in TO_BE_WRITTEN:
            raise Faulty(f"there is no {file}")


KUBERNETES = ROOT / "deploy" / "kubernetes"
KINDS = {"job": "Job", "deploy": "Deployment"}


def _files(said: _Given) -> None:
    if not said.flags:
        raise Faulty("kubectl apply lacks a file")
    _written(said.values("-f"), KUBERNETES)


def _kubernetes(said: _Given) -> None:
    kind, _, name = "/".join(said.words).partition("/")
    there = [one for file in KUBERNETES.glob("*.yaml") for one in yaml.safe_load_all(file.read_text())]
    if (KINDS.get(kind), name) not in [(one["kind"], one["metadata"]["name"]) for one in there]:
        raise Faulty(f"there is no {kind} {name}")
    for value in said.values("--timeout"):
        if not re.fullmatch(r"\d+[smh]", value):
            raise Faulty(f"{value} is no time")
    for value in said.values("--for"):
        if value not in ("condition=complete", "condition=available"):
            raise Faulty(f"nothing to wait for: {value}")


def _units(words: Iterable[str]) -> None:
    there = {file.stem for file in (ROOT / "deploy" / "systemd").iterdir()}
    for word in words:
        if word not in there:
            raise Faulty(f"there is no unit {word}")


def _systemd_run(said: _Given) -> None:
    if Path(said.words[0]).name != "whisperx-api":
        raise Faulty(f"not known: {said.words}")
    _export(_Given(words=said.values("--setenv")))


def _export(said: _Given) -> None:
    for word in said.words:
        name, _, value = word.partition("=")
        if name.lower() not in Settings.model_fields and name != COMPOSE_FILE:
            raise Faulty(f"nothing reads {name}")
        if name == COMPOSE_FILE:
            services(value)
        else:
            _load(name, value)


def _load(name: str, value: str) -> None:
    try:
        load_settings(**{name.lower(): value})
    except SettingsError as error:
        raise Faulty(str(error)) from None


def _install(said: _Given) -> None:
    _written(said.words[:1])


def _source(said: _Given) -> None:
    if said.words != [".venv/bin/activate"]:
        raise Faulty(f"there is no {said.words}")


def _npm(said: _Given) -> None:
    folder = ROOT / "".join(said.values("--prefix"))
    scripts = (
        json.loads((folder / "package.json").read_text())["scripts"] if (folder / "package.json").is_file() else {}
    )
    if said.words[:1] != ["run"] or said.words[1:2] not in [[name] for name in scripts] or len(said.words) > 2:
        raise Faulty(f"nothing of {folder} can be run: {said.words}")


def _pip(said: _Given) -> None:
    """This folder, its extras, lock files, and packages of others that the tests themselves install."""
    table = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    extras = set(re.findall(r"^(\w+) = \[", table, re.MULTILINE))
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE))
    _written(said.values("--requirement"))
    if not said.words and not said.values("--requirement"):
        raise Faulty("nothing is installed")
    for word in said.words:
        mine = re.fullmatch(r"\.(?:\[([\w,]+)\])?", word)
        wrong = set((mine[1] or "").split(",")) - {""} - extras if mine else {word} - locked
        if wrong:
            raise Faulty(f"{word}: there is no {wrong} here, and that of the index is somebody else's")


@functools.cache
def _paths() -> Mapping[str, Any]:
    return document()["paths"]


def _curl(said: _Given) -> None:
    """A call of this service is to a path that it has, by a method that it takes there."""
    sends = any(flag in ("-F", "-d") for flag, _ in said.flags)
    method = ([*said.values("-X"), "POST" if sends else "GET"])[0]
    url = urlsplit(said.words[0])
    if url.scheme not in ("http", "https") or url.netloc not in HERE:
        raise Faulty(f"nobody knows what is at {said.words[0]}")
    if not has_endpoint(method, url.path):
        raise Faulty(f"there is no {method} {url.path}")


def has_endpoint(method: str, path: str) -> bool:
    """Whether the service takes a method, or any where none is named, at a path with any names for its parameters."""
    return any(
        (not method or method.lower() in methods) and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path)
        for known, methods in _paths().items()
    )


def is_beginning(path: str) -> bool:
    """Whether what the service has begins with these parts of a path."""
    return any(known.startswith(f"{path}/") for known in _paths())
