"""Results in every format, and what people put right in them."""

from __future__ import annotations

import asyncio
import csv
import errno
import json
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysubs2
import pytest
import webvtt
from fastapi.testclient import TestClient
from openai.types.audio import TranscriptionDiarized, TranscriptionVerbose

from tests.backend import ON_CLUSTER, Backend, Files, soon
from tests.conftest import HEADERS, KEY
from tests.waiting import on_server, send, wait
from whisperx_api.api.parts import Parts
from whisperx_api.jobs.edits import Changed, Edits
from whisperx_api.jobs.run import JobRun
from whisperx_api.settings import Settings
from whisperx_api.transcript import Segment, Speaker, Transcript, Word, to_json

API = "/api/v1/transcribe"
DECODED = {"avg_logprob": -0.2, "no_speech_prob": 0.1, "compression_ratio": 1.1, "temperature": 0.0, "seek": 0}


def said(text: str, speaker: str, start: float) -> Segment:
    """A segment with a word every half second."""
    words = tuple(
        Word(word, start + index / 2, start + index / 2 + 0.4, 0.9, speaker) for index, word in enumerate(text.split())
    )
    tokens = tuple(range(len(words)))
    return Segment(start, words[-1].end, text, words, speaker, tokens=tokens, token_starts=tokens, **DECODED)


MADE = Transcript(
    "en",
    8.0,
    (said("Hello, my name is Kathy.", "SPEAKER_00", 0.0), said("Hi.", "SPEAKER_01", 4.0),
     said("How are you?", "SPEAKER_00", 5.0)),
    (Speaker("SPEAKER_00", 4.0), Speaker("SPEAKER_01", 0.4)),
    {"transcribe": "fake"},
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the app of this module keeps everything."""
    return tmp_path_factory.mktemp("results") / "data"


@pytest.fixture(scope="module")
def app_client(data: Path, backend: Backend) -> Iterator[TestClient]:
    """One app on the fake engine for all tests that change nothing of it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.chdir(data.parent)
        app = backend.app("tests.fake_engine", {"data_dir": data, "api_key": KEY, "whisper_model": "tiny"})
        with TestClient(app, headers=HEADERS) as client:
            yield client


@pytest.fixture(scope="module")
def files(backend: Backend, data: Path) -> Files:
    """What it keeps."""
    return backend.files(data)


@pytest.fixture
def client(app_client: TestClient) -> TestClient:
    return app_client


@pytest.fixture
def task(client: TestClient, tone, files: Files) -> str:
    """A new completed task whose result is `MADE`."""
    return completed(client, tone(), files)


@pytest.fixture(scope="module")
def read(app_client: TestClient, data: Path, files: Files) -> str:
    """Such a task for tests that only read."""
    path = data.parent / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(range(250)) * 128)
    return completed(app_client, path, files)


def completed(client: TestClient, path: Path, files: Files, made: Transcript = MADE, **fields: Any) -> str:
    task = send(client, path, **fields).json()["task_id"]
    assert wait(client, task)["status"] == "completed"
    files.replace(task, checkpoint(files, task), to_json(made))
    return task


def checkpoint(files: Files, task: str) -> str:
    (name,) = [name for name in files.made(task) if name.startswith("assign.")]
    return name


def result(client: TestClient, task: str, format: str = "json", **query: Any):
    return client.get(f"{API}/result/{task}", params={"format": format, **query})


def edit(client: TestClient, task: str, **body: Any):
    return client.patch(f"{API}/result/{task}", json=body)


# --- formats ---


@pytest.mark.parametrize(
    ("format", "media_type"),
    [
        ("json", "application/json"), ("verbose_json", "application/json"), ("diarized_json", "application/json"),
        ("text", "text/plain; charset=utf-8"), ("srt", "application/x-subrip; charset=utf-8"),
        ("vtt", "text/vtt; charset=utf-8"), ("tsv", "text/tab-separated-values; charset=utf-8"),
        ("rttm", "text/plain; charset=utf-8"),
    ],
)  # fmt: skip
def test_every_format_has_its_media_type(client: TestClient, read: str, format: str, media_type: str) -> None:
    answer = result(client, read, format)
    assert answer.status_code == 200 and answer.headers["content-type"] == media_type


