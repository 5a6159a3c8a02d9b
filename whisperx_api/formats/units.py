"""The pieces of a segment's text between which a subtitle may be cut, each with its time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from whisperx_api.languages import WITHOUT_SPACES
from whisperx_api.transcript import Segment
from whisperx_api.words import said_at, word_starts

SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
"""Characters of scripts without spaces (Chinese, Japanese, Thai, Lao, Burmese): a line may end beside one."""

OPENING = ("Ps", "Pi")
FOLLOWING = ("Pe", "Pf", "Po", "Mn", "Mc", "Me")
"""Unicode's categories of the marks that no line ends with, and of those that no line begins with."""

SENTENCE_END = re.compile("[.?!…。！？។။।։؟۔]+[\"'”’»)\\]」』]*$")
ABBREVIATION = re.compile(r"(?:^|\W)(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|vs|etc|No|Jr|Sr)\.$")
"""What ends with a full stop and ends no sentence, in the English of translations."""


@dataclass(frozen=True)
class Unit:
    """A word as it is written, or a stretch of text without times of its own.

    `space` tells whether white space comes before it, `timed` whether the times (milliseconds) are a word's own and not
    shared out by length.
    """

    text: str
    start: int
    end: int
    space: bool
    timed: bool = False


def one_line(text: str) -> str:
    """Return the text with each run of white space, line ends included, as one space."""
    return " ".join(text.split())


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, never negative."""
    return max(0, round(seconds * 1000))


def units(segment: Segment, language: str) -> list[Unit]:
    """Return the segment's text in pieces, in order; `language` is Whisper's code.

    They are its words. Without any (a translation has none) they are what stands between spaces, or characters where a
    script has no spaces, with the segment's time shared out by their length.
    """
    if not segment.words:
        return _untimed(segment)
    starts = word_starts(segment.text, segment.words)
    if starts is None:
        spaced = (segment.language or language) not in WITHOUT_SPACES
        pieces = [(word.word, spaced) for word in segment.words]
    else:
        bounds = pairwise([0, *starts[1:], len(segment.text)])
        pieces = [(segment.text[first:last], segment.text[:first][-1:].isspace()) for first, last in bounds]
    found = [
        Unit(one_line(text), milliseconds(word.start), milliseconds(max(word.start, word.end)), space, timed=True)
        for (text, space), word in zip(pieces, segment.words, strict=True)
    ]
    return [unit for unit in found if unit.text]


def chunks(pieces: Sequence[Unit]) -> list[list[Unit]]:
    """Return the units in groups that no line may part, such as a word and the mark that follows it."""
    groups: list[list[Unit]] = []
    for unit in pieces:
        if groups and not _may_part(groups[-1][-1], unit):
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return groups


def ends_sentence(unit: Unit, following: Unit) -> bool:
    """Whether a sentence ends between two units, by their marks and letters alone."""
    if not SENTENCE_END.search(unit.text) or ABBREVIATION.search(unit.text):
        return False
    return not following.text[0].islower()


def _untimed(segment: Segment) -> list[Unit]:
    """Return the text's stretches with times in proportion to where they stand in it."""
    text = one_line(segment.text)
    spans = [
        span for word in re.finditer(r"\S+", text) for span in _characters(word.group(), word.start())
    ]  # fmt: skip
    start, end = milliseconds(segment.start), milliseconds(max(segment.start, segment.end))

    def at(position: int) -> int:
        return round(said_at(position, len(text), start, end))

    return [Unit(text[a:b], at(a), at(b), text[:a][-1:] == " ") for a, b in spans]


def _characters(word: str, offset: int) -> list[tuple[int, int]]:
    """Return the (start, end) of the parts of a word: itself, or each character of a script without spaces."""
    bounds = [0]
    bounds += [at for at in range(1, len(word)) if SPACELESS.match(word[at - 1]) or SPACELESS.match(word[at])]
    return [(offset + first, offset + last) for first, last in pairwise([*bounds, len(word)])]


def _may_part(before: Unit, after: Unit) -> bool:
    """Whether a line may end between two units."""
    if after.space:
        return True
    last, first = before.text[-1], after.text[0]
    if unicodedata.category(last) in OPENING or unicodedata.category(first) in FOLLOWING:
        return False
    return bool(SPACELESS.match(last) or SPACELESS.match(first))
