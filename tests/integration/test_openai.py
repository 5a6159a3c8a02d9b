"""OpenAI's own client, as it comes, against a server on the fake engine: every call, every error."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
    TranslationVerbose,
)

from tests.backend import ON_CLUSTER
from tests.conftest import KEY
from tests.server import Server

TEXT = "Hello there."
DIARIZED = {"response_format": "diarized_json"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, starter_server: Callable[..., Server]) -> Iterator[Server]:
    """A server on the fake engine."""
    folder = tmp_path_factory.mktemp("openai")
    shared = starter_server(folder, folder, fake=True, max_file_size=10_000_000)
    shared.start()
    yield shared
    shared.kill()


def client_of(server: Server, key: str = KEY) -> openai.OpenAI:
    """Return OpenAI's client, pointed at a server."""
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=key, max_retries=0)


@pytest.fixture
def api(service: Server) -> openai.OpenAI:
    return client_of(service)


@pytest.fixture
def recording(tone: Callable[..., Path]) -> Path:
    return tone(2.0)


def post(server: Server, path: Path, fields: Mapping[str, object], kind: str = "transcriptions") -> httpx.Response:
    """Send a form as curl would."""
    with path.open("rb") as file:
        return server.client.post(f"/v1/audio/{kind}", files={"file": (path.name, file)}, data=fields)


def tasks(server: Server) -> list[dict]:
    """Return the tasks on the server, newest first."""
    return server.client.get("/api/v1/transcribe/tasks").json()["tasks"]


# --- forms ---


def test_json(api: openai.OpenAI, recording: Path) -> None:
    answer = api.audio.transcriptions.create(file=recording, model="whisper-1")
    assert type(answer) is Transcription
    assert answer.text == TEXT
    assert answer.usage is not None and answer.usage.type == "duration" and answer.usage.seconds == 2
    assert answer.to_dict().keys() == {"text", "usage"}


def test_text_srt_and_vtt(api: openai.OpenAI, recording: Path) -> None:
    def create(form):
        return api.audio.transcriptions.create(file=recording, model="whisper-1", response_format=form)

    assert create("text").strip() == TEXT
    assert create("srt").startswith("1\n00:00:00,000 --> 00:00:02,000\nHello there.\n")
    assert create("vtt").startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nHello there.\n")


