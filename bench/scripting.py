"""How long scripts hold up each frame of a page, from a trace that Chromium makes (its Trace Event Format)."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SCRIPTING = frozenset({
    "EvaluateScript", "EventDispatch", "FireAnimationFrame", "FireIdleCallback", "FunctionCall", "MajorGC", "MinorGC",
    "RunMicrotasks", "TimerFire", "XHRLoad", "XHRReadyStateChange", "v8.compile",
})  # fmt: skip
"""Events that DevTools shows as scripting, garbage collection with them. What lies inside of another counts once."""
FRAME = "AnimationFrame"
BEGIN, END = "b", "e"
INTERVAL = 1e6 / 60
"""Microseconds between two frames of a screen: scripts also run where there is nothing to draw."""


@dataclass
class Scripts:
    """What scripts took in one frame, in milliseconds."""

    clock: float = 0.0
    """From their beginnings to their ends, the waiting for a processor that others have with it."""
    processor: float = 0.0
    """Their own."""


def scripting(trace: bytes) -> list[Scripts]:
    """Return what scripts took in each frame of the page's own thread.

    A frame is from what made it necessary until it is drawn; between two of them, as long as one of the screen.
    """
    events: Sequence[dict[str, Any]] = json.loads(trace)["traceEvents"]
    thread = _busiest(events)
    own = [event for event in events if (event["pid"], event["tid"]) == thread]
    begins = _begins([(event["ph"], event["ts"]) for event in own if event["name"] == FRAME])
    taken = [Scripts() for _ in begins]
    for event in _outermost(event for event in own if event["name"] in SCRIPTING):
        frame = bisect_right(begins, event["ts"]) - 1
        if frame >= 0:
            taken[frame].clock += event["dur"] / 1000
            taken[frame].processor += event["tdur"] / 1000
    return taken


def _busiest(events: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """Return the process and thread that draws most frames: the page's."""
    counts: dict[tuple[int, int], int] = {}
    for event in events:
        if event["name"] == FRAME:
            place = (event["pid"], event["tid"])
            counts[place] = counts.get(place, 0) + 1
    return max(counts, key=lambda place: counts[place])


def _begins(marks: Iterable[tuple[str, float]]) -> list[float]:
    """Return when frames begin, drawn ones and those between, in microseconds."""
    begins: list[float] = []
    free: float | None = None
    for kind, at in sorted(marks, key=lambda mark: mark[1]):
        if kind == BEGIN:
            while free is not None and free < at:
                begins.append(free)
                free += INTERVAL
            begins.append(at)
            free = None
        elif kind == END:
            free = at
    return begins


def _outermost(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the events of one thread that do not lie inside of others."""
    end = 0.0
    for event in sorted(events, key=lambda one: (one["ts"], -one["dur"])):
        if event["ts"] >= end:
            end = event["ts"] + event["dur"]
            yield event
