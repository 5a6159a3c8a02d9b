"""Where words are in a text, and when they are said."""

from __future__ import annotations

from collections.abc import Sequence

from whisperx_api.transcript import Word


def word_starts(text: str, words: Sequence[Word]) -> list[int] | None:
    """Return the character offset of each word in `text`; None if the words are not those of the text, in its order."""
    starts: list[int] = []
    position = 0
    for word in words:
        start = text.find(word.word, position)
        if start < 0:
            return None
        starts.append(start)
        position = start + len(word.word)
    return starts or None


def said_at(position: int, length: int, start: float, end: float) -> float:
    """Return when the character at `position` is said, of a text of `length` that lasts evenly from `start` to `end`.

    It is in the unit of `start` and `end`.
    """
    return start + (end - start) * position / length
