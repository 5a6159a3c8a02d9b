"""Which of a recording's speakers have a name: distances of voices, and what they are taken for."""

from __future__ import annotations

import numpy as np

from whisperx_api.pipeline.known_speakers import MARGIN, match, misses

FARTHEST = 0.5


def at(distance: float, towards: tuple[int, int] = (0, 1), dimension: int = 4) -> np.ndarray:
    """Return a vector, of any length, at a cosine distance from one axis, turned towards another."""
    vector = np.zeros(dimension)
    vector[towards[0]], vector[towards[1]] = 1 - distance, np.sqrt(1 - (1 - distance) ** 2)
    return 3.0 * vector


AXES = np.eye(4)


def test_each_speaker_has_the_name_of_the_nearest_voice() -> None:
    speakers = {"SPEAKER_00": tuple(2 * AXES[0]), "SPEAKER_01": tuple(AXES[1]), "SPEAKER_02": tuple(AXES[2])}
    voices = {"Bob": at(0.2, (1, 3)), "Ann": at(0.1, (0, 3))}
    assert match(speakers, voices, FARTHEST) == {"SPEAKER_00": "Ann", "SPEAKER_01": "Bob"}


def test_voice_that_is_too_far_is_nobody_s() -> None:
    speaker = {"s": tuple(AXES[0])}
    assert match(speaker, {"Ann": at(FARTHEST - 0.01)}, FARTHEST) == {"s": "Ann"}
    assert match(speaker, {"Ann": at(FARTHEST + 0.01)}, FARTHEST) == {}


def test_speaker_near_two_voices_has_neither_name() -> None:
    speaker = {"s": tuple(AXES[0])}
    alike = {"Ann": at(0.2, (0, 1)), "Bob": at(0.2 + MARGIN - 0.01, (0, 2))}
    assert match(speaker, alike, FARTHEST) == {}
    assert match(speaker, alike | {"Bob": at(0.2 + MARGIN + 0.01, (0, 2))}, FARTHEST) == {"s": "Ann"}


def test_name_is_given_once_to_the_nearest_speaker() -> None:
    speakers = {"s0": tuple(at(0.3)), "s1": tuple(at(0.1)), "s2": tuple(at(0.2))}
    assert match(speakers, {"Ann": AXES[0]}, FARTHEST) == {"s1": "Ann"}


def test_speaker_whose_nearest_voice_is_taken_gets_no_other_name() -> None:
    speakers = {"s0": tuple(AXES[0]), "s1": tuple(at(0.1))}
    voices = {"Ann": AXES[0], "Bob": at(0.6)}
    assert match(speakers, voices, FARTHEST) == {"s0": "Ann"}


def test_nobody_is_named_where_there_are_no_speakers_or_no_voices() -> None:
    assert match({}, {"Ann": AXES[0]}, FARTHEST) == {}
    assert match({"s": tuple(AXES[0])}, {}, FARTHEST) == {}


def test_a_warning_says_how_far_the_nearest_speaker_is() -> None:
    speakers = {"s0": tuple(at(0.97)), "s1": tuple(at(0.86))}
    assert misses(speakers, {"Katie": AXES[0]}, 0.35, ()) == [
        "Nobody in the recording sounds like the reference of Katie: the nearest speaker is at 0.86, and 0.35 is the "
        "farthest that counts."
    ]


def test_a_warning_says_which_references_are_too_much_alike() -> None:
    speaker = {"s": tuple(AXES[0])}
    alike = {"Ann": at(0.2, (0, 1)), "Bob": at(0.25, (0, 2)), "Eve": at(0.3, (0, 3))}
    assert match(speaker, alike, FARTHEST) == {}
    ann, bob, _ = misses(speaker, alike, FARTHEST, ())
    assert ann == (
        "The reference of Ann named nobody: the nearest speaker is at 0.20 from it and at 0.25 from that of Bob, and a "
        "name must be nearer than any other by 0.10."
    )
    assert "at 0.25 from it and at 0.20 from that of Ann" in bob


def test_name_that_was_given_has_no_warning_and_the_one_behind_it_does() -> None:
    speakers, voices = {"s0": tuple(AXES[0])}, {"Ann": AXES[0], "Bob": at(0.4)}
    given = match(speakers, voices, FARTHEST).values()
    (bob,) = misses(speakers, voices, FARTHEST, given)
    assert "reference of Bob" in bob and "at 0.40 from it and at 0.00 from that of Ann" in bob


def test_a_warning_says_that_nobody_can_be_compared() -> None:
    (said,) = misses({}, {"Ann": AXES[0]}, FARTHEST, ())
    assert said == "Nobody in the recording talks enough to be compared with the reference of Ann."
