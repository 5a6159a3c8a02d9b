"""The command line. Each command is a module of its own, imported only when it is called, so help comes at once."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from whisperx_api import __version__

COMMANDS = {
    "serve": "Run the service. Every setting is a flag.",
    "worker": "Run the tasks of a cluster, on any host.",
    "transcribe": "Transcribe recordings, at a server or here, and print who said what.",
    "keys": "Make, list and revoke API keys.",
    "models": "Fetch, list, check and pack models.",
    "db": "Back up, restore and check the database.",
    "doctor": "Say in plain words what is wrong with this machine.",
}
"""What each command is for; `whisperx_api.cli.NAME` holds its `app`."""


class _LazyGroup(TyperGroup):
    """Knows its commands by their one line of help, and imports the one that is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands.update({name: TyperCommand(name, help=text) for name, text in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = typer.main.get_command(importlib.import_module(f"whisperx_api.cli.{name}").app)
            command.name = name
        return name, command, rest


app = typer.Typer(
    name="whisperx-api",
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Self-hosted transcription: upload a recording, get a transcript with a speaker and a time on every word.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold what all commands share."""
