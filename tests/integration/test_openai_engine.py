"""OpenAI's client against the real engine: the values of decoding are real, and a stream's text is the transcript's."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import openai
import pytest
import soundfile
from openai.types.audio import TranscriptionDiarized, TranscriptionTextDeltaEvent, TranscriptionTextSegmentEvent

from tests.conftest import KEY
from tests.server import Server


@pytest.fixture
def api(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def telephone(sample_dir: Path) -> Path:
    return sample_dir / "sample.wav"


def test_verbose_json_tells_what_decoding_found(api: openai.OpenAI, telephone: Path) -> None:
    answer = api.audio.transcriptions.create(
        file=telephone, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert answer.segments and answer.words and (answer.language, answer.duration) == ("english", 30.0)
    for segment in answer.segments:
        assert -1.5 < segment.avg_logprob < 0 and 0 < segment.compression_ratio < 2.4
        assert 0 <= segment.no_speech_prob < 1 and segment.temperature in (0, 0.2, 0.4, 0.6, 0.8, 1)
        assert segment.tokens and 0 <= segment.seek <= 100 * segment.start + 1 and segment.seek < 3000
    text = "".join(answer.text.split())
    assert "".join("".join(segment.text.split()) for segment in answer.segments) == text
    assert "".join(word.word for word in answer.words) == text
    starts = [word.start for word in answer.words]
    assert all(0 <= word.start <= word.end <= 30 for word in answer.words) and len(set(starts)) > len(starts) / 2


def test_streamed_text_is_that_of_the_transcript(api: openai.OpenAI, telephone: Path, tmp_path: Path) -> None:
    sound, rate = soundfile.read(telephone)
    soundfile.write(longer := tmp_path / "longer.wav", np.tile(sound, 2), rate)
    with api.audio.transcriptions.create(
        file=longer, model="gpt-4o-transcribe-diarize", response_format="diarized_json", stream=True
    ) as stream:
        *events, done = list(stream)
    assert done.type == "transcript.text.done"
    deltas = [event.delta for event in events if isinstance(event, TranscriptionTextDeltaEvent)]
    segments = [event for event in events if isinstance(event, TranscriptionTextSegmentEvent)]
    assert "".join(deltas) == done.text and len(deltas) > 1
    whole = api.audio.transcriptions.create(
        file=longer, model="gpt-4o-transcribe-diarize", response_format="diarized_json"
    )
    assert isinstance(whole, TranscriptionDiarized) and whole.text == done.text
    assert [event.to_dict() for event in segments] == [segment.to_dict() for segment in whole.segments]
    assert {segment.speaker for segment in segments} == {"A", "B"}


def test_log_probabilities_are_those_of_the_text(api: openai.OpenAI, telephone: Path) -> None:
    answer = api.audio.transcriptions.create(file=telephone, model="gpt-4o-transcribe", include=["logprobs"])
    assert answer.logprobs
    raw = b"".join(bytes(map(int, token.bytes or ())) for token in answer.logprobs)
    assert raw.decode().strip() == answer.text
    logprobs = [token.logprob for token in answer.logprobs if token.logprob is not None]
    assert len(logprobs) == len(answer.logprobs) and all(value <= 0 for value in logprobs)
    verbose = api.audio.transcriptions.create(file=telephone, model="whisper-1", response_format="verbose_json")
    assert verbose.segments
    told = {segment.seek: (segment.avg_logprob, len(segment.tokens)) for segment in verbose.segments}
    mean = sum(value * count for value, count in told.values()) / sum(count for _, count in told.values())
    assert math.isclose(sum(logprobs) / len(logprobs), mean, abs_tol=0.15)


def test_translation_is_english_and_cut_into_sentences(api: openai.OpenAI, telephone: Path) -> None:
    answer = api.audio.translations.create(file=telephone, model="whisper-1", response_format="verbose_json")
    assert answer.to_dict()["language"] == "english" and answer.text
    assert answer.segments and len({segment.seek for segment in answer.segments}) < len(answer.segments)
    assert " ".join(segment.text for segment in answer.segments) == answer.text
    assert all(segment.tokens and segment.end - segment.start < 15 for segment in answer.segments)
    assert all(one.end <= other.start for one, other in pairwise(answer.segments))
