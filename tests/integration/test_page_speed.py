"""What the page costs: how much it loads, how soon it can be used, and how long scripts hold it up."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser

from bench.page import first_visits, long_transcript
from bench.scripting import scripting
from tests.conftest import KEY

FRAME = 16.0
"""Milliseconds between two frames of a screen."""


@pytest.mark.alone
def test_first_visit_loads_little_and_can_soon_be_used(start_server, browser: Browser) -> None:
    server = start_server(fake=True)
    loaded, usable = first_visits(browser, f"http://127.0.0.1:{server.port}", KEY)
    assert 50_000 < max(loaded) < 300_000
    assert min(usable) > 10 and sorted(usable)[len(usable) // 2] < 1000


@pytest.mark.alone
def test_scripts_of_a_long_transcript_fit_into_frames(start_server, browser: Browser, tone) -> None:
    server = start_server(fake=True)
    task = server.upload(tone(20.0))
    server.wait(task)
    for _ in range(2):
        frames = long_transcript(browser, f"http://127.0.0.1:{server.port}", KEY, task)
        assert len(frames) > 500 and sum(frame.processor > 0.2 for frame in frames) > 100
        assert max(frame.processor for frame in frames) < FRAME
        clock = sorted(frame.clock for frame in frames)  # here what else this machine does just then counts as well
        assert clock[round(0.99 * len(clock)) - 1] < FRAME


def test_time_of_scripts_is_that_of_frames_on_the_page_s_own_thread() -> None:
    def event(name: str, at: float, length: float = 0, kind: str = "X", thread: int = 1) -> dict[str, object]:
        times: dict[str, object] = {"ts": 1000 * at, "dur": 1000 * length, "tdur": 500 * length}
        return times | {"name": name, "ph": kind, "pid": 1, "tid": thread}

    trace = [
        event("AnimationFrame", 10, kind="b"), event("AnimationFrame", 30, kind="e"),
        event("AnimationFrame", 100, kind="b"), event("AnimationFrame", 110, kind="e"),
        event("EventDispatch", 11, 5), event("FunctionCall", 12, 3),  # one inside of the other
        event("TimerFire", 20, 2), event("Layout", 23, 6),
        event("MinorGC", 40, 4), event("FunctionCall", 60, 7),  # between frames that are drawn
        event("FireAnimationFrame", 101, 8), event("FunctionCall", 12, 90, thread=2),
        event("FunctionCall", 5, 1),  # before the first
    ]  # fmt: skip
    taken = scripting(json.dumps({"traceEvents": trace}).encode())
    assert [round(one.clock, 3) for one in taken if one.clock] == [7, 4, 7, 8]
    assert [round(one.processor, 3) for one in taken if one.clock] == [3.5, 2, 3.5, 4]
