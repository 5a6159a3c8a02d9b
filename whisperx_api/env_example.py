"""Writes `.env.example` from the settings: `python -m whisperx_api.env_example > .env.example`."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from enum import Enum

from whisperx_api.settings import Settings

HEADER = """\
# Settings of the service. Copy this file to .env, and take away the # before those to change: behind it is the default.
# A variable of the environment comes before this file, and a flag of `whisperx-api serve` before both.
"""

WIDTH = 120


def render() -> str:
    """Return the file: every setting with its description as a comment, in the order and groups of `settings.py`."""
    return HEADER + "".join(f"\n# --- {group} ---\n{''.join(map(_entry, names))}" for group, names in groups())


def groups() -> Iterator[tuple[str, list[str]]]:
    """Yield each heading of the class `Settings` with the names of the settings under it."""
    _, *parts = re.split(r"^ +# --- (.+) ---$", inspect.getsource(Settings), flags=re.MULTILINE)
    for heading, source in zip(parts[::2], parts[1::2], strict=True):
        yield heading, [name for name in Settings.model_fields if re.search(rf"^ +{name}:", source, re.MULTILINE)]


def _entry(name: str) -> str:
    field = Settings.model_fields[name]
    meaning = textwrap.fill(
        field.description or "", WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
    return f"\n{meaning}\n#{name.upper()}={text_of(field.default)}\n"


def text_of(default: object) -> str:
    """Return a default as it is written in an environment; nothing stands for none."""
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default is None else str(default)


if __name__ == "__main__":
    sys.stdout.write(render())
