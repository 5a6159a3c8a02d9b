"""The dataclasses as they travel and lie on disk."""

from __future__ import annotations

import pytest

from whisperx_api.formats.json import to_dict
from whisperx_api.transcript import BEGINNING, Segment, Transcript, Transcription, duration_of, from_json, to_json


def test_checkpoint_of_an_earlier_version_is_read() -> None:
    old = (
        b'{"language":"en","segments":[{"start":0.0,"end":1.0,"text":"Yes.","words":[],"speaker":null,'
        b'"avg_logprob":-0.2}],"model":"m","align_model":null,"warnings":[]}'
    )
    (segment,) = from_json(Transcription, old).segments
    assert segment == Segment(0.0, 1.0, "Yes.", avg_logprob=-0.2)
    assert (segment.tokens, segment.temperature, segment.language) == ((), None, None)


def test_what_decoding_said_survives_the_disk() -> None:
    segment = Segment(
        1.0, 2.0, "Ja.", (), None, -0.2, 0.1, 1.2, 0.4, seek=100, tokens=(4, 5), token_starts=(0, 2), language="de"
    )
    transcription = Transcription("en", (segment,), "m")
    assert from_json(Transcription, to_json(transcription)) == transcription


def test_text_in_another_language_than_was_spoken_says_so() -> None:
    segments = (Segment(0.0, 1.0, "Ja."), Segment(1.0, 2.0, "Yes.", language="en"))
    answer = to_dict("task", Transcript("de", 2.0, segments))
    assert answer["language"] == "de" and [one.get("language") for one in answer["segments"]] == [None, "en"]


def test_duration_is_read_from_the_beginning_of_a_transcript_wherever_that_is_cut() -> None:
    for length in range(BEGINNING):
        segment = Segment(0.0, 1.0, "ü" * length)
        assert duration_of(to_json(Transcript("yue", 36123.456789, (segment,)))) == 36123.456789
    assert duration_of(to_json(Transcript("en", 0.0))) == 0.0


@pytest.mark.parametrize("data", [b"", b"damaged", b"[]", b'{"language": "en"}', b'{"duration": null}'])
def test_what_is_no_transcript_has_no_duration(data: bytes) -> None:
    assert duration_of(data) is None
