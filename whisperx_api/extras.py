"""How what is left out of a small installation is installed: the extras of `pyproject.toml`."""

from __future__ import annotations

from typing import Literal

Extra = Literal["engine", "cluster", "otel"]


def how_to_install(extra: Extra) -> str:
    """Return the command that installs an extra, which runs in a clone: no package index has this project."""
    return f"`pip install '.[{extra}]'` in its clone"
