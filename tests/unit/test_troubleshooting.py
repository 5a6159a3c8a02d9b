"""What the page on troubleshooting quotes is what the code says."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
OPEN = "…"
"""Stands for what differs from case to case."""


@cache
def sentences() -> frozenset[str]:
    """Return every text in the code, with `…` for each value that is put into it."""
    return frozenset(
        _text(node)
        for path in (ROOT / "whisperx_api").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    )


def _text(node: ast.JoinedStr | ast.Constant) -> str:
    if isinstance(node, ast.Constant):
        return re.sub(r"\{\w+\}", OPEN, str(node.value))
    return "".join(str(part.value) if isinstance(part, ast.Constant) else OPEN for part in node.values)


def quoted(page: str) -> list[str]:
    """Return the quotations of a page: paragraphs whose lines begin with `>`."""
    return [
        " ".join(line.removeprefix(">").strip() for line in paragraph.splitlines())
        for paragraph in page.split("\n\n")
        if paragraph.startswith(">")
    ]


def is_said(quotation: str) -> bool:
    wanted = re.sub(rf"({OPEN})[.{OPEN}]*$", "", quotation).removeprefix(OPEN).strip()
    return any(wanted in sentence for sentence in sentences())


def test_every_quotation_is_in_the_code() -> None:
    found = quoted(PAGE)
    assert len(found) > 30
    assert [quotation for quotation in found if not is_said(quotation)] == []
    assert all(len(quotation.replace(OPEN, "")) > 15 for quotation in found)


def test_quotation_that_is_not_in_the_code_is_seen() -> None:
    assert not is_said("The queue is full, … tasks are waiting (MAX_QUEUE): try again later.")
    assert not is_said("The engine is tired: …")


def test_every_setting_that_it_names_is_one() -> None:
    from whisperx_api.settings import Settings

    known = {name.upper() for name in Settings.model_fields} | {"MEMORY_LIMIT"}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)\b", PAGE))
    assert named and named <= known