def test_verbose_json_has_words_only_when_asked_for(api: openai.OpenAI, recording: Path) -> None:
    plain = api.audio.transcriptions.create(file=recording, model="whisper-1", response_format="verbose_json")
    assert type(plain) is TranscriptionVerbose
    assert (plain.language, plain.duration, plain.text, plain.words) == ("english", 2.0, TEXT, None)
    assert plain.segments is not None
    (segment,) = plain.segments
    assert (segment.id, segment.seek, segment.start, segment.end, segment.text) == (0, 0, 0.0, 2.0, TEXT)
    assert (segment.avg_logprob, segment.compression_ratio, segment.no_speech_prob) == (-0.25, 0.8, 0.01)
    assert (segment.tokens, segment.temperature) == ([1, 2, 3], 0.0)
    both = api.audio.transcriptions.create(
        file=recording, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert both.words is not None and both.segments is not None
    assert [(word.word, word.start, word.end) for word in both.words] == [("Hello", 0.0, 0.4), ("there.", 0.5, 2.0)]
    words = api.audio.transcriptions.create(
        file=recording, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert words.segments is None and words.words == both.words


def test_diarized_json(api: openai.OpenAI, recording: Path) -> None:
    answer = api.audio.transcriptions.create(
        file=recording, model="gpt-4o-transcribe-diarize", response_format="diarized_json", chunking_strategy="auto"
    )
    assert type(answer) is TranscriptionDiarized
    assert (answer.task, answer.duration, answer.text) == ("transcribe", 2.0, TEXT)
    (segment,) = answer.segments
    assert (segment.speaker, segment.start, segment.end, segment.text) == ("A", 0.0, 2.0, TEXT)
    assert segment.type == "transcript.text.segment" and segment.id


@pytest.mark.parametrize(
    "model, form, stages",
    [
        ("whisper-1", "json", False),
        ("gpt-4o-transcribe", "json", False),
        ("gpt-4o-transcribe-diarize", "json", True),
        ("whisper-1", "diarized_json", True),
    ],
)
def test_speakers_are_found_for_the_diarizing_form_and_model(
    service: Server, recording: Path, model: str, form: str, stages: bool
) -> None:
    assert post(service, recording, {"model": model, "response_format": form}).status_code == 200
    result = service.client.get(f"/api/v1/transcribe/result/{tasks(service)[0]['task_id']}").json()
    assert [segment["speaker"] for segment in result["segments"]] == (["SPEAKER_00"] if stages else [None])


def test_translations(api: openai.OpenAI, recording: Path) -> None:
    assert api.audio.translations.create(file=recording, model="whisper-1").text == TEXT
    verbose = api.audio.translations.create(file=recording, model="whisper-1", response_format="verbose_json")
    assert type(verbose) is TranslationVerbose
    assert (verbose.language, verbose.text) == ("english", TEXT)
    assert "-->" in str(api.audio.translations.create(file=recording, model="whisper-1", response_format="srt"))


def test_log_probabilities_of_tokens(api: openai.OpenAI, recording: Path) -> None:
    answer = api.audio.transcriptions.create(file=recording, model="gpt-4o-transcribe", include=["logprobs"])
    assert answer.logprobs is not None
    assert [(one.token, one.bytes, one.logprob) for one in answer.logprobs] == [
        ("Hello", list(b"Hello"), -0.1), (" there", list(b" there"), -0.2), ("�", [0xE2], -0.3),
    ]  # fmt: skip


# --- streams ---


def test_stream_of_text(api: openai.OpenAI, recording: Path) -> None:
    with api.audio.transcriptions.create(file=recording, model="gpt-4o-transcribe", stream=True) as stream:
        events = list(stream)
    *deltas, done = events
    deltas = [event for event in deltas if isinstance(event, TranscriptionTextDeltaEvent)]
    assert len(deltas) == len(events) - 1 > 0
    assert type(done) is TranscriptionTextDoneEvent
    assert "".join(event.delta for event in deltas) == done.text == TEXT


def test_stream_of_speakers(api: openai.OpenAI, recording: Path) -> None:
    with api.audio.transcriptions.create(
        file=recording, model="gpt-4o-transcribe-diarize", response_format="diarized_json", stream=True
    ) as stream:
        delta, segment, done = list(stream)
    assert type(delta) is TranscriptionTextDeltaEvent and type(done) is TranscriptionTextDoneEvent
    assert type(segment) is TranscriptionTextSegmentEvent
    assert (delta.delta, segment.speaker, segment.text, done.text) == (TEXT, "A", TEXT, TEXT)


def test_stream_tells_log_probabilities_when_asked(api: openai.OpenAI, recording: Path) -> None:
    with api.audio.transcriptions.create(
        file=recording, model="gpt-4o-transcribe", stream=True, include=["logprobs"]
    ) as stream:
        delta, done = list(stream)
    assert isinstance(delta, TranscriptionTextDeltaEvent) and isinstance(done, TranscriptionTextDoneEvent)
    assert delta.logprobs and done.logprobs and [one.token for one in delta.logprobs][:2] == ["Hello", " there"]


def test_delta_comes_while_the_job_is_in_work(api: openai.OpenAI, service: Server, recording: Path) -> None:
    script = json.dumps({"seconds": 1.5, "stage": "align"})
    with api.audio.transcriptions.create(file=recording, model="whisper-1", stream=True, prompt=script) as stream:
        event = next(iter(stream))
        assert event.type == "transcript.text.delta"
        assert tasks(service)[0]["status"] == "processing"


def test_who_joins_a_task_late_hears_its_whole_text(start_server: Callable[..., Server], recording: Path) -> None:
    server = start_server(fake=True, result_cache=True)
    prompt = json.dumps({"pieces": 2, "seconds": 2})
    create: Any = partial(client_of(server).audio.transcriptions.create, file=recording, model="whisper-1", stream=True)
    with create(prompt=prompt) as first:
        begun = next(iter(first))
        assert begun.delta == "Hello"
        with create(prompt=prompt) as second:
            *deltas, done = list(second)
        assert "".join(event.delta for event in deltas) == done.text == TEXT
        *deltas, done = list(first)
    assert [begun.delta, *(event.delta for event in deltas)] == ["Hello", " there."]
    joined = tasks(server)
    assert [task["cached"] for task in joined] == [True, False] and done.text == TEXT


def test_stream_says_why_a_job_failed(api: openai.OpenAI, recording: Path) -> None:
    script = json.dumps({"stage": "transcribe", "what": "refuse"})
    with (
        api.audio.transcriptions.create(file=recording, model="whisper-1", stream=True, prompt=script) as stream,
        pytest.raises(openai.APIError, match="The model is out of reach"),
    ):
        list(stream)


def test_async_client(service: Server, recording: Path) -> None:
    async def use() -> None:
        async with openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{service.port}/v1", api_key=KEY, max_retries=0
        ) as client:
            answer = await client.audio.transcriptions.create(file=recording, model="whisper-1")
            assert answer.text == TEXT
            stream = await client.audio.transcriptions.create(file=recording, model="whisper-1", stream=True)
            assert [event.type async for event in stream] == ["transcript.text.delta", "transcript.text.done"]
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("gpt-unknown")

    asyncio.run(use())


# --- errors ---


def test_400_names_the_field(api: openai.OpenAI, recording: Path) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        api.audio.transcriptions.create(file=recording, model="whisper-1", language="klingon")
    assert (error.value.param, error.value.type) == ("language", "invalid_request_error")
    assert "klingon" in error.value.message


@pytest.mark.parametrize(
    "fields, param",
    [
        ({}, "model"),
        ({"model": "no-such-model"}, "model"),
        ({"response_format": "xml"}, "response_format"),
        ({"temperature": "1.5"}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"stream": "perhaps"}, "stream"),
        ({"timestamp_granularities[]": "letter", "response_format": "verbose_json"}, "timestamp_granularities"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
        ({"include[]": "everything"}, "include"),
        ({"include[]": "logprobs", "response_format": "text"}, "include"),
        ({"languages[]": ["en", "klingon"]}, "languages"),
        ({"languages[]": ["en"], "language": "en"}, "languages"),
        ({"chunking_strategy": "sometimes"}, "chunking_strategy"),
        ({"chunking_strategy": '{"type": "server_vad", "threshold": 2}'}, "chunking_strategy"),
        ({"chunking_strategy[type]": "server_vad", "chunking_strategy": "auto"}, "chunking_strategy"),
        ({"stream": "true", "async": "true"}, "async"),
        ({"known_speaker_names[]": "Katie"}, "known_speaker_names"),
        ({"known_speaker_names[]": "Katie"} | DIARIZED, "known_speaker_references"),
        (
            {"known_speaker_names[]": "Katie", "known_speaker_references[]": "no data URL"} | DIARIZED,
            "known_speaker_references",
        ),
        ({"langauge": "en"}, "langauge"),
        ({"keywords": ["word" * 500] * 3}, "keywords"),
        ({"model": ["whisper-1", "whisper-1"]}, "model"),
    ],
)  # fmt: skip
def test_every_wrong_field_is_a_400_that_names_it(
    service: Server, recording: Path, fields: dict[str, object], param: str
) -> None:
    given = fields if param == "model" else {"model": "whisper-1"} | fields
    answer = post(service, recording, given)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param and error["type"] == "invalid_request_error" and error["message"]


def test_translation_has_no_speakers(service: Server, recording: Path) -> None:
    fields = {"model": "whisper-1", "response_format": "diarized_json"}
    answer = post(service, recording, fields, "translations")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "response_format")


