"""Words to speakers, and segments cut where the speaker changes."""

from __future__ import annotations

import random
import time
from dataclasses import replace

from whisperx_api.pipeline.attribution import NEAREST_TURN_SECONDS
from whisperx_api.pipeline.speakers import ESTIMATED, assign
from whisperx_api.transcript import Alignment, Diarization, Segment, Transcript, Transcription, Turn, Word


def words(*timed: tuple[str, float, float]) -> tuple[Word, ...]:
    return tuple(Word(text, start, end, 0.5) for text, start, end in timed)


def segment(*timed: tuple[str, float, float], joint: str = " ") -> Segment:
    found = words(*timed)
    text = joint.join(word.word for word in found)
    return Segment(found[0].start, found[-1].end, text, found, avg_logprob=-0.2)


def diarized(*turns: tuple[float, float, str], embeddings: dict[str, tuple[float, ...]] | None = None) -> Diarization:
    exclusive = tuple(Turn(*turn) for turn in turns)
    return Diarization(exclusive, exclusive, embeddings or {}, "d")


def assigned(
    segments: list[Segment], diarization: Diarization | None, language: str = "en", embeddings: bool = False
) -> Transcript:
    transcription = Transcription(language, (), "t")
    return assign(transcription, Alignment(tuple(segments), "a"), diarization, duration=60.0, embeddings=embeddings)


def test_word_takes_the_turn_it_overlaps_most() -> None:
    result = assigned([segment(("Hello", 0.0, 1.0))], diarized((0.0, 0.4, "x"), (0.4, 2.0, "y"), (2.0, 3.0, "x")))
    assert [word.speaker for word in result.segments[0].words] == ["SPEAKER_00"]
    assert result.speakers[0].duration == 1.0
    both = assigned([segment(("a", 0.0, 0.4), ("b", 0.4, 1.0))], diarized((0.0, 0.45, "x"), (0.45, 2.0, "y")))
    assert [part.speaker for part in both.segments] == ["SPEAKER_00", "SPEAKER_01"]


def test_segment_is_cut_where_the_speaker_changes() -> None:
    mixed = segment(("Good", 0.0, 0.5), ("morning.", 0.5, 1.0), ("Hi,", 1.2, 1.5), ("you.", 1.5, 2.0))
    result = assigned([mixed], diarized((0.0, 1.1, "b"), (1.1, 2.0, "a")))
    assert [(part.start, part.end, part.text, part.speaker) for part in result.segments] == [
        (0.0, 1.0, "Good morning.", "SPEAKER_00"),
        (1.2, 2.0, "Hi, you.", "SPEAKER_01"),
    ]
    assert result.text == mixed.text
    assert [part.avg_logprob for part in result.segments] == [-0.2, -0.2]


def test_text_without_spaces_is_cut_without_adding_any() -> None:
    mixed = segment(("你", 0.0, 0.5), ("好。", 0.5, 1.0), ("再", 1.2, 1.5), ("见", 1.5, 2.0), joint="")
    result = assigned([mixed], diarized((0.0, 1.1, "a"), (1.1, 2.0, "b")), language="zh")
    assert [part.text for part in result.segments] == ["你好。", "再见"]


def test_one_word_of_another_speaker_is_kept() -> None:
    result = assigned(
        [segment(("a", 0.0, 1.0), ("b", 1.0, 2.0), ("c", 2.0, 3.0))],
        diarized((0.0, 1.0, "x"), (1.0, 2.0, "y"), (2.0, 3.0, "x")),
    )
    assert [part.speaker for part in result.segments] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]


def test_word_in_no_turn_takes_the_nearest_one() -> None:
    turns = diarized((0.0, 1.0, "x"), (2.0, 3.0, "y"), embeddings={"x": (1.0,), "y": (2.0,)})
    after_x = assigned([segment(("a", 1.1, 1.2))], turns, embeddings=True)
    before_y = assigned([segment(("a", 1.7, 1.8))], turns, embeddings=True)
    assert after_x.speakers[0].embedding == (1.0,)
    assert before_y.speakers[0].embedding == (2.0,)


def test_word_far_from_every_turn_has_no_speaker() -> None:
    far = 1.0 + NEAREST_TURN_SECONDS + 0.1
    result = assigned([segment(("a", far, far + 0.1))], diarized((0.0, 1.0, "x")))
    assert result.segments[0].speaker is None
    assert result.segments[0].words[0].speaker is None
    assert result.speakers == ()


def test_word_far_from_every_turn_stays_with_its_sentence() -> None:
    sentence = segment(("So", 0.0, 0.2), ("we", 5.0, 5.3), ("go", 10.0, 10.3), ("on", 15.0, 15.3))
    result = assigned([sentence], diarized((4.9, 5.4, "x"), (14.9, 15.4, "y")))
    assert [(part.text, part.speaker) for part in result.segments] == [
        ("So we go", "SPEAKER_00"),
        ("on", "SPEAKER_01"),
    ]


