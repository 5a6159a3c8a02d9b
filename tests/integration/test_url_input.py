"""An upload that names a url: fetched within the limits of an upload, and from nowhere that is not to be called."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.backend import Files
from tests.conftest import UPLOAD
from tests.receiver import Receiver, receiving
from tests.waiting import on_server, send, wait
from whisperx_api.api.parts import Parts


@pytest.fixture
def serve() -> Iterator[Callable[..., Receiver]]:
    """Start servers of recordings."""
    with ExitStack() as stack:
        yield lambda **values: stack.enter_context(receiving(Receiver(**values)))


@pytest.fixture
def fetching(make_client) -> TestClient:
    """An app that fetches from 127.0.0.1."""
    return make_client(url_input=True, outgoing_allow="127.0.0.1")


def by_url(client: TestClient, url: str, headers: dict[str, str] | None = None, **fields: str):
    """Send a form without a file."""
    form = {name: (None, value) for name, value in {"url": url, **fields}.items()}
    return client.post(UPLOAD, files=form, headers=headers)


def refused(answer, status: int, param: str, words: str) -> bool:
    problem = answer.json()
    assert answer.status_code == status and problem.get("param") == param and words in problem["detail"], answer.text
    return True


def test_recording_at_a_url_becomes_a_transcript(fetching: TestClient, tone, serve) -> None:
    sound = tone(2.0).read_bytes()
    source = serve(content=sound)
    answer = by_url(fetching, f"{source.url}/calls/Mon%C3%A4y%20call.wav?token=1", language="de")
    assert answer.status_code == 202, answer.text
    status = wait(fetching, answer.json()["task_id"])
    assert status["status"] == "completed" and status["filename"] == "Monäy call.wav"
    assert status["result"]["language"] == "de" and status["duration"] == 2.0
    assert fetching.get(f"/api/v1/transcribe/audio/{answer.json()['task_id']}").content == sound

    async def hashed(parts: Parts) -> None:
        job = await parts.store.get(answer.json()["task_id"])
        assert job and (job.upload.size, job.upload.sha256) == (len(sound), hashlib.sha256(sound).hexdigest())

    on_server(fetching, hashed)


def test_url_is_taken_only_where_the_operator_says_so(client: TestClient, tone, serve) -> None:
    source = serve(content=tone().read_bytes())
    assert refused(by_url(client, source.url), 400, "url", "URL_INPUT=true")
    assert source.requests == []


def test_file_and_url_or_neither_is_400(fetching: TestClient, tone, serve) -> None:
    source = serve(content=tone().read_bytes())
    assert refused(send(fetching, tone(), url=source.url), 400, "url", "not both")
    assert refused(fetching.post(UPLOAD, files={"language": (None, "en")}), 400, "file", "or name its url")
    assert source.requests == []


def test_address_that_is_not_allowed_is_refused(make_client, tone, serve, files: Files) -> None:
    client = make_client(url_input=True)
    source = serve(content=tone().read_bytes())
    for url in (source.url, f"http://localhost:{source.port}/", "http://[::1]/", "http://169.254.169.254/latest"):
        assert refused(by_url(client, url), 400, "url", "OUTGOING_ALLOW")
    for url in ("file:///etc/passwd", "nothing", "http://93.184.215.14:x/", "http://\x00/"):
        assert refused(by_url(client, url), 400, "url", "with http or https")
    assert source.requests == [] and files.recordings() == []


@pytest.mark.parametrize("status", [404, 500, 204, 302, 401])
def test_server_that_gives_no_recording_is_400_with_its_status(
    fetching: TestClient, serve, files: Files, status
) -> None:
    other = serve()
    source = serve(default=status, headers={"Location": other.url})
    assert refused(by_url(fetching, source.url), 400, "url", str(status))
    assert other.requests == [] and files.recordings() == []


def test_server_that_is_not_there_is_400(fetching: TestClient, serve, files: Files) -> None:
    with receiving(Receiver()) as gone:
        url = gone.url
    assert refused(by_url(fetching, url), 400, "url", "can't be fetched")
    assert files.recordings() == []


def test_server_that_takes_too_long_is_400(make_client, serve, files: Files) -> None:
    client = make_client(url_input=True, outgoing_allow="127.0.0.1", url_timeout_seconds=0.3)
    source = serve(gate=threading.Event())
    began = time.monotonic()
    assert refused(by_url(client, source.url), 400, "url", "0.3 s")
    assert time.monotonic() - began < 10 and files.recordings() == []


def test_recording_over_the_limit_is_413_by_its_stated_size_and_by_what_comes(make_client, serve, files: Files) -> None:
    client = make_client(url_input=True, outgoing_allow="127.0.0.1", max_file_size="100K")
    stated = serve(content=b"", headers={"Content-Length": str(10**9)})
    assert refused(by_url(client, stated.url), 413, "url", "MAX_FILE_SIZE")
    wrong = serve(content=bytes(5_000_000), headers={"Content-Length": "unknown"})
    assert refused(by_url(client, wrong.url), 400, "url", "can't be fetched")
    unstated = serve(content=b"%x\r\n" % 3_000_000 + bytes(3_000_000), headers=CHUNKED)
    assert refused(by_url(client, unstated.url), 413, "url", "MAX_FILE_SIZE")
    assert files.recordings() == []


CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked"}


def test_recording_that_breaks_off_is_400(fetching: TestClient, tone, serve, files: Files) -> None:
    source = serve(content=tone().read_bytes(), headers={"Content-Length": "999999"})
    assert refused(by_url(fetching, source.url), 400, "url", "can't be fetched")
    assert files.recordings() == []


def test_what_is_no_audio_is_415_that_names_the_url(fetching: TestClient, serve, files: Files) -> None:
    assert refused(by_url(fetching, serve(content=b"<html>no</html>" * 100).url), 415, "url", "can't be read")
    assert files.recordings() == []


def test_idempotency_key_asks_the_url_once(fetching: TestClient, tone, serve) -> None:
    source, key = serve(content=tone().read_bytes()), {"Idempotency-Key": "one"}
    first = by_url(fetching, source.url, headers=key)
    again = by_url(fetching, source.url, headers=key)
    assert first.status_code == again.status_code == 202
    assert again.json()["task_id"] == first.json()["task_id"] and len(source.requests) == 1
    assert by_url(fetching, source.url + "/other", headers=key).status_code == 409
    assert by_url(fetching, source.url, headers=key, language="de").status_code == 409
    assert send(fetching, tone(), headers=key).status_code == 409


def test_webhook_goes_with_a_url(fetching: TestClient, tone, serve) -> None:
    source = serve(content=tone().read_bytes())
    answer = by_url(fetching, source.url, webhook_url=f"{source.url}/hook")
    assert answer.status_code == 202
    assert [request.method for request in source.wait(2)] == ["GET", "POST"]


def test_full_disk_is_507(fetching: TestClient, tone, serve, files: Files, monkeypatch) -> None:
    def no_space(target: Path) -> None:
        raise OSError(28, "No space left on device")

    source = serve(content=tone().read_bytes())
    monkeypatch.setattr("whisperx_api.api.fetching.create", no_space)
    answer = by_url(fetching, source.url)
    assert answer.status_code == 507, answer.text
    assert files.recordings() == []
