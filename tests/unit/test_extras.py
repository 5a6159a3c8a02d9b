"""Tests of how the service says what is to be installed."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from tests.documents import pages
from tests.server import ROOT
from whisperx_api.extras import Extra, how_to_install


@pytest.mark.parametrize("extra", get_args(Extra))
def test_extra_is_one_of_the_projects(extra: Extra) -> None:
    assert re.search(rf"^{extra} = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"'.[{extra}]'" in how_to_install(extra)


def test_nobody_is_told_to_install_it_from_an_index() -> None:
    """There the name is another project's, which would be run in this one's place."""
    texts = [*pages(), ROOT / "requirements" / "README.md", *(ROOT / "whisperx_api").rglob("*.py")]
    assert len(texts) > 100
    assert [str(path) for path in texts if re.search(r"pip install.{0,20}whisperx.api", path.read_text())] == []
