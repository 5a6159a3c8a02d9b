"""What a check finds."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import Enum


class Level(str, Enum):
    """ok: nothing to do; warn: it works, but not as well as it could; fail: the service can't do its work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `sentence` says what was found and, unless it is ok, what to do."""

    name: str
    level: Level
    sentence: str


def ok(name: str, sentence: str) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name, Level.OK, sentence)


def warn(name: str, sentence: str) -> Check:
    """Return a check that found something worth knowing."""
    return Check(name, Level.WARN, sentence)


def fail(name: str, sentence: str) -> Check:
    """Return a check that found what must be mended."""
    return Check(name, Level.FAIL, sentence)


def engine_installed() -> bool:
    """Whether the engine's packages are there, without importing them."""
    return all(importlib.util.find_spec(name) for name in ("torch", "whisperx", "pyannote"))