def test_formats_are_read_by_others(client: TestClient, read: str) -> None:
    verbose = TranscriptionVerbose.model_validate(result(client, read, "verbose_json").json(), strict=True)
    assert verbose.segments and verbose.segments[0].tokens == [0, 1, 2, 3, 4]
    assert verbose.words and len(verbose.words) == 9
    diarized = TranscriptionDiarized.model_validate(result(client, read, "diarized_json").json(), strict=True)
    assert [segment.speaker for segment in diarized.segments] == ["A", "B", "A"]
    assert len(pysubs2.SSAFile.from_string(result(client, read, "srt").text)) == 3
    voices = [caption.voice for caption in webvtt.from_string(result(client, read, "vtt").text, strict=True)]
    assert voices == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]
    rows = list(csv.reader(result(client, read, "tsv").text.splitlines(), dialect="excel-tab"))
    assert rows[2] == ["4000", "4400", "Hi.", "SPEAKER_01"]
    assert result(client, read, "rttm").text.splitlines()[1] == (
        "SPEAKER tone 1 4.000 0.400 <NA> <NA> SPEAKER_01 <NA> <NA>"
    )
    assert result(client, read, "text").text.splitlines()[1] == "[SPEAKER_01]: Hi."


def test_subtitles_are_laid_out_as_asked(client: TestClient, read: str) -> None:
    cut = pysubs2.SSAFile.from_string(result(client, read, "srt", max_line_width=24, max_line_count=1).text)
    assert [event.plaintext for event in cut][:3] == [
        "[SPEAKER_00]: Hello, my", "[SPEAKER_00]: name is", "[SPEAKER_00]: Kathy."
    ]  # fmt: skip
    assert "<u>name</u>" in result(client, read, "vtt", highlight_words=True).text


@pytest.mark.parametrize(
    ("format", "query", "param"),
    [
        ("docx", {}, "format"),
        ("json", {"max_line_width": 42}, "max_line_width"),
        ("text", {"max_line_count": 2}, "max_line_count"),
        ("tsv", {"highlight_words": True}, "highlight_words"),
        ("srt", {"page": 1}, "page"),
        ("rttm", {"page_size": 10}, "page_size"),
        ("srt", {"max_line_width": 0}, "max_line_width"),
        ("vtt", {"max_line_count": "two"}, "max_line_count"),
        ("verbose_json", {"page": 0}, "page"),
    ],
)
def test_option_that_a_format_has_no_use_for_is_400(client: TestClient, read: str, format, query, param) -> None:
    answer = result(client, read, format, **query)
    assert answer.status_code == 400 and answer.json()["param"] == param and param in answer.json()["detail"]


@pytest.mark.parametrize("format", ["json", "verbose_json", "diarized_json"])
def test_json_comes_in_pages(client: TestClient, read: str, format: str) -> None:
    whole = result(client, read, format).json()
    pages = [result(client, read, format, page=page, page_size=2).json() for page in (1, 2, 3)]
    assert [page["page"] for page in pages] == [1, 2, 3] and {page["pages"] for page in pages} == {2}
    assert [segment for page in pages for segment in page["segments"]] == whole["segments"]
    assert "page" not in whole and pages[1]["text"] == whole["text"]
    if format == "verbose_json":
        assert [word for page in pages for word in page["words"]] == whole["words"]


def test_words_stay_out_of_json_where_they_are_not_wanted(client: TestClient, tone, files: Files) -> None:
    task = completed(client, tone(), files, word_timestamps=False)
    assert "words" not in result(client, task).json()["segments"][0]
    assert "words" not in result(client, task, "verbose_json").json()
    assert "words" not in edit(client, task, segments=[{"id": 0, "text": "Hello."}]).json()["segments"][0]
    assert "<u>name</u>" not in result(client, task, "srt").text


# --- edits ---


