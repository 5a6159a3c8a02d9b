"""Subtitles: how they are cut, and that players' own parsers read what was written."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from itertools import pairwise

import pysubs2
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from tests.transcripts import many_times, transcripts
from whisperx_api.formats.cues import Layout, cues, speaker_names
from whisperx_api.formats.subtitles import srt, vtt
from whisperx_api.transcript import Segment, Speaker, Transcript, Word

WIDTHS, COUNTS = st.integers(8, 60), st.integers(1, 3)


def spoken(text: str, speaker: str | None = None, start: float = 0.0, pace: float = 0.5) -> Segment:
    """A segment whose words take `pace` seconds each."""
    words = tuple(
        Word(word, start + index * pace, start + (index + 0.8) * pace, 0.9, speaker)
        for index, word in enumerate(text.split())
    )
    return Segment(words[0].start, words[-1].end, text, words, speaker)


def transcript(*segments: Segment, language: str = "en", **names: str) -> Transcript:
    ids = dict.fromkeys(segment.speaker for segment in segments if segment.speaker)
    return Transcript(language, 60.0, segments, tuple(Speaker(who, 1.0, names.get(who)) for who in ids))


def texts(written: Transcript, layout: Layout) -> list[str]:
    return ["\n".join("".join(run.text for run in line) for line in cue.lines) for cue in cues(written, layout)]


def read_srt(written: str) -> list[tuple[int, int, str]]:
    events = pysubs2.SSAFile.from_string(written, format_="srt") if written else []
    return [(event.start, event.end, event.text.replace("\\N", "\n")) for event in events]


def read_vtt(written: str) -> list[tuple[int, int, str | None, str]]:
    def clock(time: str) -> int:
        hours, minutes, seconds = time.split(":")
        return round((int(hours) * 3600 + int(minutes) * 60) * 1000 + float(seconds) * 1000)

    return [
        (
            clock(caption.start),
            clock(caption.end),
            None if caption.voice is None else html.unescape(caption.voice),
            html.unescape(re.sub("<[^>]*>", "", caption.raw_text)),
        )
        for caption in webvtt.from_string(written, strict=True)
    ]


# --- what is shown ---


def test_without_limits_there_is_a_cue_a_segment_on_one_line() -> None:
    long = spoken("one two three four five six seven eight nine ten eleven twelve thirteen.", "SPEAKER_00")
    two = transcript(long, spoken("Yes.", "SPEAKER_01", 10.0), SPEAKER_01="Katie")
    assert srt(two, Layout()) == (
        f"1\n00:00:00,000 --> 00:00:06,400\n[SPEAKER_00]: {long.text}\n\n"
        "2\n00:00:10,000 --> 00:00:10,400\n[Katie]: Yes.\n"
    )
    assert vtt(two, Layout()) == (
        f"WEBVTT\n\n00:00:00.000 --> 00:00:06.400\n<v SPEAKER_00>{long.text}\n\n"
        "00:00:10.000 --> 00:00:10.400\n<v Katie>Yes.\n"
    )


def test_transcript_without_speakers_has_none_in_its_subtitles() -> None:
    assert srt(transcript(spoken("Yes.")), Layout()) == "1\n00:00:00,000 --> 00:00:00,400\nYes.\n"
    assert vtt(transcript(spoken("Yes.")), Layout()) == "WEBVTT\n\n00:00:00.000 --> 00:00:00.400\nYes.\n"


def test_silence_is_an_empty_file() -> None:
    assert srt(transcript(), Layout()) == "" and read_vtt(vtt(transcript(), Layout())) == []


def test_hours_go_on_past_a_day() -> None:
    assert "99:59:59,500 --> 99:59:59,900" in srt(transcript(spoken("Yes.", start=359999.5)), Layout())


def test_long_segment_is_cut_into_cues_with_the_times_of_their_words() -> None:
    one = transcript(spoken("one two three four five six seven"))
    layout = Layout(max_line_width=9, max_line_count=2)
    assert texts(one, layout) == ["one two\nthree", "four five\nsix seven"]
    assert [(cue.start, cue.end) for cue in cues(one, layout)] == [(0, 1400), (1500, 3400)]


def test_width_alone_wraps_whole_segments_and_count_alone_takes_the_usual_width() -> None:
    one = transcript(spoken("one two three four five six seven"))
    assert texts(one, Layout(max_line_width=9)) == ["one two\nthree\nfour five\nsix seven"]
    many = transcript(spoken(" ".join(["word"] * 20)))
    assert [len(line) for line in texts(many, Layout(max_line_count=1))] == [39, 39, 19]


def test_speaker_counts_towards_the_width_of_srt_and_not_of_vtt() -> None:
    one = transcript(spoken("one two three four", "SPEAKER_00"), SPEAKER_00="Jo")
    layout = Layout(max_line_width=12, max_line_count=2)
    assert [text for _, _, text in read_srt(srt(one, layout))] == ["[Jo]: one\ntwo three", "[Jo]: four"]
    assert [text for *_, text in read_vtt(vtt(one, layout))] == ["one two\nthree four"]


def test_each_word_is_underlined_as_it_is_said() -> None:
    one = transcript(replace(spoken("one two"), end=1.0))
    assert [(start, end, text) for start, end, text in read_srt(srt(one, Layout(highlight_words=True)))] == [
        (0, 400, "{\\u1}one{\\u0} two"),
        (400, 500, "one two"),
        (500, 900, "one {\\u1}two{\\u0}"),
        (900, 1000, "one two"),
    ]
    assert "<u>one</u> two" in vtt(one, Layout(highlight_words=True))


def test_cues_of_words_that_overlap_do_not_and_stay_in_order() -> None:
    words = (Word("one", 1.0, 2.0), Word("two", 1.5, 2.5), Word("three", 1.2, 1.3), Word("four", 3.0, 3.0))
    one = transcript(Segment(1.0, 3.0, "one two three four", words))
    found = cues(one, Layout(highlight_words=True))
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert texts(one, Layout(6, 1)) == ["one", "two", "three", "four"]


def test_sentence_with_words_is_not_cut_by_its_marks() -> None:
    one = transcript(spoken("He met Gen. Lee."))
    assert texts(one, Layout(42, 2)) == ["He met Gen. Lee."]


def test_words_without_times_are_not_underlined() -> None:
    translated = transcript(replace(spoken("one two"), words=()))
    assert srt(translated, Layout(highlight_words=True)) == srt(translated, Layout())


def test_translation_is_cut_at_sentence_ends_with_times_by_length() -> None:
    text = "Mr. Smith came. He went! No, he stayed at home for 3.5 days."
    one = transcript(Segment(10.0, 16.0, text))
    layout = Layout(max_line_width=42, max_line_count=2)
    assert texts(one, layout) == ["Mr. Smith came.", "He went!", "No, he stayed at home for 3.5 days."]
    found = cues(one, layout)
    assert (found[0].start, found[-1].end) == (10_000, 16_000)
    assert found[0].end <= found[1].start < found[1].end <= found[2].start


def test_japanese_words_are_joined_and_cut_as_they_are_written() -> None:
    written = ("今日", "は", "「", "良い", "」", "天気", "です", "。")
    words = [Word(word, index, index + 1.0) for index, word in enumerate(written)]
    one = transcript(Segment(0.0, 8.0, "今日は「良い」天気です。", tuple(words)), language="ja")
    assert texts(one, Layout()) == ["今日は「良い」天気です。"]
    assert texts(one, Layout(4, 1)) == ["今日は", "「良い」", "天気", "です。"]
    translated = transcript(Segment(0.0, 3.0, "It is a fine day."), language="ja")
    assert texts(translated, Layout(10, 2)) == ["It is a\nfine day."]


def test_text_without_spaces_or_words_is_cut_between_characters() -> None:
    one = transcript(Segment(0.0, 4.0, "東京都に行きました。"), language="ja")
    assert texts(one, Layout(4, 1)) == ["東京都に", "行きまし", "た。"]
    thai = transcript(Segment(0.0, 4.0, "ที่นี่ดี"), language="th")
    assert all(not re.match("[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]", text) for text in texts(thai, Layout(2, 1)))


@pytest.mark.parametrize(
    ("said", "in_srt"),
    [
        ("a < b and c > d", "a ‹ b and c > d"),
        ("<i>so</i>", "‹i>so‹/i>"),
        ("2 < 3", "2 < 3"),
        ("x --> y", "x -> y"),
        ("x ----> y", "x -> y"),
        ("Tom & Jerry &amp; Co", "Tom & Jerry &amp; Co"),
        ("{\\an8}up", "{ \\an8}up"),
    ],
)
def test_marks_of_the_format_are_text_when_they_are_said(said: str, in_srt: str) -> None:
    segments = (spoken("before"), spoken(said, "SPEAKER_00", 5.0), spoken("after", None, 20.0))
    one = transcript(*segments, SPEAKER_00="<b> & C")
    (_, _, voice, text), *others = read_vtt(vtt(one, Layout()))[1:]
    assert (voice, text, len(others)) == ("<b> & C", said, 1)
    assert [text for _, _, text in read_srt(srt(one, Layout()))] == ["before", f"[‹b> & C]: {in_srt}", "after"]


def test_line_ends_and_tabs_in_a_text_cut_no_cue_short() -> None:
    one = transcript(Segment(0.0, 1.0, "one\n\ntwo\tthree\r\nfour"), spoken("five", start=2.0))
    assert [text for _, _, text in read_srt(srt(one, Layout()))] == ["one two three four", "five"]
    assert [text for *_, text in read_vtt(vtt(one, Layout()))] == ["one two three four", "five"]


# --- what holds of every transcript ---


def words_of(written: Transcript) -> list[list[str]]:
    return [segment.text.split() for segment in written.segments]


def check_cues(written: Transcript, layout: Layout) -> None:
    found = cues(written, layout)
    assert all(cue.start < cue.end for cue in found)
    assert [cue.start for cue in found] == sorted(cue.start for cue in found)
    names = speaker_names(written)
    for segment in written.segments:  # cues of others may lie between where speakers overlap
        wanted = segment.text.split()
        said = [
            word
            for cue in found
            for line in cue.lines
            for word in "".join(run.text for run in line).split()
            if word in wanted and cue.speaker == (None if segment.speaker is None else names[segment.speaker])
        ]
        assert said == wanted
    for cue in found:
        assert layout.max_line_count is None or len(cue.lines) <= layout.max_line_count
        for line in cue.lines:
            text = "".join(run.text for run in line)
            assert layout.width is None or len(text) <= layout.width or " " not in text


@many_times
@given(transcripts(), WIDTHS, COUNTS)
def test_every_word_is_shown_once_in_order_by_its_speaker_on_lines_that_fit(written, width, count) -> None:
    for layout in (Layout(), Layout(width), Layout(width, count), Layout(None, count)):
        check_cues(written, layout)


@many_times
@given(transcripts(timed=False), WIDTHS, COUNTS)
def test_so_it_is_without_times_of_words(written, width, count) -> None:
    for layout in (Layout(), Layout(width), Layout(width, count)):
        check_cues(written, layout)
    for segment, whole in zip(written.segments, cues(written, Layout()), strict=True):
        assert whole.start == round(segment.start * 1000)
        assert whole.end == max(whole.start + 1, round(segment.end * 1000))


@many_times
@given(transcripts(spaceless=True), st.booleans(), WIDTHS, COUNTS)
def test_so_it_is_without_spaces(written: Transcript, timed: bool, width: int, count: int) -> None:
    if not timed:
        written = replace(written, segments=tuple(replace(segment, words=()) for segment in written.segments))
    for segment in written.segments:
        alone = replace(written, segments=(segment,))
        for layout in (Layout(), Layout(width, count)):
            shown = texts(alone, layout)
            assert "".join(shown).replace("\n", "") == segment.text
            assert all(len(line) <= width for text in shown for line in text.split("\n")) or layout == Layout()


@many_times
@given(transcripts(), st.sampled_from([Layout(), Layout(20, 2)]))
def test_words_are_underlined_one_after_the_other(written: Transcript, layout: Layout) -> None:
    for segment in written.segments:
        found = cues(replace(written, segments=(segment,)), replace(layout, highlight_words=True))
        underlined = [run.text for cue in found for line in cue.lines for run in line if run.underlined]
        assert underlined == segment.text.split()
        assert [cue.start for cue in found] == sorted(cue.start for cue in found)


@many_times
@given(transcripts(), st.sampled_from([Layout(), Layout(24, 2)]))
def test_parsers_read_the_same_cues(written: Transcript, layout: Layout) -> None:
    expected = [
        (cue.start, cue.end, cue.speaker, "\n".join("".join(run.text for run in line) for line in cue.lines))
        for cue in cues(written, layout)
    ]
    assert read_vtt(vtt(written, layout)) == expected
    labelled = cues(written, layout, lambda name: f"[{name}]: ")
    for (start, end, text), cue in zip(read_srt(srt(written, layout)), labelled, strict=True):
        assert (start, end) == (cue.start, cue.end)
        said = "\n".join("".join(run.text for run in line) for line in cue.lines)
        assert text.replace("‹", "<").replace("->", "-->") == said.replace("->", "-->")
