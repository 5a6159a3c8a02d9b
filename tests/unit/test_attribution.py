"""Speakers of a sentence's words where edges of turns are off."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from whisperx_api.pipeline.attribution import CHANGE_SECONDS, NEAREST_TURN_SECONDS, SpeakerTimes, attribute
from whisperx_api.transcript import Diarization, Turn, Word

Timed = tuple[str, float, float]


def given(
    words: list[Timed],
    exclusive: list[tuple[float, float, str]],
    turns: list[tuple[float, float, str]] | None = None,
) -> str:
    """Return the speakers of a sentence's words, a letter each; a dot where there is none."""
    sentence = [Word(*word) for word in words]
    diarization = Diarization(
        tuple(Turn(*turn) for turn in (exclusive if turns is None else turns)),
        tuple(Turn(*turn) for turn in exclusive),
    )
    times = SpeakerTimes(diarization)
    found = attribute(sentence, times.of_words(sentence))
    return "".join("." if index is None else times.speakers[index] for index in found)


def test_last_word_beyond_the_edge_of_its_turn_stays_with_its_sentence() -> None:
    # as the starter models have it in pyannote's sample: both talk from 10.46 to 10.98
    words = [("Neither", 10.03, 10.23), ("did", 10.23, 10.47), ("I.", 10.52, 10.67)]
    exclusive = [(8.32, 9.94, "b"), (9.94, 10.51, "a"), (10.51, 14.68, "b")]
    assert given(words, exclusive, [(8.32, 9.94, "b"), (9.94, 10.98, "a"), (10.46, 14.75, "b")]) == "aaa"


def test_first_word_before_the_edge_of_its_turn_stays_with_its_sentence() -> None:
    words = [("And", 14.41, 14.53), ("I'm", 14.59, 14.79), ("Sheila", 14.79, 15.15), ("in", 15.28, 15.53)]
    exclusive = [(10.51, 14.68, "b"), (14.68, 17.88, "a")]
    assert given(words, exclusive) == "aaaa"


def test_word_inside_a_sentence_is_not_cut_out_by_a_short_false_turn() -> None:
    words = [("we", 0.0, 0.3), ("need", 0.3, 0.6), ("to", 0.6, 0.75), ("go", 0.75, 1.0), ("now", 1.0, 1.4)]
    assert given(words, [(0.0, 0.58, "a"), (0.58, 0.8, "b"), (0.8, 2.0, "a")]) == "aaaaa"


def test_answer_in_a_pause_keeps_its_speaker() -> None:
    words = [("so", 0.0, 0.3), ("then", 0.3, 0.6), ("yeah", 0.95, 1.25), ("we", 1.6, 1.8), ("went", 1.8, 2.1)]
    assert given(words, [(0.0, 0.65, "a"), (0.9, 1.3, "b"), (1.55, 2.2, "a")]) == "aabaa"


def test_speaker_may_change_inside_a_sentence_for_several_words() -> None:
    words = [(str(index), index * 0.2, index * 0.2 + 0.2) for index in range(6)]
    assert given(words, [(0.0, 0.6, "a"), (0.6, 1.2, "b")]) == "aaabbb"


def test_change_lies_where_the_turns_have_it() -> None:
    words = [(str(index), index * 0.2, index * 0.2 + 0.2) for index in range(8)]
    for edge in range(2, 7):
        assert given(words, [(0.0, edge * 0.2, "a"), (edge * 0.2, 1.6, "b")]) == "a" * edge + "b" * (8 - edge)


def test_word_in_two_turns_goes_with_its_sentence_whoever_has_the_floor() -> None:
    words = [("I", 0.0, 0.4), ("think", 0.4, 0.8), ("that", 0.8, 1.2), ("works", 1.2, 1.8)]
    floor = [(0.0, 1.2, "a"), (1.2, 2.0, "b")]
    assert given(words, floor, [(0.0, 1.9, "a"), (1.2, 2.0, "b")]) == "aaaa"
    assert given(words, floor, [(0.0, 1.2, "a"), (1.2, 2.0, "b")]) == "aaab"


def test_word_far_from_all_turns_has_none_and_the_next_is_not_moved_by_it() -> None:
    far = 2.0 + NEAREST_TURN_SECONDS
    words = [("a", 0.0, 0.5), ("b", far, far + 0.2), ("c", 9.0, 9.5)]
    assert given(words, [(0.0, 1.0, "x"), (9.0, 10.0, "y")]) == "x.y"
    assert given(words, []) == "..."


def test_closeness_is_time_in_turns_or_the_way_to_them() -> None:
    turns = (Turn(1.0, 2.0, "a"), Turn(1.5, 3.0, "a"), Turn(4.0, 5.0, "a"), Turn(9.0, 9.5, "b"))
    times = SpeakerTimes(Diarization(turns, turns))
    starts = np.array([0.2, 0.5, 1.2, 2.5, 3.2, 3.7, 4.5, 4.2, 20.0])
    ends = np.array([0.7, 1.5, 2.8, 4.5, 3.4, 3.8, 4.5, 7.0, 21.0])
    found = times.exclusive(starts, ends)
    assert found[:, 0] == pytest.approx([-0.3, 0.5, 1.6, 1.0, -0.2, -0.2, 0.0, 0.8, -1.0])
    assert found[-2:, 1] == pytest.approx([-1.0, -1.0])


def test_path_is_the_best_of_all() -> None:
    chance = np.random.default_rng(1)
    for _ in range(40):
        n_words, n_speakers = int(chance.integers(1, 6)), int(chance.integers(1, 4))
        closeness = chance.uniform(-0.9, 0.6, (n_words, n_speakers))
        pauses = chance.uniform(0.0, 0.6, n_words)
        starts = np.cumsum(pauses + 0.2)
        words = [Word("w", float(start), float(start) + 0.2) for start in starts]

        def worth(path: tuple[int, ...], gains: np.ndarray = closeness, gaps: np.ndarray = pauses) -> float:
            changes = sum(max(0.0, CHANGE_SECONDS - gaps[i]) for i in range(1, len(path)) if path[i] != path[i - 1])
            return float(sum(gains[i, speaker] for i, speaker in enumerate(path)) - changes)

        best = max(worth(path) for path in itertools.product(range(n_speakers), repeat=n_words))
        found = attribute(words, closeness)
        assert worth(tuple(index for index in found if index is not None)) == pytest.approx(best)


def test_turn_of_hours_over_many_short_ones_takes_no_longer() -> None:
    """A search that looks at every turn under a long one would look at 100 million."""
    short = tuple(Turn(index * 3.0, index * 3.0 + 0.5, "b") for index in range(10_000))
    diarization = Diarization((Turn(0.0, 30_000.0, "a"), *short), (Turn(0.0, 30_000.0, "a"), *short))
    words = [Word("w", index * 3.0 + 0.1, index * 3.0 + 0.3) for index in range(10_000)]
    start = time.process_time()
    closeness = SpeakerTimes(diarization).of_words(words)
    assert time.process_time() - start < 1.0
    assert closeness == pytest.approx(0.2)