def test_name_is_in_every_format_and_the_status(client: TestClient, task: str, files: Files) -> None:
    before = files.read(task, checkpoint(files, task))
    answer = edit(client, task, speakers={"SPEAKER_00": "  Katie\n Stone "})
    assert answer.status_code == 200 and answer.json() == result(client, task).json()
    assert answer.json()["speakers"][0] == {"id": "SPEAKER_00", "name": "Katie Stone", "duration": 4.0}
    assert answer.json()["segments"][0]["speaker"] == "SPEAKER_00"
    assert client.get(f"{API}/status/{task}").json()["result"] == answer.json()
    written_as = {
        "text": "[Katie Stone]:", "srt": "[Katie Stone]:", "vtt": "<v Katie Stone>", "tsv": "\tKatie Stone\n",
        "rttm": " Katie_Stone ", "diarized_json": '"Katie Stone"',
    }  # fmt: skip
    for kind, name in written_as.items():
        assert result(client, task, kind).text.count(name) == 2
        assert "SPEAKER_00" not in result(client, task, kind).text
    assert files.read(task, checkpoint(files, task)) == before


@pytest.mark.parametrize("nothing", ["", "  ", None])
def test_empty_name_takes_the_name_away(client: TestClient, task: str, nothing) -> None:
    edit(client, task, speakers={"SPEAKER_00": "Katie", "SPEAKER_01": "Bob"})
    names = [speaker["name"] for speaker in edit(client, task, speakers={"SPEAKER_00": nothing}).json()["speakers"]]
    assert names == [None, "Bob"]


def test_corrected_text_is_in_every_format_and_its_words_have_times(client: TestClient, task: str) -> None:
    answer = edit(client, task, segments=[{"id": 0, "text": "Hello my name is Katie Ann."}])
    first, second, _ = answer.json()["segments"]
    assert first["text"] == "Hello my name is Katie Ann." and second["text"] == "Hi."
    assert answer.json()["text"] == "Hello my name is Katie Ann. Hi. How are you?"
    assert (first["start"], first["end"], first["avg_logprob"]) == (0.0, 2.4, -0.2)
    assert [(word["word"], word["score"]) for word in first["words"]] == [
        ("Hello", 0.9), ("my", 0.9), ("name", 0.9), ("is", 0.9), ("Katie", None), ("Ann.", None)
    ]  # fmt: skip
    assert [(word["start"], word["end"]) for word in first["words"][3:]] == [(1.5, 1.9), (2.0, 2.222), (2.222, 2.4)]
    for kind in ("verbose_json", "diarized_json", "text", "srt", "vtt", "tsv"):
        written = result(client, task, kind).text
        assert "Katie Ann." in written and "Kathy" not in written
    assert result(client, task, "verbose_json").json()["segments"][0]["tokens"] == []


def test_edits_add_up_and_the_last_word_counts(client: TestClient, task: str) -> None:
    edit(client, task, speakers={"SPEAKER_00": "Kate"}, segments=[{"id": 1, "text": "Hey."}])
    edit(client, task, segments=[{"id": 2, "text": ""}])
    answer = edit(client, task, speakers={"SPEAKER_00": "Katie"}, segments=[{"id": 1, "text": "Hi."}]).json()
    assert answer["speakers"][0]["name"] == "Katie"
    assert [segment["text"] for segment in answer["segments"]] == ["Hello, my name is Kathy.", "Hi.", ""]
    assert answer["segments"][1]["words"][0]["score"] == 0.9
    assert answer["text"] == "Hello, my name is Kathy. Hi."
    assert edit(client, task).json() == answer
    assert len(pysubs2.SSAFile.from_string(result(client, task, "srt").text)) == 2


