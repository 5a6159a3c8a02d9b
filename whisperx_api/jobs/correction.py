"""A segment's text put right by a person: which words keep their times, and when the others are said."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from whisperx_api.languages import WITHOUT_SPACES
from whisperx_api.transcript import Segment, Word
from whisperx_api.words import said_at


def corrected(segment: Segment, text: str, language: str) -> Segment:
    """Return the segment with another text; `language` is Whisper's code.

    Words that are in both texts, in that order, keep times and score, also where their marks or capitals changed. New
    ones share the time of those they replace, or what is between their neighbours, by length, and have no score. Tokens
    are those of a text as it was decoded: another one has none. A segment without words (a translation) gets none.
    """
    if text == segment.text.strip():
        return segment
    words = _timed(segment, _split(text, segment.words, segment.language or language)) if segment.words else ()
    return replace(segment, text=text, words=words, tokens=(), token_starts=())


def _timed(segment: Segment, written: Sequence[str]) -> tuple[Word, ...]:
    """Return the words as they are now written, with times; none ends before it starts or starts before the last."""
    before = segment.words
    old, new = [_key(word.word) for word in before], [_key(word) for word in written]
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    words: list[Word] = []
    for kind, first, last, new_first, new_last in matcher.get_opcodes():
        new = written[new_first:new_last]
        if kind == "equal":
            words += [replace(word, word=text) for word, text in zip(before[first:last], new, strict=True)]
            continue
        following = before[last].start if last < len(before) else segment.end
        if first < last:
            start, end = before[first].start, max(word.end for word in before[first:last])
        else:
            start, end = before[first - 1].end if first else segment.start, following
        words += _shared(new, min(start, following), min(end, following), segment)
    return tuple(words)


def _shared(written: Sequence[str], start: float, end: float, segment: Segment) -> list[Word]:
    """Return words that share the time from `start` to `end` (seconds) by their lengths."""
    length = sum(map(len, written))
    words: list[Word] = []
    said = 0
    for word in written:
        begin, said = said, said + len(word)
        times = (round(said_at(place, length, start, end), 3) for place in (begin, said))
        words.append(Word(word, *times, score=None, speaker=segment.speaker))
    return words


def _split(text: str, before: Sequence[Word], language: str) -> list[str]:
    """Return the words of a text. Without spaces they are those there were before, and characters between them."""
    if language not in WITHOUT_SPACES:
        return text.split()
    known = sorted({word.word for word in before}, key=len, reverse=True)
    words: list[str] = []
    for part in text.split():
        first, at = len(words), 0
        while at < len(part):
            found = next((word for word in known if part.startswith(word, at)), part[at])
            if len(words) > first and unicodedata.category(part[at]).startswith("M"):
                words[-1] += part[at]  # a mark is of the character before it
                at += 1
            else:
                words.append(found)
                at += len(found)
    return words


def _key(word: str) -> str:
    """Return what makes two words the same: letters and digits; marks alone are themselves."""
    return "".join(filter(str.isalnum, word.casefold())) or word
