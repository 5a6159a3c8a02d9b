"""The blocks of code in the README and the documents, and how commands are read without being run."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml

from tests.server import ROOT
from whisperx_api.cli import COMMANDS

HERE = "http://127.0.0.1:8000"
"""Where the documents' server is."""
LONGEST = 70
"""Characters of a block's name, besides its page's."""
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)$")


@dataclass(frozen=True)
class Block:
    """One fenced block of code."""

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """What it is called in a list of blocks: its page and its first line."""
        return f"{self.page}: {self.first}"

    @property
    def first(self) -> str:
        """As much of its first line as tells it from others, without a comment behind it."""
        return re.sub(r"\s+#.*", "", self.text.split("\n", 1)[0])[:LONGEST].rstrip(" \\")

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return the README and every document."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "README.md"]


def blocks() -> list[Block]:
    """Return every block of code, in the order of the pages."""
    return [block for page in pages() for block in blocks_of(page.read_text(), str(page.relative_to(ROOT)))]


def blocks_of(text: str, page: str) -> Iterator[Block]:
    """Yield the blocks of a page. Raises `AssertionError` where one does not end."""
    begun: re.Match[str] | None = None
    inside: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), 1):
        found = FENCE.match(line)
        if begun is None:
            assert found or not line.lstrip().startswith("```"), f"{page}:{number}: {line}"
            if found:
                begun, inside, start = found, [], number
        elif found and not found["language"]:
            yield Block(page, start, begun["language"], "\n".join(inside) + "\n")
            begun = None
        else:
            inside.append(line.removeprefix(begun["indent"]))
    assert begun is None, f"{page}:{start} has no end"


# --- commands that can't be run here ---


class Faulty(AssertionError):
    """A command names what is not there."""


def look(script: str) -> None:
    """Look a script through: it is one, and what it names of this repository is there. Raises `Faulty`."""
    read = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, timeout=10, check=False)
    if read.returncode:
        raise Faulty(read.stderr)
    known = 0
    for words in commands(script):
        known += _Command(words).look()
    if not known:
        raise Faulty(f"nobody knows what any of this does: {script}")


def commands(script: str) -> Iterator[list[str]]:
    """Yield the simple commands of a script, a list of words each: variables set before them and redirections away."""
    script = re.sub(r"<<\s*(\w+)\n.*?\n\1\n", "\n", script.replace("\\\n", " "), flags=re.DOTALL)
    for line in script.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>()")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if re.fullmatch(r"[&|;()]+", word):
                words = [each for each in words if each != "$"]
                while words and re.match(r"[A-Z_]+=", words[0]):
                    words.pop(0)
                if words:
                    yield words
                words = []
            elif not re.fullmatch(r"[<>]+", word):
                words.append(word)