def test_segment_without_words_takes_the_speaker_with_most_of_its_time() -> None:
    translation = Transcription("fr", (Segment(0.0, 10.0, "All of it."), Segment(20.0, 21.0, "Far.")), "t")
    turns = diarized((0.0, 4.0, "x"), (4.0, 8.5, "y"), (8.5, 10.0, "x"))
    result = assign(translation, None, turns, duration=30.0)
    assert [part.speaker for part in result.segments] == ["SPEAKER_00", None]
    assert result.speakers[0].duration == 10.0
    assert assigned([Segment(0.0, 10.0, "x"), Segment(4.5, 5.0, "y")], turns).segments[1].speaker == "SPEAKER_01"
    assert result.models == {"transcribe": "t", "align": None, "diarize": "d"}


DIALOGUE = Segment(0.0, 20.0, "How are you today? I am very well. And how are you? I'm not so.", avg_logprob=-0.2)
"""A translated chunk whose sentences, of 18, 15, 16 and 11 of 63 characters, last 6.0, 5.0, 5.4 and 3.5 seconds."""


def test_each_sentence_of_a_translation_has_the_speaker_of_most_of_it() -> None:
    turns = diarized((0.0, 6.5, "x"), (6.5, 10.0, "y"), (10.0, 16.5, "x"), (16.5, 20.0, "y"))
    result = assign(Transcription("fr", (replace(DIALOGUE, language="en"),), "t"), None, turns, duration=20.0)
    assert [(part.text, part.speaker) for part in result.segments] == [
        ("How are you today?", "SPEAKER_00"),
        ("I am very well.", "SPEAKER_01"),
        ("And how are you?", "SPEAKER_00"),
        ("I'm not so.", "SPEAKER_01"),
    ]
    assert result.text == DIALOGUE.text
    assert result.segments[0].start == 0.0 and result.segments[-1].end == 20.0
    assert [part.avg_logprob for part in result.segments] == [-0.2] * 4


def test_sentence_of_a_translation_far_from_every_turn_has_the_speaker_of_the_one_beside_it() -> None:
    turns = diarized((8.0, 10.0, "x"))
    result = assign(Transcription("en", (DIALOGUE,), "t"), None, turns, duration=20.0)
    assert [part.speaker for part in result.segments] == ["SPEAKER_00"] * 4


def test_a_warning_says_that_speakers_of_a_translation_are_estimated() -> None:
    spoken = Transcription("en", (DIALOGUE,), "t", warnings=("w",))
    turns = diarized((0.0, 20.0, "x"))
    assert assign(spoken, None, turns, duration=20.0).warnings == ("w", ESTIMATED)
    assert assign(spoken, None, None, duration=20.0).warnings == ("w",)
    assert assign(spoken, None, Diarization((), ()), duration=20.0).warnings == ("w",)
    assert assign(replace(spoken, segments=()), None, turns, duration=20.0).warnings == ("w",)
    assert assigned([segment(("a", 0.0, 1.0))], turns).warnings == ()


def test_translation_is_cut_into_sentences_also_without_speakers_and_by_channel() -> None:
    later = replace(DIALOGUE, start=2.0, end=22.0, channel=1)
    spoken = Transcription("en", (replace(DIALOGUE, channel=0), later), "t")
    assert [len(assign(spoken, None, some, duration=22.0).segments) for some in (None, Diarization((), ()))] == [8, 8]
    apart = assign(spoken, None, None, duration=22.0, by_channel=True)
    assert [part.speaker for part in apart.segments] == ["SPEAKER_00", "SPEAKER_01"] * 4
    assert apart.warnings == ()


def test_only_what_has_no_words_is_cut_by_its_length() -> None:
    timed = segment(("One.", 0.0, 1.0), ("Two.", 1.0, 2.0))
    result = assigned([timed, replace(DIALOGUE, start=5.0)], diarized((0.0, 20.0, "x")))
    assert [part.text for part in result.segments][:2] == ["One. Two.", "How are you today?"]
    assert len(result.segments) == 5


def test_speakers_are_numbered_as_they_appear() -> None:
    result = assigned(
        [segment(("late", 5.0, 6.0)), segment(("early", 1.0, 2.0))],
        diarized((1.0, 2.0, "z"), (5.0, 6.0, "a"), (8.0, 9.0, "q")),
    )
    assert [(part.text, part.speaker) for part in result.segments] == [
        ("early", "SPEAKER_00"),
        ("late", "SPEAKER_01"),
    ]
    assert [speaker.id for speaker in result.speakers] == ["SPEAKER_00", "SPEAKER_01"]


