"""Texts put right: which words keep their times, and when new ones are said."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transcripts import many_times
from whisperx_api.jobs.correction import corrected
from whisperx_api.jobs.edits import Edits, edited
from whisperx_api.transcript import Segment, Speaker, Transcript, Word, from_json, to_json


def spoken(text: str, *, spaceless: bool = False) -> Segment:
    """A segment from 10 s on with a word every second, each 0.8 s long."""
    written = text.split("|") if spaceless else text.split()
    words = tuple(Word(word, 10.0 + at, 10.8 + at, 0.9, "SPEAKER_00") for at, word in enumerate(written))
    end = words[-1].end + 0.5
    return Segment(9.5, end, text.replace("|", ""), words, "SPEAKER_00", tokens=(1, 2), token_starts=(0, 3))


SEGMENT = spoken("The quick brown fox jumps.")


def times(segment: Segment) -> list[tuple[str, float, float, float | None]]:
    return [(word.word, word.start, word.end, word.score) for word in segment.words]


def test_unchanged_text_keeps_everything() -> None:
    assert corrected(SEGMENT, "The quick brown fox jumps.", "en") == SEGMENT


def test_word_with_other_marks_or_capitals_keeps_its_time_and_score() -> None:
    changed = corrected(SEGMENT, "the quick, brown Fox jumps!", "en")
    assert [word.word for word in changed.words] == ["the", "quick,", "brown", "Fox", "jumps!"]
    assert [replace(word, word="") for word in changed.words] == [replace(word, word="") for word in SEGMENT.words]
    assert (changed.tokens, changed.token_starts) == ((), ())


def test_long_segment_keeps_the_times_of_words_that_come_often() -> None:
    segment = spoken(" ".join(["so", "it", "is"] * 100))
    changed = corrected(segment, segment.text.replace("so", "thus", 1), "en")
    assert times(changed)[1:] == times(segment)[1:]


def test_new_words_share_the_time_of_those_they_replace() -> None:
    changed = corrected(SEGMENT, "The dark red fox jumps.", "en")
    assert times(changed) == [
        ("The", 10.0, 10.8, 0.9), ("dark", 11.0, 12.029, None), ("red", 12.029, 12.8, None), ("fox", 13.0, 13.8, 0.9),
        ("jumps.", 14.0, 14.8, 0.9),
    ]  # fmt: skip
    assert {word.speaker for word in changed.words} == {"SPEAKER_00"}


@pytest.mark.parametrize(
    ("text", "place", "start", "end"),
    [
        ("Oh the quick brown fox jumps.", 0, 9.5, 10.0),
        ("The quick light brown fox jumps.", 2, 11.8, 12.0),
        ("The quick brown fox jumps. High!", 5, 14.8, 15.3),
    ],
)
def test_word_put_in_is_said_between_its_neighbours(text: str, place: int, start: float, end: float) -> None:
    changed = corrected(SEGMENT, text, "en")
    assert times(changed)[place] == (text.split()[place], start, end, None)
    assert len(changed.words) == 6 and (changed.start, changed.end) == (SEGMENT.start, SEGMENT.end)


def test_word_taken_out_leaves_the_others_as_they_are() -> None:
    assert times(corrected(SEGMENT, "The fox jumps.", "en")) == [times(SEGMENT)[place] for place in (0, 3, 4)]
    assert corrected(SEGMENT, "", "en").words == ()


def test_segment_without_words_gets_none() -> None:
    changed = corrected(replace(SEGMENT, words=()), "Something else.", "en")
    assert (changed.text, changed.words) == ("Something else.", ())


def test_language_without_spaces_keeps_its_words() -> None:
    changed = corrected(spoken("今日|は|良い|天気|です", spaceless=True), "今日は悪い天気です", "ja")
    assert times(changed) == [
        ("今日", 10.0, 10.8, 0.9), ("は", 11.0, 11.8, 0.9), ("悪", 12.0, 12.4, None), ("い", 12.4, 12.8, None),
        ("天気", 13.0, 13.8, 0.9), ("です", 14.0, 14.8, 0.9),
    ]  # fmt: skip
    longest = corrected(spoken("天|と|天気", spaceless=True), "天気と天", "ja")
    assert [word.word for word in longest.words] == ["天気", "と", "天"]
    in_between = replace(SEGMENT, language="ja")  # not the recording's language
    assert [word.word for word in corrected(in_between, "foxです", "en").words] == ["fox", "で", "す"]


written = st.sampled_from(["the", "The", "fox", "fox,", "is", "red", "no.", "--"])
numbers = st.lists(st.integers(0, 400), min_size=24)


@many_times
@given(st.lists(written, min_size=1, max_size=12), st.lists(written, max_size=12), numbers)
def test_words_are_those_of_the_text_in_order_of_time(before: list[str], after: list[str], steps: list[int]) -> None:
    at, timed = 0, []
    for index, word in enumerate(before):
        start = at + steps[2 * index]
        timed.append(Word(word, start / 1000, (start + steps[2 * index + 1]) / 1000, 0.9))
        at = start  # words may overlap
    segment = Segment(timed[0].start, max(word.end for word in timed), " ".join(before), tuple(timed))
    changed = corrected(segment, " ".join(after), "en")
    assert [word.word for word in changed.words] == after
    assert all(word.start <= word.end for word in changed.words)
    starts = [word.start for word in changed.words]
    assert starts == sorted(starts)
    assert all(segment.start <= word.start and word.end <= segment.end for word in changed.words)
    known = {(word.start, word.end, re.sub(r"\W", "", word.word.lower())) for word in timed}
    for word in changed.words:
        assert word.score is None or (word.start, word.end, re.sub(r"\W", "", word.word.lower())) in known


def test_edits_add_up_survive_the_disk_and_are_made() -> None:
    speakers = (Speaker("SPEAKER_00", 1.0, "Old"), Speaker("SPEAKER_01", 1.0))
    transcript = Transcript("en", 20.0, (SEGMENT, SEGMENT), speakers)
    edits = Edits({"SPEAKER_00": "Ann"}, {0: "One."}).then(Edits({"SPEAKER_01": "Bob"}, {1: "Two."}))
    edits = from_json(Edits, to_json(edits.then(Edits({"SPEAKER_00": None}, {0: "First."}))))
    changed = edited(transcript, edits)
    assert [speaker.name for speaker in changed.speakers] == [None, "Bob"]
    assert changed.text == "First. Two."
    assert edited(transcript, Edits({"SPEAKER_09": "Eve"}, {7: "No."})) == transcript
