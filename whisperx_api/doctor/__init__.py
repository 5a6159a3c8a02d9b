"""Looks at this machine and the settings, and says in plain words what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator

from whisperx_api.doctor.check import Check, Level
from whisperx_api.doctor.machine import machine_checks
from whisperx_api.doctor.models import model_checks
from whisperx_api.doctor.service import service_checks
from whisperx_api.settings import Settings

__all__ = ["Check", "Level", "examine"]


def examine(settings: Settings) -> Iterator[Check]:
    """Yield every check as soon as it is made. Nothing of the engine is imported into this process."""
    yield from machine_checks(settings)
    yield from model_checks(settings)
    yield from service_checks(settings)
