"""The measures that tests and the accuracy bench share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.references import Utterance, normal, stm, words_ctm
from bench.scoring import (
    Heard,
    Rate,
    annotation,
    diarization_error,
    pairs,
    speaker_word_error,
    start_offsets,
    word_diarization_error,
    word_error,
)

SAID = (Utterance("Ann", 0.0, 2.0, "It's half-past two."), Utterance("Bob", 2.0, 3.0, "Already?"))


def heard(*words: tuple[str, str | None], first: float = 0.0) -> list[Heard]:
    return [Heard(word, first + index * 0.5, first + index * 0.5 + 0.4, who) for index, (word, who) in enumerate(words)]


def test_words_are_compared_without_case_marks_and_accents() -> None:
    assert normal("L'École, N_E_Z_ half-past") == "lecole n e z half past"


def test_word_error_counts_words_not_recordings() -> None:
    error = word_error(SAID, "its half past three") + word_error(SAID[1:], "already")
    assert (error.errors, error.total, float(error)) == (2, 6, pytest.approx(1 / 3))
    assert float(Rate()) == 0.0


def test_word_of_the_wrong_speaker_counts_whatever_the_speakers_are_called() -> None:
    right = heard(("its", "y"), ("half", "y"), ("past", "y"), ("two", "y"), ("already", "x"))
    assert word_diarization_error(pairs(SAID, right)) == Rate(0, 5)
    assert float(speaker_word_error(SAID, right)) == 0.0
    wrong = heard(("its", "y"), ("half", "y"), ("past", "y"), ("too", "x"), ("already", "x"))
    assert word_diarization_error(pairs(SAID, wrong)) == Rate(1, 5)
    nobody = heard(("its", "y"), ("half", "y"), ("past", "y"), ("two", "y"), ("already", None))
    assert word_diarization_error(pairs(SAID, nobody)) == Rate(1, 5)


def test_two_speakers_taken_for_one_and_one_for_two() -> None:
    one = heard(("its", "x"), ("half", "x"), ("past", "x"), ("two", "x"), ("already", "x"))
    assert word_diarization_error(pairs(SAID, one)) == Rate(1, 5)
    three = heard(("its", "x"), ("half", "x"), ("past", "z"), ("two", "x"), ("already", "y"))
    assert word_diarization_error(pairs(SAID, three)) == Rate(1, 5)


def test_same_word_half_a_minute_later_is_another_one() -> None:
    assert len(pairs(SAID[1:], heard(("already", "x"), first=2.0))) == 1
    assert pairs(SAID[1:], heard(("already", "x"), first=32.0)) == []


def test_starts_are_those_of_words_heard_rightly() -> None:
    said = [Utterance("Ann", 1.0, 1.2, "Two"), Utterance("Ann", 1.5, 1.9, "three.")]
    found = [Heard("Two,", 1.25, 1.4, "x"), Heard("tree", 1.5, 1.9, "x")]
    assert start_offsets(pairs(said, found)) == [0.25]


def test_diarization_error_counts_overlap_and_spares_the_collar() -> None:
    truth = annotation([(0.0, 4.0, "Ann"), (3.0, 6.0, "Bob")])
    missed = annotation([(0.0, 4.0, "x"), (4.0, 6.0, "y")])
    error = diarization_error(truth, missed, 6.0, 0.0)
    assert (error.errors, error.total) == (pytest.approx(1.0), pytest.approx(7.0))
    late = annotation([(0.2, 4.0, "x"), (3.2, 6.0, "y")])
    assert float(diarization_error(truth, late, 6.0, 0.25)) == 0.0


def test_references_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.stm").write_text("a 1 Bob 2.5 3.0 Yes it is\na 1 Ann 0.5 2.0 Is it\n")
    (tmp_path / "a.words.ctm").write_text("a Bob 2.5 0.2 Yes\na Ann 0.5 0.25 Is\n")
    assert [(one.speaker, one.text) for one in stm(tmp_path / "a.stm")] == [("Ann", "Is it"), ("Bob", "Yes it is")]
    assert words_ctm(tmp_path / "a.words.ctm")[0] == Utterance("Ann", 0.5, 0.75, "Is")
