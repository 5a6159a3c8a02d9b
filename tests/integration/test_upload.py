"""What an upload may be, and what each wrong one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bench.upload import growth, recording
from bench.upload import send as sent
from tests.backend import Files
from tests.conftest import KEY, UPLOAD
from tests.waiting import send, wait
from whisperx_api.api.requests import options, parse
from whisperx_api.engine import decoder
from whisperx_api.options import Channels
from whisperx_api.settings import load_settings

LARGE = 300_000_000
"""Bytes of a large upload."""


def test_upload_is_accepted_and_becomes_a_transcript(client: TestClient, tone) -> None:
    answer = send(client, tone(2.0))
    assert answer.status_code == 202
    body = answer.json()
    assert body["status"] == "pending" and body["message"]
    assert answer.headers["location"] == f"/api/v1/transcribe/status/{body['task_id']}"
    status = wait(client, body["task_id"])
    assert status["status"] == "completed" and status["progress"] == 100 and status["error"] is None
    assert status["result"]["text"] == "Hello there."
    assert status["result"]["duration"] == 2.0
    assert status["created_at"].endswith("Z") and status["completed_at"] >= status["started_at"] >= status["created_at"]


@pytest.mark.parametrize("headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}])
def test_key_is_taken_in_both_headers(client: TestClient, tone, headers) -> None:
    del client.headers["X-API-Key"]
    assert send(client, tone(), headers=headers).status_code == 202


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}])
def test_wrong_or_no_key_is_401_before_the_body_is_looked_at(client: TestClient, headers) -> None:
    del client.headers["X-API-Key"]
    answer = client.post(UPLOAD, content=b"no form at all", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Bearer" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "klingon"}, "language"),
        ({"model": "gpt-5"}, "model"),
        ({"model": "/etc"}, "model"),
        ({"model": "../secrets"}, "model"),
        ({"task": "sing"}, "task"),
        ({"enable_diarization": "perhaps"}, "enable_diarization"),
        ({"num_speakers": "0"}, "num_speakers"),
        ({"num_speakers": "51"}, "num_speakers"),
        ({"num_speakers": "two"}, "num_speakers"),
        ({"min_speakers": "3", "max_speakers": "2"}, "min_speakers"),
        ({"num_speakers": "4", "max_speakers": "2"}, "num_speakers"),
        ({"temperature": "1.5"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"temperature": "-0.1"}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"channels": "left"}, "channels"),
        ({"channels": "separate", "num_speakers": "2"}, "num_speakers"),
        ({"channels": "separate", "speaker_embeddings": "true"}, "speaker_embeddings"),
        ({"url": "http://example.org/a.mp3"}, "url"),
        ({"webhook_url": "http://127.0.0.1/"}, "webhook_url"),
        ({"webhook_url": "ftp://example.org/"}, "webhook_url"),
        ({"webhook_url": "https://93.184.215.14/", "webhook_secret": "short"}, "webhook_secret"),
        ({"webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "webhook_secret"),
        ({"priority": "11"}, "priority"),
        ({"prompt": "x" * 5000}, "prompt"),
        ({"num_speaker": "2"}, "num_speaker"),
    ],
)
def test_wrong_field_is_a_400_that_names_it(client: TestClient, tone, fields, param) -> None:
    answer = send(client, tone(), **fields)
    assert answer.status_code == 400
    assert answer.json()["param"] == param
    assert param in answer.json()["detail"]
    assert client.get("/api/v1/transcribe/tasks").json()["tasks"] == []


def test_empty_fields_count_as_left_out(client: TestClient, tone) -> None:
    assert send(client, tone(), language="", num_speakers="", temperature="0", channels="mix").status_code == 202


@pytest.mark.parametrize("language", ["de", "DE", "German", "de-AT"])
def test_language_is_taken_by_code_and_name(client: TestClient, tone, language) -> None:
    task = send(client, tone(), language=language).json()["task_id"]
    assert wait(client, task)["result"]["language"] == "de"


def test_configured_alias_names_the_model(make_client, tone) -> None:
    client = make_client(whisper_model_alias="whisper-1,house-model")
    assert send(client, tone(), model="house-model").status_code == 202
    assert send(client, tone(), model="tiny").status_code == 202


def test_known_model_that_is_not_here_is_refused_when_nothing_is_fetched(make_client, tone) -> None:
    client = make_client(whisper_auto_download=False)
    answer = send(client, tone(), model="large-v3")
    assert answer.status_code == 400 and answer.json()["param"] == "model"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.wav", b""),
        ("text.mp3", b"this is no music\n" * 100),
        ("cut.wav", b"RIFF\x24\x00\x00\x00WAVEfmt "),
        ("cut.m4a", b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00"),
        ("random.ogg", bytes(range(256)) * 40),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile /etc/hostname\n"),
    ],
)
def test_what_is_no_audio_is_415(client: TestClient, tmp_path: Path, name, content) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    answer = send(client, path)
    assert answer.status_code == 415, answer.text
    assert answer.json()["param"] == "file"


def test_content_decides_and_not_the_name(client: TestClient, tone) -> None:
    assert send(client, tone(name="tone.txt")).status_code == 202


def test_form_without_a_file_is_400(client: TestClient) -> None:
    bodies: list[dict[str, Any]] = [{"data": {"language": "en"}}, {"files": {"language": (None, "en")}}, {"json": {}}]
    for body in bodies:
        answer = client.post(UPLOAD, **body)
        assert answer.status_code == 400 and answer.json()["param"] == "file"


def test_file_may_come_after_or_before_the_fields(client: TestClient, tone) -> None:
    wav = tone().read_bytes()
    parts = {
        "file": b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + wav + b"\r\n",
        "language": b'--B\r\nContent-Disposition: form-data; name="language"\r\n\r\nde\r\n',
    }
    for order in (("file", "language"), ("language", "file")):
        body = b"".join(parts[name] for name in order) + b"--B--\r\n"
        answer = client.post(UPLOAD, content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
        assert answer.status_code == 202
        assert wait(client, answer.json()["task_id"])["result"]["language"] == "de"


@pytest.mark.parametrize(
    "form",
    [
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF',
        b'--B\r\nContent-Disposition: form-data; name="other"; filename="a.wav"\r\n\r\nRIFF\r\n--B--\r\n',
        b'--B\r\nContent-Disposition: form-data; name="task"\r\n\r\n\xff\xfe\r\n--B--\r\n',
        b'--B\r\nContent-Disposition: form-data; name="task"\r\n\r\na\r\n--B\r\n'
        b'Content-Disposition: form-data; name="task"\r\n\r\nb\r\n--B--\r\n',
        b"--B\r\nbroken",
        b"",
        b'--B\r\nContent-Disposition: form-data; filename="a.wav"\r\n\r\nRIFF\r\n--B--\r\n',
        b'--B\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n' + b"x" * 70000 + b"\r\n--B--\r\n",
    ],
)
def test_broken_form_is_400_and_leaves_no_file(client: TestClient, files: Files, form) -> None:
    answer = client.post(UPLOAD, content=form, headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert answer.status_code == 400, answer.text
    assert files.recordings() == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('filename="b\u00e4r.wav"', "b\u00e4r.wav"),
        ("filename*=utf-8''b%C3%A4r.wav", "b\u00e4r.wav"),
        ('filename="C:\\\\calls\\\\a.wav"', "a.wav"),
        ('filename="../../etc/passwd"', "passwd"),
        ('filename=""', "recording"),
        ("filename*=iso-8859-1'de'b%E4r.wav", "b\u00e4r.wav"),
        ("filename*=utf-8''%ED%A0%80.wav", "\ufffd\ufffd\ufffd.wav"),
    ],
)
def test_name_of_the_file_is_read_as_clients_write_it(client: TestClient, tone, written, read) -> None:
    head = f'--B\r\nContent-Disposition: form-data; name="file"; {written}\r\n\r\n'.encode()
    body = head + tone().read_bytes() + b"\r\n--B--\r\n"
    answer = client.post(UPLOAD, content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert client.get(answer.headers["location"]).json()["filename"] == read


@pytest.mark.parametrize(
    "written", ["filename*=unicode_escape''%5cud800.wav", "filename*=idna''a%ff", "filename*=x\0y''a"]
)
def test_name_in_no_known_encoding_is_400(client: TestClient, tone, written) -> None:
    head = f'--B\r\nContent-Disposition: form-data; name="file"; {written}\r\n\r\n'.encode()
    body = head + tone().read_bytes() + b"\r\n--B--\r\n"
    answer = client.post(UPLOAD, content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert answer.status_code == 400, answer.text


def test_killed_decoder_is_no_fault_of_the_file_s(client: TestClient, tone, files: Files, monkeypatch) -> None:
    async def killed(path: Path, channels: Channels) -> float:
        raise decoder.DecoderDied("the decoder process ended with status -9 before it was done")

    monkeypatch.setattr(decoder, "probe", killed)
    answer = send(client, tone())
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert files.recordings() == []


def test_upload_folder_that_vanished_is_said_so(client: TestClient, tone, tmp_path: Path) -> None:
    (tmp_path / "data" / "uploads").rmdir()
    assert send(client, tone()).status_code == 503
    ready = client.get("/ready")
    assert ready.status_code == 503 and "UPLOAD_DIR" in ready.json()["detail"]
    assert client.get("/health").json()["disk"] == {"free": 0}


def test_recording_longer_than_allowed_is_413_with_the_setting(make_client, tone, files: Files) -> None:
    answer = send(make_client(max_duration_hours=1 / 3600), tone(seconds=1.5))
    assert answer.status_code == 413 and "MAX_DURATION_HOURS" in answer.json()["detail"]
    assert files.recordings() == []


def test_too_many_fields_are_400(client: TestClient, tone) -> None:
    many: Any = {f"f{index}": "x" for index in range(60)}
    assert send(client, tone(), **many).status_code == 400


def test_stated_size_over_the_limit_is_413_before_the_body_is_read(make_client) -> None:
    client = make_client(max_file_size="1K")

    def body():
        raise AssertionError("the body was read")
        yield b""

    answer = client.post(UPLOAD, content=body(), headers={
        "Content-Type": "multipart/form-data; boundary=B", "Content-Length": str(3 * 1024**2),
    })  # fmt: skip
    assert answer.status_code == 413


def test_idempotency_key_gives_the_same_task_for_the_same_request(client: TestClient, tone, files: Files) -> None:
    key = {"Idempotency-Key": "meeting-7"}
    first = send(client, tone(), headers=key).json()["task_id"]
    assert send(client, tone(), headers=key).json()["task_id"] == first
    assert send(client, tone(), language="de", headers=key).status_code == 409
    assert send(client, tone(2.0, "other.wav"), headers=key).status_code == 409
    assert send(client, tone()).json()["task_id"] != first
    assert len(files.recordings()) == 2


def test_temperature_is_of_the_job() -> None:
    assert options(parse({"temperature": "0.4"}), load_settings()).temperature == 0.4
    assert options(parse({}), load_settings()).temperature == 0.0


def test_priority_above_zero_needs_the_admin_scope(make_client, tone) -> None:
    client = make_client(api_keys="web:plain:transcribe+read,ops:boss", api_key=None)
    plain, boss = {"X-API-Key": "plain"}, {"X-API-Key": "boss"}
    assert send(client, tone(), priority="1", headers=plain).status_code == 403
    assert send(client, tone(), priority="-1", headers=plain).status_code == 202
    assert send(client, tone(), priority="1", headers=boss).status_code == 202


def test_key_without_a_scope_is_403(make_client, tone) -> None:
    client = make_client(api_keys="eye:looking:read,hand:sending:transcribe", api_key=None)
    assert send(client, tone(), headers={"X-API-Key": "looking"}).status_code == 403
    task = send(client, tone(), headers={"X-API-Key": "sending"}).json()["task_id"]
    assert client.get(f"/api/v1/transcribe/status/{task}", headers={"X-API-Key": "sending"}).status_code == 403


def test_full_disk_is_507_and_leaves_no_file(client: TestClient, tone, files: Files, monkeypatch) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("whisperx_api.api.multipart.os.fsync", no_space)
    answer = send(client, tone())
    assert answer.status_code == 507
    assert files.recordings() == []


def test_script_of_the_fake_reaches_it(client: TestClient, tone) -> None:
    script = json.dumps({"stage": "diarize", "what": "refuse"})
    status = wait(client, send(client, tone(), prompt=script).json()["task_id"])
    assert status["status"] == "failed" and status["error"] == "The model is out of reach."


def test_speaker_embeddings_and_words_come_as_asked(client: TestClient, tone) -> None:
    task = send(client, tone(), speaker_embeddings="true", word_timestamps="false").json()["task_id"]
    result = wait(client, task)["result"]
    assert result["speakers"][0]["embedding"] == [0.1, 0.2]
    assert "words" not in result["segments"][0]


def test_boundary_of_any_length_is_no_server_error(client: TestClient) -> None:
    for length in (71, 5000):
        kind = f"multipart/form-data; boundary={'B' * length}"
        answer = client.post(UPLOAD, content=b"x", headers={"Content-Type": kind})
        assert answer.status_code == 400


def test_body_after_the_form_counts_towards_the_limit(make_client, tone) -> None:
    client = make_client(max_file_size="100K")
    form = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + tone().read_bytes()
    body = iter([form + b"\r\n--B--\r\n", *[bytes(65536)] * 40])
    answer = client.post(UPLOAD, content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert answer.status_code == 413


def test_large_upload_takes_no_memory_of_the_server(start_server, tone, tmp_path: Path) -> None:
    server, file = start_server(fake=True), tmp_path / "long.wav"
    recording(file, LARGE)
    server.wait(server.upload(tone()))  # what is made once is there
    with growth(server.process.pid) as grown:
        _, answer = sent(str(server.client.base_url), UPLOAD, KEY, file)
        task = json.loads(answer.read())["task_id"]
    assert server.client.delete(f"/api/v1/transcribe/task/{task}").status_code == 204
    assert grown.size < 32_000_000, f"{grown.size / 1e6:.0f} MB"