def test_edits_at_once_lose_nothing(client: TestClient, tone, files: Files) -> None:
    many = Transcript("en", 90.0, tuple(said("Word.", "SPEAKER_00", float(at)) for at in range(20)), MADE.speakers)
    task = completed(client, tone(), files, many)
    answers: list[int] = []

    def change(place: int) -> None:
        answers.append(edit(client, task, segments=[{"id": place, "text": f"Text {place}."}]).status_code)

    threads = [threading.Thread(target=change, args=(place,)) for place in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 20
    texts = [segment["text"] for segment in result(client, task).json()["segments"]]
    assert texts == [f"Text {place}." for place in range(20)]


def test_text_that_is_another_by_now_is_overwritten_by_nobody_who_says_what_it_was(
    client: TestClient, task: str
) -> None:
    never = edit(client, task, segments=[{"id": 1, "text": "Hey.", "was": "Ho."}])
    assert never.status_code == 409 and "It is now: 'Hi.'." in never.json()["detail"]
    assert edit(client, task, segments=[{"id": 1, "text": "Hey.", "was": " Hi. "}]).status_code == 200
    late = edit(client, task, segments=[{"id": 2, "text": "Well?"}, {"id": 1, "text": "Ho.", "was": "Hi."}])
    assert late.status_code == 409 and late.headers["content-type"] == "application/problem+json"
    assert late.json()["detail"] == "The text of segment 1 was changed meanwhile. It is now: 'Hey.'."
    assert [segment["text"] for segment in result(client, task).json()["segments"][1:]] == ["Hey.", "How are you?"]
    again = edit(client, task, segments=[{"id": 1, "text": "Hey.", "was": "Hi."}])  # its first answer was lost
    assert again.status_code == 200
    assert edit(client, task, segments=[{"id": 1, "text": "", "was": "Hey."}]).status_code == 200
    assert edit(client, task, segments=[{"id": 1, "text": "Ho.", "was": "Hey."}]).status_code == 409
    assert edit(client, task, segments=[{"id": 1, "text": "Ho.", "was": None}]).status_code == 200


def test_of_two_who_put_the_same_text_right_at_once_one_is_told(client: TestClient, task: str) -> None:
    async def both(parts: Parts) -> None:
        edits = [Edits(segments={1: text}, was={1: "Hi."}) for text in ("Hey.", "Ho.")]  # both have read the transcript
        answers = await asyncio.gather(*(parts.manager.edit(task, one) for one in edits), return_exceptions=True)
        assert {type(answer) for answer in answers} == {bool, Changed}

    on_server(client, both)


def test_edits_outlast_a_restart_and_the_end_of_a_run(make_client, tone, own_backend: Backend, tmp_path: Path) -> None:
    client = make_client()
    task = completed(client, tone(), own_backend.files(tmp_path / "data"))
    edit(client, task, speakers={"SPEAKER_01": "Bob"})
    client.__exit__(None, None, None)
    again = make_client()
    assert result(again, task).json()["speakers"][1]["name"] == "Bob"

    async def end_of_a_run(parts: Parts) -> None:
        job = await parts.store.get(task)
        assert job is not None
        manager: Any = parts.manager
        await JobRun(job, manager._shop)._tidy()

    on_server(again, end_of_a_run)
    assert result(again, task).json()["speakers"][1]["name"] == "Bob"


def test_edits_go_with_the_task(client: TestClient, task: str, files: Files, data: Path) -> None:
    edit(client, task, speakers={"SPEAKER_00": "Katie"})
    assert "edits.json" in files.made(task)
    assert ON_CLUSTER or (data / "tasks" / task / "edits.json").stat().st_mode & 0o777 == 0o600
    client.delete(f"{API}/task/{task}")
    assert soon(lambda: not files.traces(task))
    assert edit(client, task, speakers={"SPEAKER_00": "Katie"}).status_code == 404


def test_edit_of_a_task_that_is_deleted_meanwhile_leaves_nothing(client: TestClient, task: str, files: Files) -> None:
    async def both(parts: Parts) -> None:
        editing = asyncio.create_task(parts.manager.edit(task, Edits({"SPEAKER_00": "Katie"})))
        await parts.manager.delete(task)
        await editing
        assert not await parts.manager.edit(task, Edits({"SPEAKER_00": "Katie"}))

    on_server(client, both)
    assert soon(lambda: not files.traces(task))


@pytest.mark.embedded("a server alone has the lock on a task's changes in its memory")
def test_edit_waits_for_a_deletion_that_has_begun(client: TestClient, task: str, files: Files) -> None:
    async def both(parts: Parts) -> None:
        manager: Any = parts.manager
        deleting = asyncio.create_task(manager.delete(task))
        while not manager._change_of(task).locked():  # noqa: ASYNC110 - a lock has no event for being taken
            await asyncio.sleep(0)
        assert not await parts.manager.edit(task, Edits({"SPEAKER_00": "Katie"}))
        await deleting

    on_server(client, both)
    assert soon(lambda: not files.traces(task))


LONG = "x" * 5000


@pytest.mark.parametrize(
    ("body", "param", "sentence"),
    [
        ({"speakers": {"SPEAKER_07": "Bob"}}, "speakers", "no speaker 'SPEAKER_07', there are: SPEAKER_00, SPEAKER_01"),
        ({"speakers": {"SPEAKER_00": 5}}, "speakers", "speakers.SPEAKER_00"),
        ({"speakers": ["Bob"]}, "speakers", "speakers"),
        ({"speakers": {"SPEAKER_00": LONG}}, "speakers", "at most 100 characters"),
        ({"speakers": {"SPEAKER_00": "a\x07b"}}, "speakers", "control characters"),
        ({"segments": {"id": 0}}, "segments", "segments"),
        ({"segments": [{"id": 3, "text": "No."}]}, "segments", "no segment 3, there are 3, from 0"),
        ({"segments": [{"id": -1, "text": "No."}]}, "segments", "segments[0].id must be at least 0"),
        ({"segments": [{"id": True, "text": "No."}]}, "segments", "segments[0].id"),
        ({"segments": [{"id": "0", "text": "No."}]}, "segments", "segments[0].id"),
        ({"segments": [{"id": 0, "text": "a"}, {"id": 0, "text": "b"}]}, "segments", "segment 0 is there twice"),
        ({"segments": [{"id": 0}]}, "segments", "segments[0].text is missing"),
        ({"segments": [{"id": 0, "text": None}]}, "segments", "segments[0].text"),
        ({"segments": [{"id": 0, "text": LONG}]}, "segments", "segments[0].text must have at most 4096 characters"),
        ({"segments": [{"id": 0, "text": "a", "was": 5}]}, "segments", "segments[0].was"),
        ({"segments": [{"id": 0, "text": "a", "start": 1.0}]}, "segments", "no field 'segments[0].start'"),
        ({"language": "de"}, "language", "no field 'language'"),
    ],
)
def test_wrong_edit_is_a_400_that_names_the_field(client: TestClient, read: str, body, param, sentence) -> None:
    answer = client.patch(f"{API}/result/{read}", json=body)
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["param"] == param and sentence in answer.json()["detail"]
    assert result(client, read).json()["text"] == MADE.text


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"a":' * 100_000, b'{"segments":[{"id":0,"text":"\\ud800"}]}', b"\xff",
             b'{"speakers":{"SPEAKER_00":"a","SPEAKER_00":"b"}}', b'{"\\ud800":1}', b'{"speakers":{"\\ud800":"x"}}',
             b'{"\\ud800":1,"\\ud800":2}', b'{"\xed\xa0\x80":1}', b'{"segments":[{"id":1e999,"text":"a"}]}'],
)  # fmt: skip
def test_body_that_is_no_edit_is_400(client: TestClient, read: str, body: bytes) -> None:
    answer = client.patch(f"{API}/result/{read}", content=body)
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert result(client, read).json()["text"] == MADE.text


