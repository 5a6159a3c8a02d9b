"""Whose voice words are in, told from embeddings of every half second."""

from __future__ import annotations

import numpy as np
import pytest

from whisperx_api.pipeline.attribution import SpeakerTimes
from whisperx_api.pipeline.likeness import Likeness
from whisperx_api.pipeline.speakers import assign
from whisperx_api.pipeline.subsegments import packed
from whisperx_api.transcript import Alignment, Diarization, Segment, Transcription, Turn, Word

VOICES = {
    "a": np.array([1.0, 0.0, 0.0]),
    "b": np.array([0.0, 1.0, 0.0]),
    "?": np.array([1.0, 1.15, 0.0]),
    "!": np.array([1.0, 1.3, 0.0]),
}
"""`?` is more like b, its cosines 0.10 apart, and `!` clearly, by 0.18; a dot is silence."""

Turns = list[tuple[float, float, str]]


def diarized(turns: Turns, heard: str) -> Diarization:
    """Turns, and one letter each half second for whose voice there is."""
    vectors = np.array([VOICES.get(voice, np.zeros(3)) for voice in heard]).reshape(-1, 3)
    found = tuple(Turn(*turn) for turn in turns)
    return Diarization(found, found, subsegments=packed(vectors))


def corrected(turns: Turns, heard: str, start: float, end: float) -> str:
    """Return whose the words from `start` to `end` are that the turns give to a."""
    diarization = diarized(turns, heard)
    times = SpeakerTimes(diarization)
    assert diarization.subsegments is not None
    likeness = Likeness(times, diarization.subsegments)
    return times.speakers[likeness.corrected(times.speakers.index("a"), start, end)]


def test_words_in_another_voice_are_the_others() -> None:
    assert corrected([(0.0, 4.0, "a"), (4.0, 6.0, "b")], "aaaabbaabbbb", 2.0, 3.0) == "b"


def test_words_in_their_speakers_voice_stay() -> None:
    assert corrected([(0.0, 4.0, "a"), (4.0, 6.0, "b")], "aaaaaaaabbbb", 2.0, 3.0) == "a"


def test_words_whose_voice_is_not_clearly_the_others_stay() -> None:
    turns = [(0.0, 4.0, "a"), (4.0, 6.0, "b")]
    assert corrected(turns, "aaaa??aabbbb", 2.0, 3.0) == "a" and corrected(turns, "aaaa!!aabbbb", 2.0, 3.0) == "b"


def test_words_that_make_up_their_speakers_voice_do_not_speak_for_themselves() -> None:
    # six seconds of b's voice in a's turns, of which each half second hears the rest: but not the one in question
    assert corrected([(0.0, 5.0, "a"), (5.0, 7.0, "b")], "aabbbbbbbbbbbb", 1.0, 5.0) == "b"


def test_words_of_half_a_second_are_listened_to_and_shorter_ones_are_not() -> None:
    turns, heard = [(0.0, 4.0, "a"), (4.0, 6.0, "b")], "aaaabbaabbbb"
    assert corrected(turns, heard, 2.0, 2.5) == "b" and corrected(turns, heard, 2.0, 2.45) == "a"


@pytest.mark.parametrize("alone, whose", [(0.4, "a"), (0.6, "b")])
def test_speaker_of_whom_there_is_nothing_else_is_not_compared(alone: float, whose: str) -> None:
    assert corrected([(0.0, 1.0, "a"), (2.0, 2.0 + alone, "a"), (4.0, 6.0, "b")], "bb..aa..bbbb", 0.0, 1.0) == whose
    assert corrected([(0.0, 4.0, "a"), (4.0, 4.0 + alone, "b")], "aabbaaaabbbb", 1.0, 2.0) == whose


def test_half_seconds_without_a_voice_count_for_nobody() -> None:
    assert corrected([(0.0, 4.0, "a"), (4.0, 6.0, "b")], "........bbbb", 1.0, 3.0) == "a"
    assert corrected([(0.0, 4.0, "a"), (4.0, 6.0, "b")], "aaaa....bbbb", 2.0, 3.0) == "a"
    assert corrected([(0.0, 4.0, "a"), (4.0, 6.0, "b")], "bb......bbbb", 0.0, 1.0) == "a"  # nothing else of a


def test_words_beyond_the_last_half_second_stay() -> None:
    assert corrected([(0.0, 4.0, "a"), (4.0, 6.0, "b")], "aaaabbaabbbb", 7.0, 9.0) == "a"
    assert corrected([(0.0, 4.0, "a"), (4.0, 6.0, "b")], "", 0.0, 2.0) == "a"


def test_sentence_of_another_voice_is_given_away_whole_and_not_cut() -> None:
    def sentence(text: str, start: float) -> Segment:
        words = text.split()
        timed = tuple(Word(word, start + 0.4 * place, start + 0.4 * place + 0.35) for place, word in enumerate(words))
        return Segment(start, timed[-1].end, text, timed)

    said = (sentence("We are ready now", 0.0), sentence("Yeah, go for it.", 2.0), sentence("Thank you.", 4.2))
    turns: Turns = [(0.0, 2.9, "a"), (2.9, 3.3, "b"), (3.3, 4.0, "a"), (4.0, 6.0, "b")]  # a short false turn in it
    by_turns = assign(Transcription("en", (), "t"), Alignment(said, "m"), diarized(turns, ""), duration=6.0)
    assert [segment.speaker for segment in by_turns.segments] == ["SPEAKER_00", "SPEAKER_00", "SPEAKER_01"]
    by_voice = assign(Transcription("en", (), "t"), Alignment(said, "m"), diarized(turns, "aaaabbbbbbbb"), duration=6.0)
    assert [(segment.text, segment.speaker) for segment in by_voice.segments] == [
        ("We are ready now", "SPEAKER_00"), ("Yeah, go for it.", "SPEAKER_01"), ("Thank you.", "SPEAKER_01"),
    ]  # fmt: skip
    assert all(word.speaker == segment.speaker for segment in by_voice.segments for word in segment.words)
