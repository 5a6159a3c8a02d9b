"""The blocks of code in the README and the documents, and the commands and settings that stand in their sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.server import ROOT

HERE = "http://127.0.0.1:8000"
"""Where the documents' server is."""
CLUSTER = ROOT / "docker-compose.cluster.yml"
"""A cluster on one host."""
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


def spans(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands in a page's sentences as code, each with the text before it. Blocks are left out."""
    fence = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
    sentences = fence.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)
    for span in re.finditer(r"`([^`]+)`", sentences):
        yield " ".join(span[1].split()), text[: span.start()]


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