def test_body_full_of_names_is_read_at_once(client: TestClient, read: str) -> None:
    names = "".join(f'"{number}":0,' for number in range(20_000))
    began = time.perf_counter()
    assert client.patch(f"{API}/result/{read}", content=f'{{{names}"19999":1}}').status_code == 400
    assert time.perf_counter() - began < 2


def test_endless_body_is_413(client: TestClient, read: str) -> None:
    answer = client.patch(f"{API}/result/{read}", content=(b" " * 65536 for _ in range(1000)))
    assert answer.status_code == 413


@pytest.mark.embedded("a bucket has no disk that could be full")
def test_full_disk_is_507_and_changes_nothing(client: TestClient, task: str, monkeypatch) -> None:
    edit(client, task, speakers={"SPEAKER_00": "Katie"})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("whisperx_api.storage.local._write", full)
    assert edit(client, task, speakers={"SPEAKER_00": "Bob"}).status_code == 507
    assert result(client, task).json()["speakers"][0]["name"] == "Katie"


def test_task_that_is_not_completed_has_nothing_to_edit(client: TestClient, tone) -> None:
    task = send(client, tone(), prompt=json.dumps({"seconds": 5})).json()["task_id"]
    answer = edit(client, task, speakers={"SPEAKER_00": "Katie"})
    assert answer.status_code == 409 and answer.json()["task"]["task_id"] == task
    client.post(f"{API}/cancel/{task}")
    assert edit(client, task, speakers={}).status_code == 409