def test_embeddings_go_to_the_renamed_speaker_only_if_asked() -> None:
    turns = diarized((0.0, 1.0, "b"), (1.0, 2.0, "a"), embeddings={"a": (1.0,), "b": (2.0,)})
    spoken = [segment(("x", 0.0, 1.0)), segment(("y", 1.0, 2.0))]
    assert [speaker.embedding for speaker in assigned(spoken, turns, embeddings=True).speakers] == [(2.0,), (1.0,)]
    assert [speaker.embedding for speaker in assigned(spoken, turns).speakers] == [None, None]


def test_without_diarization_there_are_no_speakers() -> None:
    result = assigned([segment(("x", 0.0, 1.0), ("y", 1.0, 2.0))], None)
    assert [part.speaker for part in result.segments] == [None]
    assert result.speakers == ()
    assert result.models["diarize"] is None


def test_each_channel_is_a_speaker_in_order_of_first_appearance() -> None:
    late, early = segment(("Yes,", 5.0, 5.5), ("no.", 5.5, 6.0)), segment(("Well,", 1.0, 2.0), ("so", 5.2, 5.9))
    spoken = (replace(late, channel=0), replace(early, channel=2))
    transcription = Transcription("en", (), "t")
    result = assign(transcription, Alignment(spoken, "a"), None, duration=9.0, by_channel=True)
    assert [(part.text, part.speaker) for part in result.segments] == [
        ("Well, so", "SPEAKER_00"),
        ("Yes, no.", "SPEAKER_01"),
    ]
    assert {word.speaker for word in result.segments[0].words} == {"SPEAKER_00"}
    assert [speaker.id for speaker in result.speakers] == ["SPEAKER_00", "SPEAKER_01"]
    translated = replace(transcription, segments=spoken)
    assert len(assign(translated, None, None, duration=9.0, by_channel=True).speakers) == 2


def test_known_speakers_have_their_names_and_the_ids_of_any() -> None:
    found = replace(diarized((0.0, 1.0, "b"), (1.0, 2.0, "a")), names={"a": "Ann", "gone": "Bob"})
    result = assigned([segment(("x", 0.0, 1.0)), segment(("y", 1.0, 2.0))], found)
    assert [(speaker.id, speaker.name) for speaker in result.speakers] == [("SPEAKER_00", None), ("SPEAKER_01", "Ann")]


def test_diarization_that_found_nobody_gives_no_speakers() -> None:
    result = assigned([segment(("x", 0.0, 1.0)), Segment(1.0, 2.0, "y")], Diarization((), ()))
    assert [part.speaker for part in result.segments] == [None, None]


def test_times_are_milliseconds_and_never_run_backwards() -> None:
    odd = Segment(1.00049, 0.9, "a b", words(("a", 1.23456, 1.0), ("b", 1.3, 1.33333)))
    (only,) = assigned([odd], diarized((0.0, 9.0, "x"))).segments
    assert [(word.start, word.end) for word in only.words] == [(1.235, 1.235), (1.3, 1.333)]
    assert (only.start, only.end) == (1.235, 1.333)
    (bare,) = assigned([odd], None).segments
    assert (bare.start, bare.end) == (1.0, 1.0)


def test_warnings_are_merged_each_once() -> None:
    transcription = Transcription("en", (), "t", warnings=("b", "a"))
    result = assign(
        transcription, Alignment((), "a", ("c", "a")), Diarization((), (), warnings=("d", "b")), duration=1.0,
        audio_warnings=("a",),
    )  # fmt: skip
    assert result.warnings == ("a", "b", "c", "d")


def test_overlapping_turns_are_searched_right() -> None:
    """Exclusive turns should not overlap; a long one under short ones must be found all the same."""
    turns = diarized((0.0, 50.0, "long"), (1.0, 2.0, "x"), (3.0, 4.0, "x"))
    assert assigned([segment(("b", 30.0, 31.0))], turns).segments[0].speaker == "SPEAKER_00"


def meeting_seconds(sentences: int) -> float:
    """Return the processor time that a made-up meeting of ten words a sentence takes."""
    chance = random.Random(1)
    turns = diarized(*((index * 1.8, index * 1.8 + 1.7, f"s{chance.randrange(8)}") for index in range(2 * sentences)))
    spoken = [
        segment(*((f"w{word}", line * 3.6 + word * 0.36, line * 3.6 + word * 0.36 + 0.3) for word in range(10)))
        for line in range(sentences)
    ]
    start = time.thread_time()
    result = assigned(spoken, turns)
    seconds = time.thread_time() - start
    assert sum(len(part.words) for part in result.segments) == 10 * sentences
    assert all(part.speaker for part in result.segments)
    return seconds


def test_ten_hours_take_seconds_and_time_grows_no_faster_than_the_words() -> None:
    hour, ten_hours = min(meeting_seconds(1_000) for _ in range(3)), meeting_seconds(10_000)
    assert ten_hours < 8.0  # seconds on a slow processor whose other half is at work too; 3.0 where it is quiet
    assert ten_hours < 2 * 10 * hour
