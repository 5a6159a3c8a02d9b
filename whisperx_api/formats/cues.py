"""What a subtitle shows and when: a transcript cut into cues, and cues into lines.

Without limits there is one cue a segment, on one line, as whisperx and openai-whisper write them; a segment is a
sentence of one speaker. With a limit long segments are cut: `MAX_LINE_WIDTH` stands in for a width that is left out,
and a count that is left out leaves segments whole, wrapped into as many lines as they need. A cue never reaches over
the end of a segment, so that it ends where the speaker changes and where a sentence ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from whisperx_api.formats.units import Unit, chunks, ends_sentence, milliseconds, one_line, units
from whisperx_api.transcript import Segment, Transcript

MAX_LINE_WIDTH = 42
"""Characters on a line where only the count of lines is given: what subtitles commonly have."""


@dataclass(frozen=True)
class Layout:
    """How subtitles are cut: characters on a line, lines in a cue, and whether each word is underlined as it is said.

    None is no limit.
    """

    max_line_width: int | None = None
    max_line_count: int | None = None
    highlight_words: bool = False

    @property
    def width(self) -> int | None:
        """Characters on a line, None for lines of any length."""
        return MAX_LINE_WIDTH if self.max_line_width is None and self.max_line_count else self.max_line_width


@dataclass(frozen=True)
class Run:
    """Text of one look."""

    text: str
    underlined: bool = False


@dataclass(frozen=True)
class Cue:
    """Lines of text shown from `start` to `end`, in milliseconds; `speaker` is what to call who says it."""

    start: int
    end: int
    speaker: str | None
    lines: tuple[tuple[Run, ...], ...]


Label = Callable[[str], str]
"""Makes of a speaker's name what stands before the text on a cue's first line."""

Lines = list[list[Unit]]
"""The units on each line of one cue."""


def speaker_names(transcript: Transcript) -> dict[str, str]:
    """Return what to call each speaker, on one line: the name where there is one, else the id."""
    return {speaker.id: one_line(speaker.name or "") or speaker.id for speaker in transcript.speakers}


def cues(transcript: Transcript, layout: Layout, label: Label | None = None) -> list[Cue]:
    """Return the transcript's cues, ordered by their starts; each lasts a millisecond at least.

    A line is longer than its width only where one word is. `label` counts towards the width of a cue's first line.
    """
    names = speaker_names(transcript)
    found: list[Cue] = []
    for segment in transcript.segments:
        speaker = None if segment.speaker is None else names.get(segment.speaker, segment.speaker)
        before = label(speaker) if label is not None and speaker is not None else ""
        previous = 0
        for lines, shown_from, shown_to in _cut(segment, transcript.language, layout, len(before)):
            for active, start, end in _states(lines, shown_from, shown_to, layout.highlight_words):
                start = max(previous, start)
                found.append(Cue(start, max(start + 1, end), speaker, _runs(lines, active, before)))
                previous = start
    return sorted(found, key=lambda cue: cue.start)


def _cut(segment: Segment, language: str, layout: Layout, reserved: int) -> Iterator[tuple[Lines, int, int]]:
    """Yield the lines, start and end (milliseconds) of each of a segment's cues.

    `reserved` characters stand before the text of each. A segment that is not cut keeps its own times.
    """
    pieces = units(segment, language)
    if not pieces:
        return
    whole = milliseconds(segment.start), milliseconds(segment.end)
    if layout.width is None:
        yield [pieces], *whole
    elif layout.max_line_count is None:
        for lines in _lines(pieces, layout.width, None, reserved):
            yield lines, *whole
    else:
        for sentence in _sentences(pieces):
            for lines in _lines(sentence, layout.width, layout.max_line_count, reserved):
                shown = [unit for line in lines for unit in line]
                yield lines, shown[0].start, max(unit.end for unit in shown)


def _sentences(pieces: list[Unit]) -> Iterator[list[Unit]]:
    """Yield the sentences of a segment: one with words is a sentence already.

    One without may hold several, in translations from before they were cut.
    """
    first = 0
    for index, (unit, following) in enumerate(pairwise(pieces), start=1):
        if not unit.timed and ends_sentence(unit, following):
            yield pieces[first:index]
            first = index
    yield pieces[first:]


def _lines(pieces: list[Unit], width: int, count: int | None, reserved: int) -> Iterator[Lines]:
    """Yield the units on up to `count` lines of `width` characters at a time, `reserved` less on the first of them."""
    lines: Lines = []
    length = 0
    for chunk in chunks(pieces):
        size = len(_text(chunk))
        longer = length + chunk[0].space + size
        if lines and longer <= width:
            lines[-1] += chunk
            length = longer
            continue
        if lines and len(lines) == count:
            yield lines
            lines = []
        length = size + (0 if lines else reserved)
        lines.append(chunk)
    yield lines


def _states(lines: Lines, start: int, end: int, highlight: bool) -> Iterator[tuple[Unit | None, int, int]]:
    """Yield which word of a cue is underlined from when to when (milliseconds), None for none of them.

    Words without times of their own are never underlined.
    """
    words = [unit for line in lines for unit in line if unit.timed] if highlight else []
    last = start
    for word in words:
        begins = max(last, word.start)
        if begins > last:
            yield None, last, begins
        last = max(begins + 1, word.end)
        yield word, begins, last
    if last < end or not words:
        yield None, last, end


def _runs(lines: Lines, active: Unit | None, before: str) -> tuple[tuple[Run, ...], ...]:
    """Return lines as they look while the word `active` is said, with `before` at the start of the first."""
    shown: list[tuple[Run, ...]] = []
    for line in lines:
        prefix = "" if shown else before
        place = next((index for index, unit in enumerate(line) if unit is active), None)
        if place is None:
            shown.append((Run(prefix + _text(line)),))
            continue
        ahead = _text(line[:place])
        space = " " if place and line[place].space else ""
        rest = _text(line[place:])[len(line[place].text) :]
        runs = (Run(prefix + ahead + space), Run(line[place].text, underlined=True), Run(rest))
        shown.append(tuple(run for run in runs if run.text))
    return tuple(shown)


def _text(pieces: list[Unit]) -> str:
    """Return units as they are written on one line."""
    return "".join(f"{' ' if index and unit.space else ''}{unit.text}" for index, unit in enumerate(pieces))
