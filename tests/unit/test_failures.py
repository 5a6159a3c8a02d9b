"""Failed authentications: how many are one too many, for how long, and how much is remembered of strangers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from whisperx_api import failures
from whisperx_api.failures import FailureRate, Failures
from whisperx_api.settings import SettingsError, load_settings


class Clock:
    """A time that moves when the test says so."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [("20/minute", 20, 60), (" 5 per 30 seconds ", 5, 30), ("100/HOUR", 100, 3600), ("7/2days", 7, 172800)],
)
def test_rate_is_read(text, amount, seconds) -> None:
    assert FailureRate.read(text) == FailureRate(amount, seconds)


@pytest.mark.parametrize("text", ["often", "0/minute", "5/0 seconds", "1001/day", "10/fortnight", "20", "9" * 5000])
def test_rate_that_is_none_is_said_at_start(text) -> None:
    with pytest.raises(SettingsError, match=r"AUTH_FAILURES.* must be a rate of at most 1000, like 20/minute"):
        load_settings(auth_failures=text)


def test_default_limits_and_nothing_switches_it_off() -> None:
    assert load_settings().auth_failures == "20/minute"
    assert load_settings(auth_failures=" ").auth_failures == ""


def test_window_moves() -> None:
    clock = Clock()
    counted = Failures(FailureRate(3, 60), clock)
    told = []
    for _ in range(3):
        told.append(counted.add("a"))
        clock.time += 10
    assert told == [None, None, 40]
    assert counted.refused("a") == 30
    assert counted.refused("b") is None
    clock.time += 29.5
    assert counted.refused("a") == 1
    clock.time += 0.5
    assert counted.refused("a") is None
    assert counted.add("a") == 10  # two of the last minute are left
    clock.time += 60
    assert counted.add("a") is None


def test_one_may_be_too_many() -> None:
    clock = Clock()
    counted = Failures(FailureRate(1, 60), clock)
    assert counted.add("a") == 60
    clock.time += 60
    assert counted.refused("a") is None and counted.add("a") == 60


def test_memory_has_a_bound_and_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MAX_ADDRESSES", 100)
    monkeypatch.setattr(failures, "MAX_FAILURES", 150)
    counted = Failures(FailureRate(2, 60), Clock())
    for _ in range(2):
        counted.add("long ago")
    for address in map(str, range(1000)):
        counted.add(address)
        assert len(counted._times) <= 100
    assert counted.refused("long ago") is None
    for address in map(str, range(1000)):
        counted.add(address)
        counted.add(address)
        assert counted._count == sum(map(len, counted._times.values())) <= 150
    assert counted.refused("999") is not None and counted.refused("900") is None


def test_start_does_not_import_the_library_that_counts_submissions() -> None:
    code = (
        "import sys; from whisperx_api.app import create_app; from whisperx_api.settings import load_settings\n"
        "create_app(load_settings(auth_failures='20/minute'))\n"
        "print([name for name in ('limits', 'alembic', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
