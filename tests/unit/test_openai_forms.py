"""Transcripts in OpenAI's forms, read by the types of its own client."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from openai.types.audio import TranscriptionDiarized, TranscriptionTextSegmentEvent, TranscriptionVerbose
from openai.types.audio.translation_verbose import TranslationVerbose
from pydantic import BaseModel

from whisperx_api.formats.openai import SpeakerLabels, diarized, diarized_segment, usage, verbose
from whisperx_api.options import Task
from whisperx_api.transcript import Segment, Speaker, Transcript, Word

HELLO = Segment(
    0.5, 1.25, "Hello there.",
    (Word("Hello", 0.5, 0.8, 0.9, "SPEAKER_00"), Word("there.", 0.9, 1.25, None, "SPEAKER_00")),
    "SPEAKER_00", avg_logprob=-0.25, no_speech_prob=0.01, compression_ratio=0.8, temperature=0.2, seek=50,
    tokens=(2425, 456, 13), token_starts=(0, 5, 11),
)  # fmt: skip
YES = replace(
    HELLO, start=2.0, end=2.5, text=" Yes.", speaker="SPEAKER_01", words=(Word("Yes.", 2.0, 2.5, 0.7, "SPEAKER_01"),)
)
SPEAKERS = (Speaker("SPEAKER_00", 0.75), Speaker("SPEAKER_01", 0.5))
TRANSCRIPT = Transcript("en", 12.3401, (HELLO, YES), SPEAKERS)


def parsed(kind: type[BaseModel], answer: dict[str, Any], *left_out: str) -> Any:
    """Read the answer strictly, with every field of the type that is not `left_out`, at all depths."""
    read = kind.model_validate(answer, strict=True)
    assert read.model_fields_set >= kind.model_fields.keys() - set(left_out)
    for value in answer.values():
        for item in value if isinstance(value, list) else [value]:
            assert not isinstance(item, dict) or None not in item.values()
    return read


def test_verbose_has_every_value_that_decoding_left() -> None:
    read = parsed(TranscriptionVerbose, verbose(TRANSCRIPT, Task.TRANSCRIBE, words=True))
    assert (read.language, read.duration, read.text) == ("english", 12.34, "Hello there. Yes.")
    assert read.task == "transcribe"
    first, second = read.segments
    assert (first.id, first.start, first.end, first.text) == (0, 0.5, 1.25, "Hello there.")
    assert (first.seek, first.tokens, first.temperature) == (50, [2425, 456, 13], 0.2)
    assert (first.avg_logprob, first.compression_ratio, first.no_speech_prob) == (-0.25, 0.8, 0.01)
    assert (second.id, second.text) == (1, "Yes.")
    assert [(word.word, word.start, word.end) for word in read.words] == [
        ("Hello", 0.5, 0.8), ("there.", 0.9, 1.25), ("Yes.", 2.0, 2.5)
    ]  # fmt: skip
    assert read.usage.type == "duration" and read.usage.seconds == 13


@pytest.mark.parametrize(
    ("asked", "lists"),
    [
        ({"words": False}, {"segments"}),
        ({"words": True}, {"segments", "words"}),
        ({"words": True, "segments": False}, {"words"}),
    ],
)
def test_verbose_has_the_granularities_asked_for(asked, lists) -> None:
    answer = verbose(TRANSCRIPT, Task.TRANSCRIBE, **asked)
    assert answer.keys() & {"segments", "words"} == lists
    parsed(TranscriptionVerbose, answer, *({"segments", "words"} - lists))


def test_translation_is_in_english_and_has_no_words() -> None:
    german = replace(TRANSCRIPT, language="de", segments=(replace(HELLO, words=()),))
    answer = verbose(german, Task.TRANSLATE, words=True)
    assert parsed(TranslationVerbose, answer).language == "english"
    assert answer["task"] == "translate" and answer["words"] == []
    assert verbose(german, Task.TRANSCRIBE, words=False)["language"] == "german"


def test_what_decoding_did_not_leave_is_null_and_not_made_up() -> None:
    bare = replace(TRANSCRIPT, segments=(Segment(0.0, 1.0, "Yes."),))
    (segment,) = verbose(bare, Task.TRANSCRIBE, words=False)["segments"]
    unknown = ("seek", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
    assert all(segment[name] is None for name in unknown) and segment["tokens"] == []
    read = TranscriptionVerbose.construct(segments=[segment])  # as OpenAI's client reads what it gets
    assert read.segments and read.segments[0].avg_logprob is None and read.segments[0].text == "Yes."


def test_diarized_calls_speakers_by_letters_or_names() -> None:
    read = parsed(TranscriptionDiarized, diarized(TRANSCRIPT))
    assert (read.task, read.duration, read.text) == ("transcribe", 12.34, "Hello there. Yes.")
    assert [(part.speaker, part.start, part.end, part.text) for part in read.segments] == [
        ("A", 0.5, 1.25, "Hello there."), ("B", 2.0, 2.5, "Yes.")
    ]  # fmt: skip
    assert len({part.id for part in read.segments}) == 2
    assert read.usage.type == "duration" and read.usage.seconds == 13
    named = replace(TRANSCRIPT, speakers=(replace(SPEAKERS[0], name="Katie"), SPEAKERS[1]))
    assert [part["speaker"] for part in diarized(named)["segments"]] == ["Katie", "A"]


def test_segment_of_nobody_is_unknown() -> None:
    read = parsed(TranscriptionDiarized, diarized(replace(TRANSCRIPT, segments=(replace(HELLO, speaker=None),))))
    assert read.segments[0].speaker == "unknown"


def test_one_segment_is_the_event_of_a_stream() -> None:
    read = parsed(TranscriptionTextSegmentEvent, diarized_segment(3, YES, "B"))
    assert (read.id, read.speaker, read.text) == ("seg_3", "B", "Yes.")


def test_letters_go_on_after_z_and_leave_names_alone() -> None:
    labels = SpeakerLabels({"known": "B", "later": None})
    called = [labels(f"SPEAKER_{index:02d}") for index in range(28)]
    assert called[:3] == ["A", "C", "D"] and called[24:] == ["Z", "AA", "AB", "AC"]
    assert labels("known") == "B" and labels("SPEAKER_01") == "C" and labels(None) == "unknown"


@pytest.mark.parametrize(("duration", "seconds"), [(0.0, 0), (3.0, 3), (3.0004, 3), (3.001, 4)])
def test_begun_seconds_count(duration: float, seconds: int) -> None:
    assert usage(duration) == {"type": "duration", "seconds": seconds}
