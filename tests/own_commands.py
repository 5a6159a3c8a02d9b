"""How `make`, `python` and `whisperx-api` are looked at without being run: what they are told is there."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer

from tests.server import ROOT
from whisperx_api.cli import COMMANDS
from whisperx_api.cli import app as whole_program
from whisperx_api.cli.keys import expiry
from whisperx_api.cli.transcribe import transcribe
from whisperx_api.keys import new_key, parse_scopes
from whisperx_api.models import alignment
from whisperx_api.models.catalog import STARTER, is_size
from whisperx_api.settings import SettingsError, load_settings

MAKEFILE = (ROOT / "Makefile").read_text()


class Faulty(AssertionError):
    """A command names what is not there."""


def make(words: list[str]) -> None:
    """Look at what `make` is told: targets, and the variables that they take. Raises `Faulty`."""
    targets = [word for word in words if "=" not in word]
    usage = " | ".join(re.findall(r"^#   make (.*)$", MAKEFILE, re.MULTILINE)).split(" | ")
    taken = ""
    for target in targets:
        recipe = re.search(rf"^{re.escape(target)}:.*\n(?:\t.*\n)*", MAKEFILE, re.MULTILINE)
        if recipe is None:
            raise Faulty(f"there is no target {target}")
        taken += recipe[0] + "".join(part for part in usage if part.split()[0] == target)
    for name in (word.partition("=")[0] for word in words if "=" in word):
        if not re.search(rf"\$\({name}\)|\[{name}=", taken):
            raise Faulty(f"{targets} take no {name}=")


def python(words: list[str]) -> None:
    """Look at a program in Python, or a module that is called and its flags. Raises `Faulty`."""
    if words[:1] == ["-c"] and len(words) == 2:
        try:
            compile(words[1], "-c", "exec")
        except SyntaxError as error:
            raise Faulty(str(error)) from None
        return
    if words[:1] != ["-m"] or len(words) < 2:
        raise Faulty(f"not known: python {words}")
    name, *rest = words[1:]
    if name.partition(".")[0] in sys.stdlib_module_names:
        if name != "venv" or len(rest) != 1 or rest[0].startswith("-"):
            raise Faulty(f"not known: python -m {words[1:]}")
        return
    file = ROOT / f"{name.replace('.', '/')}.py"
    if not file.is_file() or "__main__" not in (text := file.read_text()):
        raise Faulty(f"there is no {name} to be called")
    for flag in (word.partition("=")[0] for word in rest if word.startswith("-")):
        if f'"{flag}"' not in text:
            raise Faulty(f"{name} has no {flag}")


def cli(words: list[str], whole: bool = True) -> None:
    """Parse a command line of `whisperx-api`, and look at what its words mean. Nothing is done. Raises `Faulty`.

    The command is made for this alone: it asks neither the environment nor the disk, and none of its callbacks is
    called, for those of `--version` and the like print and end.
    """
    if words and words[0].startswith("-"):
        root: Any = typer.main.get_command(whole_program)
        if len(words) > 1 or words[0] not in flags_of(root):
            raise Faulty(f"whisperx-api has no {words}")
        return
    if not words or words[0] not in COMMANDS:
        raise Faulty(f"there is no command {words[:1]}")
    name, rest = words[0], words[1:]
    command: Any = typer.main.get_command(importlib.import_module(f"whisperx_api.cli.{name}").app)
    if hasattr(command, "commands"):
        if not rest and not whole:
            return
        if not rest or rest[0] not in command.commands:
            raise Faulty(f"{name} has no {rest[:1]}")
        command, name, rest = command.commands[rest[0]], f"{name} {rest[0]}", rest[1:]
    if rest == ["--help"]:
        return
    try:
        with contextlib.ExitStack() as kept:
            for parameter in command.params:
                parameter.envvar = parameter.callback = None
                kept.enter_context(patch.object(parameter.type_descriptor.parameter_info, "exists", False, create=True))
            context = command.make_context(name, list(rest), resilient_parsing=False)
    except USAGE as error:
        unsaid = type(error).__name__ == "MissingParameter" or "requires an argument" in error.format_message()
        if whole or not unsaid:
            raise Faulty(f"{name} {rest}: {error.format_message()}") from None
        return
    said = context.params
    if not whole and name == "transcribe" and not any(said[each] for each in ("files", "resume", "watch")):
        said["files"] = [Path("meeting.wav")]
    try:
        MEANT.get(name, lambda _: None)(said)
    except (ValueError, SettingsError) as error:
        raise Faulty(f"{name} {rest}: {error}") from None


USAGE: Any = typer.BadParameter.__mro__[1]
"""What is raised for a command line that is wrong."""


def flags_of(command: Any) -> set[str]:
    """Return every flag that a command has."""
    return {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help"}


def flags_of_the_program() -> set[str]:
    """Return every flag of `whisperx-api` and all of its commands."""
    apps = [whole_program, *(importlib.import_module(f"whisperx_api.cli.{name}").app for name in COMMANDS)]
    found: Any = [typer.main.get_command(app) for app in apps]
    commands = [one for command in found for one in (command, *getattr(command, "commands", {}).values())]
    return set().union(*map(flags_of, commands))


def _model(said: Mapping[str, Any]) -> None:
    """As `whisperx-api models pull` sees it, but for folders."""
    name = said["name"]
    owner, slash, rest = name.partition("/")
    if said.get("source") and name != STARTER:
        raise ValueError("--from is for the starter models only")
    if not (name == STARTER or is_size(name) or name in alignment.BUNDLES or (owner and slash and rest)):
        raise ValueError(f"there is no model {name}")


def _packed(said: Mapping[str, Any]) -> None:
    if said["name"] != STARTER or said["archive"].suffix != ".zip":
        raise ValueError("only the starter models can be packed, as a zip file")


def _key(said: Mapping[str, Any]) -> None:
    new_key(said["name"], parse_scopes(said["scopes"]), expiry(said["expires"]))


def _settings(said: Mapping[str, Any]) -> None:
    load_settings(**said)


def _database(said: Mapping[str, Any]) -> None:
    if not said["url"].startswith("postgresql"):
        raise ValueError("the database is none of PostgreSQL")
    load_settings(database_url=said["url"], storage_url=said["storage_url"])


def _recordings(said: Mapping[str, Any]) -> None:
    """Have the command itself say whether its flags go together; nobody is there to be asked for a transcript."""
    with patch("whisperx_api.cli.transcribe.running.run", return_value=0), pytest.raises(typer.Exit) as end:
        transcribe(**said)
    if end.value.exit_code:
        raise ValueError("these flags don't go together")


MEANT: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "models pull": _model, "models pack": _packed, "keys create": _key, "serve": _settings, "worker": _settings,
    "db migrate-to": _database, "transcribe": _recordings,
}  # fmt: skip
"""What tells where commands are wrong that can be parsed: by a `ValueError` or a `SettingsError`."""