def test_edit_is_for_the_owner_with_a_key_that_may_change_tasks(make_client, tone) -> None:
    client = make_client(api_keys="ann:key-a,ben:key-b,eye:key-r:read", api_key=None)
    task = send(client, tone(), headers={"X-API-Key": "key-a"}).json()["task_id"]
    body = {"speakers": {"SPEAKER_00": "Katie"}}
    for key, status in (("key-b", 404), ("key-r", 403), ("wrong", 401)):
        assert client.patch(f"{API}/result/{task}", json=body, headers={"X-API-Key": key}).status_code == status


# --- the recording ---


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=100-199", 100, 199), ("bytes=32000-", 32000, -1), ("bytes=-500", -500, -1),
     ("bytes=0-999999999", 0, -1), ("bytes=-999999999", 0, -1)],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_part_of_the_recording_is_206(client: TestClient, read: str, method, asked, first, last) -> None:
    whole = client.get(f"{API}/audio/{read}")
    size = len(whole.content)
    first, last = (place % size for place in (first, last))
    part = client.request(method, f"{API}/audio/{read}", headers={"Range": asked})
    assert part.status_code == 206 and part.headers["content-range"] == f"bytes {first}-{last}/{size}"
    assert part.headers["content-length"] == str(last - first + 1)
    assert part.content == (whole.content[first : last + 1] if method == "GET" else b"")


def test_whole_recording_says_that_it_comes_in_parts(client: TestClient, read: str) -> None:
    head, whole = client.head(f"{API}/audio/{read}"), client.get(f"{API}/audio/{read}")
    assert head.status_code == whole.status_code == 200 and head.content == b""
    assert head.headers["accept-ranges"] == "bytes"
    assert head.headers["content-length"] == str(len(whole.content))
    for stale in ('"other"', 'W/"weak"'):
        headers = {"Range": "bytes=0-3", "If-Range": stale}
        assert client.get(f"{API}/audio/{read}", headers=headers).status_code == 200
    headers = {"Range": "bytes=0-3", "If-Range": head.headers["etag"]}
    assert client.get(f"{API}/audio/{read}", headers=headers).status_code == 206


def test_several_parts_come_as_one_answer(client: TestClient, read: str) -> None:
    whole = client.get(f"{API}/audio/{read}").content
    answer = client.get(f"{API}/audio/{read}", headers={"Range": "bytes=0-3,100-103"})
    assert answer.status_code == 206 and answer.headers["content-type"].startswith("multipart/byteranges")
    assert whole[:4] in answer.content and whole[100:104] in answer.content


@pytest.mark.parametrize("asked", ["seconds=0-1", "x"])
def test_range_in_an_unknown_unit_is_passed_over(client: TestClient, read: str, asked: str) -> None:
    whole = client.get(f"{API}/audio/{read}")
    answer = client.get(f"{API}/audio/{read}", headers={"Range": asked})
    assert answer.status_code == 200 and answer.content == whole.content


@pytest.mark.parametrize(
    ("asked", "status"),
    [("bytes=999999999-", 416), ("bytes=-0", 416), ("bytes=5-2", 400), ("bytes", 400)],
)
def test_wrong_range_is_a_problem_as_others_are(client: TestClient, read: str, asked: str, status: int) -> None:
    size = len(client.get(f"{API}/audio/{read}").content)
    answer = client.get(f"{API}/audio/{read}", headers={"Range": asked})
    assert answer.status_code == status == answer.json()["status"] and answer.json()["param"] == "Range"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("content-range") == (f"bytes */{size}" if status == 416 else None)