@dataclass(frozen=True)
class _Command:
    words: list[str]

    def look(self) -> int:
        """Return 1 for a command of which something could be looked at, 0 for any other. Raises `Faulty`."""
        program = Path(self.words[0]).name
        checks = {"make": self._make, "docker": self._docker, "whisperx-api": self._own, "kubectl": self._kubectl,
                  "install": self._install, "systemctl": self._systemctl, "systemd-run": self._inner,
                  "pip": self._pip}  # fmt: skip
        if (check := checks.get(program)) is None:
            return int(program in OF_THE_SYSTEM)
        check()
        return 1

    def _make(self) -> None:
        for target in (word for word in self.words[1:] if "=" not in word):
            if not re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE):
                raise Faulty(f"there is no target {target}")
        for name in (word.partition("=")[0] for word in self.words[1:] if "=" in word):
            if f"$({name})" not in MAKEFILE:
                raise Faulty(f"no target takes {name}=")

    def _docker(self) -> None:
        if self.words[1] == "run":
            images = [word for word in self.words if re.fullmatch(r"whisperx-api:\w+", word)]
            if not images or images[0] not in (ROOT / "docker-compose.yml").read_text() + CPU.read_text():
                raise Faulty(f"no such image: {self.words}")
            cli(self.words[self.words.index(images[0]) + 1 :])
            return
        if self.words[1] != "compose":
            raise Faulty(f"not known: {self.words}")
        words = self.words[2:]
        file = ROOT / "docker-compose.yml"
        if words[0] == "--file":
            file, words = ROOT / words[1], words[2:]
        action, named = words[0], [word for word in words[1:] if not word.startswith("-")]
        if action not in ("up", "down", "exec", "run", "logs", "stop", "ps", "pull", "build"):
            raise Faulty(f"Docker has no {action}")
        for word in words:  # --scale api=3
            named = [each for each in named if each != word] if re.fullmatch(r"\w+=\d+", word) else named
            if (scaled := re.fullmatch(r"(\w+)=\d+", word)) and scaled[1] not in services(CLUSTER):
                raise Faulty(f"there is no service {scaled[1]}")
        there = services(file) | (services(CLUSTER) if file.name == "docker-compose.yml" else set())
        for service in named[: 1 if action in ("exec", "run") else None]:
            if service not in there:
                raise Faulty(f"there is no service {service} in {file.name}")
        if action == "run":
            cli(named_after(words, named[0]))
        if action == "exec" and (inner := named_after(words, named[0])) and inner[0] == "whisperx-api":
            cli(inner[1:])

    def _own(self) -> None:
        cli(self.words[1:])

    def _kubectl(self) -> None:
        folder = ROOT / "deploy" / "kubernetes"
        files = {file.name for file in folder.iterdir()} | {"my-secret.yaml"}
        for flag, word in zip(self.words, self.words[1:], strict=False):
            if flag == "-f" and word not in files:
                raise Faulty(f"there is no {word} in {folder}")
        manifests = [one for file in folder.glob("*.yaml") for one in yaml.safe_load_all(file.read_text())]
        kinds = {"job": "Job", "deploy": "Deployment"}
        for word in [*self.words, *[f"{kind}/{name}" for kind, name in zip(self.words, self.words[1:], strict=False)]]:
            kind, slash, name = word.partition("/")
            named = slash and kind in kinds and "/" not in name and not name.startswith("-")
            if named and not any((one["kind"], one["metadata"]["name"]) == (kinds[kind], name) for one in manifests):
                raise Faulty(f"there is no {word}")
        if "--" in self.words and self.words[self.words.index("--") + 1] == "whisperx-api":
            cli(self.words[self.words.index("--") + 2 :])

    def _install(self) -> None:
        source = next(word for word in self.words[1:] if not word.startswith("-"))
        if not (ROOT / source).is_file() and source != "worker.env":
            raise Faulty(f"there is no {source}")

    def _systemctl(self) -> None:
        units = {file.stem for file in (ROOT / "deploy" / "systemd").iterdir()}
        for word in self.words[2:]:
            if not word.startswith("-") and word not in units:
                raise Faulty(f"there is no unit {word}")

    def _inner(self) -> None:
        place = next(i for i, word in enumerate(self.words) if word.endswith("/bin/whisperx-api"))
        cli(self.words[place + 1 :])

    def _pip(self) -> None:
        for flag, word in zip(self.words, self.words[1:], strict=False):
            if flag == "--requirement" and not (ROOT / word).is_file():
                raise Faulty(f"there is no {word}")
        extras = [extra for word in self.words for found in re.findall(r"whisperx-api\[([\w,]+)\]", word)
                  for extra in found.split(",")]  # fmt: skip
        project = (ROOT / "pyproject.toml").read_text()
        for extra in extras:
            if not re.search(rf"^{extra} = \[", project, re.MULTILINE):
                raise Faulty(f"there is no extra {extra}")


OF_THE_SYSTEM = frozenset({
    "cat", "chown", "createdb", "createuser", "curl", "export", "git", "journalctl", "openssl", "python3", "useradd",
})  # fmt: skip
"""Programs of others, of which nothing can be looked at here."""
MAKEFILE = (ROOT / "Makefile").read_text()
CPU = ROOT / "docker-compose.cpu.yml"
CLUSTER = ROOT / "docker-compose.cluster.yml"


def services(file: Path) -> set[str]:
    """Return the names of a compose file's services."""
    return set(yaml.safe_load(re.sub(r"\$\{[^}]*\}", "1", file.read_text()))["services"])


def named_after(words: list[str], service: str) -> list[str]:
    """Return what a command of Docker's hands to a service."""
    return words[words.index(service) + 1 :]


def cli(words: list[str]) -> None:
    """Look at a command line of `whisperx-api`: command, subcommand and flags are there. Raises `Faulty`."""
    if not words or words[0] not in COMMANDS:
        raise Faulty(f"there is no command {words[:1]}")
    command: Any = typer.main.get_command(importlib.import_module(f"whisperx_api.cli.{words[0]}").app)
    rest = words[1:]
    if hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            raise Faulty(f"{words[0]} has no {rest[:1]}")
        command, rest = command.commands[rest[0]], rest[1:]
    flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    for word in rest:
        if word.startswith("--") and word.partition("=")[0] not in flags:
            raise Faulty(f"{words} has no {word}")


# --- JSON ---


OPEN = (".models",)
"""Objects whose names are no part of the form."""


def differences(documented: Any, real: Any, where: str = "") -> Iterator[str]:
    """Yield where two pieces of JSON are not made alike: other names, or values of another kind.

    Null is like anything; of lists the first parts are looked at.
    """
    if documented is None or real is None or (where.endswith(OPEN) and isinstance(documented, dict)):
        return
    if isinstance(documented, dict) and isinstance(real, dict):
        for name in sorted(documented.keys() ^ real.keys()):
            yield f"{where}.{name} is {'only in the document' if name in documented else 'not in the document'}"
        for name in documented.keys() & real.keys():
            yield from differences(documented[name], real[name], f"{where}.{name}")
    elif isinstance(documented, list) and isinstance(real, list):
        if documented and real:
            yield from differences(documented[0], real[0], f"{where}[0]")
    elif kind(documented) is not kind(real):
        yield f"{where} is {kind(documented).__name__} in the document, and {kind(real).__name__}"


def kind(value: object) -> type:
    """Return what kind of value it is in JSON: there is one kind of number."""
    return float if type(value) is int else type(value)
