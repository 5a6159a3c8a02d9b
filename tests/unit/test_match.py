"""Which of a recording's speakers have a name: distances of voices, and what they are taken for."""

from __future__ import annotations

import numpy as np

from whisperx_api.pipeline.known_speakers import MARGIN, match

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
