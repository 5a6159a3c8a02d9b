"""Segments a page at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from whisperx_api.transcript import Segment


@dataclass(frozen=True)
class Page:
    """Which segments are asked for: the page `number`, from 1, of `size` segments."""

    number: int
    size: int = 100


def numbered(segments: Sequence[Segment], page: Page | None) -> list[tuple[int, Segment]]:
    """Return the segments of a page, all without one, with their places in the whole."""
    first = 0 if page is None else (page.number - 1) * page.size
    last = len(segments) if page is None else first + page.size
    return list(enumerate(segments[first:last], start=first))


def counted(segments: Sequence[Segment], page: Page | None) -> dict[str, int]:
    """Return which page of how many an answer is; nothing where none was asked for."""
    if page is None:
        return {}
    return {"page": page.number, "pages": max(1, math.ceil(len(segments) / page.size))}