def test_401(service: Server, recording: Path) -> None:
    with pytest.raises(openai.AuthenticationError) as error:
        client_of(service, "wrong").audio.transcriptions.create(file=recording, model="whisper-1")
    assert error.value.code == "invalid_api_key"


def test_404(api: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        api.models.retrieve("gpt-unknown")


def test_413(api: openai.OpenAI, tone: Callable[..., Path]) -> None:
    with pytest.raises(openai.APIStatusError) as error:
        api.audio.transcriptions.create(file=tone(400.0, "long.wav"), model="whisper-1")
    assert (error.value.status_code, error.value.param) == (413, "file")


def test_429(start_server: Callable[..., Server], recording: Path) -> None:
    client = client_of(start_server(fake=True, rate_limits="1/hour"))
    assert client.audio.transcriptions.create(file=recording, model="whisper-1").text == TEXT
    with pytest.raises(openai.RateLimitError) as error:
        client.audio.translations.create(file=recording, model="whisper-1")
    assert (error.value.code, error.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert 0 < int(error.value.response.headers["retry-after"]) <= 3600


def test_what_is_no_audio_is_refused(api: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "letter.wav"
    path.write_text("Dear Sir or Madam")
    with pytest.raises(openai.APIStatusError) as error:
        api.audio.transcriptions.create(file=path, model="whisper-1")
    assert (error.value.status_code, error.value.param) == (415, "file")


def test_failed_job_is_not_sent_again_by_the_client(service: Server, recording: Path) -> None:
    patient = openai.OpenAI(base_url=f"http://127.0.0.1:{service.port}/v1", api_key=KEY, max_retries=2)
    before = len(tasks(service))
    script = json.dumps({"stage": "transcribe", "what": "refuse"})
    with pytest.raises(openai.InternalServerError, match="The model is out of reach"):
        patient.audio.transcriptions.create(file=recording, model="whisper-1", prompt=script)
    assert len(tasks(service)) == before + 1


# --- what else a caller may do ---


def test_parts_of_a_chunking_strategy_may_come_as_fields_or_as_json(service: Server, recording: Path) -> None:
    parts = {"chunking_strategy[type]": "server_vad", "chunking_strategy[threshold]": "0.4"}
    assert post(service, recording, {"model": "whisper-1"} | parts).status_code == 200
    whole = {"chunking_strategy": '{"type": "server_vad", "silence_duration_ms": 200, "prefix_padding_ms": 100}'}
    assert post(service, recording, {"model": "whisper-1"} | whole).status_code == 200


def test_list_fields_may_do_without_brackets(service: Server, recording: Path) -> None:
    fields = {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
    answer = post(service, recording, fields).json()
    assert answer["words"] and answer["segments"]


def test_segment_times_may_be_asked_for_of_any_form(service: Server, recording: Path) -> None:
    fields = {"model": "gpt-4o-transcribe", "response_format": "json", "timestamp_granularities[]": "segment"}
    assert post(service, recording, fields).json()["text"] == TEXT


def test_dated_name_of_openai_is_the_default_model(service: Server, recording: Path) -> None:
    fields = {"model": "gpt-4o-transcribe-diarize-2025-10-15", "response_format": "diarized_json"}
    assert post(service, recording, fields).json()["segments"][0]["speaker"] == "A"
    assert post(service, recording, {"model": "whisper-2025-10-15"}).status_code == 400


def test_text_of_the_diarizing_model_names_nobody(service: Server, recording: Path) -> None:
    fields = {"model": "gpt-4o-transcribe-diarize", "response_format": "text"}
    assert post(service, recording, fields).text == f"{TEXT}\n"
    assert tasks(service)[0]["task_id"] and service.status(tasks(service)[0]["task_id"])["result"]["speakers"]


def test_missing_model_is_said_to_be_missing(service: Server, recording: Path) -> None:
    assert post(service, recording, {}).json()["error"]["message"] == "model is missing."


def test_a_hundred_keywords_are_taken(service: Server, recording: Path) -> None:
    fields = {"model": "whisper-1", "keywords[]": [f"word{number}" for number in range(100)]}
    assert post(service, recording, fields).status_code == 200


@pytest.mark.parametrize("stream", ["false", "true"])
def test_hanging_up_cancels_the_job(service: Server, recording: Path, stream: str) -> None:
    fields = {"model": "whisper-1", "prompt": json.dumps({"seconds": 60}), "stream": stream}
    request = service.client.build_request(
        "POST", "/v1/audio/transcriptions", data=fields, files={"file": ("tone.wav", recording.read_bytes())}
    )
    before = tasks(service)[0]["task_id"]
    line = http.client.HTTPConnection("127.0.0.1", service.port)
    line.request("POST", "/v1/audio/transcriptions", request.read(), dict(request.headers))
    while (task_id := tasks(service)[0]["task_id"]) == before:
        time.sleep(0.02)
    service.wait(task_id, until="transcribe")
    line.close()
    status = service.wait(task_id, seconds=5)
    assert (status["status"], status["stage"]) == ("cancelled", "transcribe")


@pytest.mark.parametrize("stream", ["false", "true"])
def test_hanging_up_strands_nobody_who_shares_the_work(
    start_server: Callable[..., Server], recording: Path, stream: str
) -> None:
    server = start_server(fake=True, result_cache=True, keep_alive_seconds=0.1)
    fields = {"model": "whisper-1", "prompt": json.dumps({"seconds": 1})}
    request = server.client.build_request(
        "POST", "/v1/audio/transcriptions", data=fields | {"stream": stream},
        files={"file": ("tone.wav", recording.read_bytes())},
    )  # fmt: skip
    line = http.client.HTTPConnection("127.0.0.1", server.port)
    line.request("POST", "/v1/audio/transcriptions", request.read(), dict(request.headers))
    line.getresponse()  # its beginning has come
    followers = [post(server, recording, fields | {"async": "true"}).json()["task_id"] for _ in range(3)]
    leader = tasks(server)[-1]["task_id"]
    server.wait(leader if ON_CLUSTER else followers[0], until="transcribe")  # of many hosts, followers wait meanwhile
    line.close()
    assert server.wait(leader, seconds=5)["status"] == "cancelled"
    assert {server.wait(task, seconds=20)["status"] for task in followers} == {"completed"}


def test_hanging_up_leaves_a_task_that_may_be_asked_for_again(service: Server, recording: Path) -> None:
    fields = {"model": "whisper-1", "prompt": json.dumps({"seconds": 0.5})}
    again = {"Idempotency-Key": "to be asked for again"}
    impatient = httpx.Client(base_url=service.client.base_url, headers=service.client.headers, timeout=1.0)
    with pytest.raises(httpx.ReadTimeout):
        impatient.post(
            "/v1/audio/transcriptions", data=fields, headers=again, files={"file": ("a.wav", recording.read_bytes())}
        )
    answer = service.client.post(
        "/v1/audio/transcriptions", data=fields, headers=again, files={"file": ("a.wav", recording.read_bytes())}
    )
    assert answer.json()["text"] == TEXT


def test_long_answer_keeps_the_line_alive(
    service: Server, start_server: Callable[..., Server], recording: Path
) -> None:
    server = start_server(fake=True, keep_alive_seconds=0.2)
    slow = {"model": "whisper-1", "prompt": json.dumps({"seconds": 0.5})}
    for form, empty in (("json", ""), ("text", ""), ("vtt", "WEBVTT\n\n")):
        answer = post(server, recording, slow | {"response_format": form})
        quick = post(service, recording, {"model": "whisper-1", "response_format": form})
        assert answer.text.startswith(empty + "\n") and not quick.text.startswith(empty + "\n")
        assert answer.text.removeprefix(empty).strip() == quick.text.removeprefix(empty).strip()
        assert answer.headers["content-type"] == quick.headers["content-type"]


def test_failure_after_signs_of_life_is_no_whole_answer(start_server: Callable[..., Server], recording: Path) -> None:
    server = start_server(fake=True, keep_alive_seconds=0.2)
    script = json.dumps({"stage": "transcribe", "what": "refuse", "after": 1})
    with pytest.raises(httpx.RemoteProtocolError):
        post(server, recording, {"model": "whisper-1", "prompt": script})
    patient = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY, max_retries=2)
    with pytest.raises(openai.InternalServerError, match="The model is out of reach"):
        patient.audio.transcriptions.create(file=recording, model="whisper-1", prompt=script, temperature=0.1)
    assert len(tasks(server)) == 2  # the client sent it again, and was told of the one that had failed


def test_task_of_an_asynchronous_request_is_asked_for_later(service: Server, tone: Callable[..., Path]) -> None:
    recording = tone(3.0)
    sent = post(service, recording, {"model": "whisper-1", "async": "true", "prompt": json.dumps({"seconds": 0.3})})
    assert sent.status_code == 202
    place, task = sent.headers["location"], sent.json()
    assert place == f"/v1/audio/transcriptions/{task['task_id']}" and task["status"] == "pending"
    assert service.client.get(place, params={"response_format": "srt"}).status_code == 409
    waiting = service.client.get(place).json()
    assert waiting["status"] in ("pending", "processing") and "text" not in waiting
    service.wait(task["task_id"])
    done = service.client.get(place).json()
    assert (done["status"], done["progress"], done["text"]) == ("completed", 100.0, TEXT)
    assert done["words"] and done["segments"]
    paged = service.client.get(place, params={"page": 2, "page_size": 1}).json()
    assert (paged["page"], paged["pages"], paged["segments"], paged["words"]) == (2, 1, [], [])
    assert "-->" in service.client.get(place, params={"response_format": "srt"}).text
    assert service.client.get(place, params={"response_format": "srt", "page": 1}).status_code == 400
    assert service.client.get("/v1/audio/transcriptions/unknown").json()["error"]["code"] == "not_found"


def test_same_idempotency_key_is_the_same_job(service: Server, recording: Path) -> None:
    before = len(tasks(service))
    client = client_of(service)
    for _ in range(2):
        client.audio.transcriptions.create(file=recording, model="whisper-1", extra_headers={"Idempotency-Key": "one"})
    assert len(tasks(service)) == before + 1
    with pytest.raises(openai.ConflictError):
        client.audio.transcriptions.create(
            file=recording, model="whisper-1", language="de", extra_headers={"Idempotency-Key": "one"}
        )


def test_known_speakers_references_may_be_megabytes(
    service: Server, recording: Path, tone: Callable[..., Path]
) -> None:
    sound = base64.b64encode(tone(9.9, "long.wav", rate=48000, channels=2).read_bytes()).decode()
    assert len(sound) > 2_000_000
    fields = {
        "model": "gpt-4o-transcribe-diarize", "known_speaker_names[]": ["Katie"],
        "known_speaker_references[]": [f"data:audio/wav;base64,{sound}"],
    }  # fmt: skip
    began = time.monotonic()
    assert post(service, recording, fields).status_code == 200
    assert time.monotonic() - began < 20
