"""Small pieces of Markdown that the generated parts are put together from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

CODE = re.compile(r"(`[^`]+`)")
SPECIAL = re.compile(r"([\\|*_\[\]])")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Return plain text as it can stand in a table: on one line, and nothing in it but `code` means anything."""
    parts = CODE.split(" ".join(text.split()))
    return "".join(part if CODE.fullmatch(part) else _plain(part) for part in parts)


def _plain(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text).replace("<", "&lt;")
