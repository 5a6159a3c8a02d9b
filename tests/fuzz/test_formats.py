"""Every format, of transcripts in which anything may be said by anybody: what others' parsers read back is that."""

from __future__ import annotations

import csv
import io
import json
import re

import pysubs2
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import fuzzed
from whisperx_api.formats.cues import Layout, cues
from whisperx_api.formats.subtitles import label
from whisperx_api.formats.writing import Format, Wanted, write
from whisperx_api.transcript import Segment, Speaker, Transcript, Word

PIECES = st.sampled_from([
    "a", "Hello", " ", "  ", "\t", "\n", "\r\n", "\r", "\0", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028",
    "\u2029", "\u200b", "\ufeff", "\u202e", "\xa0", "<", ">", "&", "&lt;", "&amp;", "<b>", "</b>", "<v Eve>", "-->",
    "->", "{\\an8}", "{", "}", "\\N", "\\", '"', "'", ",", "NOTE", "WEBVTT", "STYLE", "1",
    "00:00:01,000 --> 00:00:02,000", "é", "e\u0301", "日本", "ที่", "👩\u200d👩", "\U0010ffff", ".", "?", "!", "…",
])  # fmt: skip
TEXTS = st.lists(PIECES, max_size=10).map("".join) | st.text(max_size=20)
TIMES = st.integers(0, 5_000_000).map(lambda milliseconds: milliseconds / 1000)
LAYOUTS = st.builds(
    Layout, st.none() | st.integers(1, 50), st.none() | st.integers(1, 3), st.booleans()
)  # fmt: skip


@st.composite
def said(draw: st.DrawFn) -> Transcript:
    """Any transcript that the engine and whoever corrects it could make between them."""
    ids = [f"SPEAKER_{number:02d}" for number in range(draw(st.integers(0, 3)))]
    segments: list[Segment] = []
    for _ in range(draw(st.integers(0, 4))):
        start = draw(TIMES)
        end = start + draw(st.integers(0, 9000)) / 1000
        words = tuple(
            Word(draw(TEXTS), start + (end - start) * place / 4, start + (end - start) * (place + 1) / 4, None)
            for place in range(draw(st.integers(0, 3)))
        )
        text = draw(TEXTS) if draw(st.booleans()) else " ".join(word.word for word in words)
        segments.append(Segment(start, end, text, words, draw(st.sampled_from([*ids, None]))))
    segments.sort(key=lambda segment: segment.start)
    speakers = tuple(Speaker(one, 1.0, draw(st.none() | TEXTS)) for one in ids)
    return Transcript(draw(st.sampled_from(["en", "ja", "th"])), 5000.0, tuple(segments), speakers)


def times(found: object) -> list[tuple[int, int]]:
    """Return the starts and ends of a parser's cues, in milliseconds."""
    return [(cue.start, cue.end) for cue in found]  # type: ignore[attr-defined]  # of whatever parser


@fuzzed(150)
@given(transcript=said(), layout=LAYOUTS, name=TEXTS)
def test_every_format_is_read_back(transcript: Transcript, layout: Layout, name: str) -> None:
    wanted = Wanted("task", name, layout=layout)
    written = {one: write(transcript, one, wanted).decode() for one in Format}
    plain = [segment.text.strip() for segment in transcript.segments]
    for one in (Format.JSON, Format.VERBOSE_JSON, Format.DIARIZED_JSON):
        assert [segment["text"] for segment in json.loads(written[one])["segments"]] == plain
    shown = cues(transcript, layout)
    check_vtt(written[Format.VTT], shown)
    check_srt(written[Format.SRT], cues(transcript, layout, label))
    rows = list(csv.reader(io.StringIO(written[Format.TSV]), dialect="excel-tab", strict=True))
    assert [len(row) for row in rows] == [4] * (len(plain) + 1)
    assert [row[2] for row in rows[1:]] == [" ".join(text.split()) for text in plain]
    for line in written[Format.RTTM].splitlines():
        fields = line.split()
        assert len(fields) == 10 and fields[0] == "SPEAKER" and float(fields[3]) >= 0 and float(fields[4]) > 0
    lines = written[Format.TEXT].split("\n")
    assert lines.pop() == "" and len(lines) <= len(plain)
    assert all(line.split() for line in lines)


def check_vtt(written: str, shown: list) -> None:
    found = webvtt.from_string(written, strict=True) if shown else []
    clock = re.compile(r"(\d+):(\d+):(\d+)\.(\d+)")

    def milliseconds(time: str) -> int:
        match = clock.fullmatch(time)
        assert match
        hours, minutes, seconds, rest = map(int, match.groups())
        return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest

    assert [(milliseconds(cue.start), milliseconds(cue.end)) for cue in found] == times(shown)


def check_srt(written: str, shown: list) -> None:
    found = pysubs2.SSAFile.from_string(written, format_="srt") if shown else []
    assert times(found) == times(shown)
