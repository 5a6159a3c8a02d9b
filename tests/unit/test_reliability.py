"""The table of faults names tests that are there."""

from __future__ import annotations

import re

from tests.conftest import ROOT

TABLE = (ROOT / "docs" / "reliability.md").read_text()


def test_every_test_that_the_table_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TABLE)
    assert len(named) > 60
    lost = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file() or not re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert lost == []


def test_every_fault_has_a_test() -> None:
    rows = [line for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith("| fault ")]
    assert len(rows) > 40
    assert [row for row in rows if "::test_" not in row] == []
