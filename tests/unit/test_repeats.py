"""Telling what was repeated from what a decoder only wrote again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from whisperx_api.pipeline.repeats import first_unsaid, have_times, is_echo
from whisperx_api.transcript import Segment, Word


def words(text: str, *, without_time: tuple[int, ...] = ()) -> list[Word]:
    """Words of 0.3 s each; those at `without_time` last one frame."""
    return [
        Word(word, index * 0.3, index * 0.3 + (0.02 if index in without_time else 0.3))
        for index, word in enumerate(text.split())
    ]


@pytest.mark.parametrize("text", ["no, no, no, no, no, no", "Sing it again. " * 5, "One. Two. " * 4 + "One."])
def test_repetition_with_a_time_for_every_word_was_said(text: str) -> None:
    assert first_unsaid(words(text)) is None


def test_loop_is_dropped_after_its_first_copy() -> None:
    text = "We left. " + "That is all. " * 4
    assert first_unsaid(words(text, without_time=(6, 8, 9, 10, 11))) == 5


def test_copies_that_were_said_are_kept_before_those_that_were_not() -> None:
    assert first_unsaid(words("Sing it again. " * 6, without_time=(10, 12, 13, 14, 15, 16, 17))) == 9


def test_loop_may_break_off_in_its_phrase() -> None:
    text = "Well. " + "on the desk, " * 3 + "on the"
    assert first_unsaid(words(text, without_time=tuple(range(5, 12)))) == 4


def test_words_without_time_are_no_loop_by_themselves() -> None:
    assert first_unsaid(words("a b c d e f", without_time=tuple(range(6)))) is None
    assert first_unsaid(words("so so and that is that", without_time=(3, 4, 5))) is None
    assert first_unsaid(words("it was it was", without_time=(2, 3))) is None  # two copies: people say that
    assert first_unsaid([]) is None


def test_a_few_short_words_in_a_repetition_are_speech() -> None:
    assert first_unsaid(words("come on now " * 5, without_time=(4, 9))) is None
    assert have_times(words("a b c d e", without_time=(2,))) and not have_times(words("a b c d", without_time=(1, 2)))
    assert have_times([])


def test_script_without_letter_case_or_spaces_loops_too() -> None:
    assert first_unsaid(words("人 間、 " * 5, without_time=(2, 3, 4, 5, 6, 7, 8))) == 2


def test_same_text_again_is_an_echo_only_where_nobody_speaks() -> None:
    silent = Segment(30.0, 32.0, "Thank you.", no_speech_prob=0.7)
    assert is_echo(replace(silent, text="thank you"), silent)
    assert not is_echo(replace(silent, no_speech_prob=0.6), silent)
    assert not is_echo(silent, replace(silent, no_speech_prob=0.2))
    assert not is_echo(replace(silent, text="Thanks."), silent)
    assert not is_echo(replace(silent, no_speech_prob=None), silent)
