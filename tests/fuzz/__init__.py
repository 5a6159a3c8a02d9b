"""Inputs that nobody would think of: made at random by Hypothesis, always the same ones in a short run.

`make fuzz` tries many more, new ones each time. An input that has found something stays in `corpus/`, and is tried in
every run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

CORPUS = Path(__file__).parent / "corpus"
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
TIMES = 30
"""How many times as many inputs a long run tries."""


def fuzzed(examples: int) -> settings:
    """Return how often a property is tried: the same inputs in every short run, so that it fails always or never."""
    return settings(
        max_examples=examples * (TIMES if LONG else 1), derandomize=not LONG, deadline=None, print_blob=True,
        database=DirectoryBasedExampleDatabase(CORPUS.parent / ".hypothesis") if LONG else None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )  # fmt: skip


@contextmanager
def kept(kind: str, content: bytes) -> Iterator[None]:
    """In a long run, keep an input that fails: of all that Hypothesis tries, the smallest comes last and stays."""
    try:
        yield
    except BaseException:
        if not LONG:
            raise
        (CORPUS / kind).mkdir(exist_ok=True)
        (CORPUS / kind / "found.bin").write_bytes(content)
        raise


def corpus(kind: str) -> list[Path]:
    """Return the inputs that have found something."""
    return sorted((CORPUS / kind).glob("*.bin"))
