"""`make try` beside another program that has its port: that one gets no recording and no key."""

from __future__ import annotations

import html
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import psutil
import pytest

from tests.backend import KEY
from tests.server import ROOT, RUN, free_port
from whisperx_api.demo import main, wait_for


class Other(ThreadingHTTPServer):
    """Another program, which answers whatever it is asked, and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []


class Handler(BaseHTTPRequestHandler):
    server: Other  # type: ignore[assignment]  # the server that made it

    def respond(self) -> None:
        self.server.asked.append((f"{self.command} {self.path}", self.headers.get("X-API-Key")))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"task_id": "t1", "status": "pending"}')

    do_GET = do_POST = respond

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def other() -> Iterator[Other]:
    other = Other()
    threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
    yield other
    other.shutdown()
    other.server_close()


def test_program_that_has_the_port_is_sent_nothing(other: Other, tone, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PORT", str(other.server_port))
    monkeypatch.setenv("API_KEY", "secret")
    begun: list[Any] = []
    monkeypatch.setattr("whisperx_api.demo.subprocess.Popen", lambda *_, **__: begun.append(1))
    with pytest.raises(SystemExit, match=f"Port {other.server_port} on 127.0.0.1 is taken by another program"):
        main(["--page", str(tone())])
    assert begun == [] and other.asked == []


def test_program_that_takes_the_port_meanwhile_is_not_asked(other: Other) -> None:
    soon_over = [sys.executable, "-c", "import time; time.sleep(0.5)"]
    with subprocess.Popen(soon_over) as server, pytest.raises(SystemExit, match="ended before it answered"):
        wait_for(f"http://127.0.0.1:{other.server_port}", server)
    assert other.asked == []


def test_own_server_is_waited_for() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as server:  # fmt: skip
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split(b" port ")[1].split()[0])
            wait_for(f"http://127.0.0.1:{port}", server)
        finally:
            server.terminate()


@pytest.mark.parametrize("flags", [["--page"], []])
def test_recording_that_cant_be_read_is_told_before_a_server_is_begun(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr("whisperx_api.demo.subprocess.Popen", lambda *_, **__: begun.append(1))
    for name, why in (("missing.mp3", "No such file or directory"), ("", "Is a directory")):
        with pytest.raises(SystemExit) as caught:
            main([*flags, str(tmp_path / name)])
        assert caught.value.code == f"{tmp_path / name} can't be read: {why}."
    assert begun == []


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[psutil.Process]]:
    """The server that is begun is one on the fake engine, with data of its own; this finds it while it runs."""
    others = set(psutil.Process().children())
    port = str(free_port())
    monkeypatch.setattr("whisperx_api.demo.PROGRAM", (sys.executable, "-c", RUN, "tests.fake_engine", port))
    for name, value in (("PORT", port), ("HOST", "127.0.0.1"), ("DATA_DIR", str(tmp_path / "data")), ("API_KEY", KEY)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return lambda: [child for child in psutil.Process().children() if child not in others]


def test_recording_that_the_server_refuses_is_told_in_its_words(begun, tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("Dear Sir or Madam, this is no sound at all.")
    with pytest.raises(SystemExit, match="The recording can't be read"):
        main(["--page", str(tmp_path / "letter.wav")])
    assert begun() == []


def test_browser_is_led_to_the_page_by_a_file_that_others_cant_read(
    begun, tone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_KEY", 'k&<"e">y')
    monkeypatch.setenv("DISPLAY", ":0")
    opened: list[tuple[str, str, int]] = []

    def browse(address: str) -> bool:
        file = Path(url2pathname(urlsplit(address).path))
        opened.append((address, file.read_text(), stat.S_IMODE(file.stat().st_mode)))
        [server] = begun()
        server.terminate()
        return True

    monkeypatch.setattr("whisperx_api.demo.webbrowser.open", browse)
    main(["--page", str(tone())])
    [(address, page, mode)] = opened
    link = capsys.readouterr().err.partition("The page is at ")[2].splitlines()[0]
    assert link.endswith("&key=k%26%3C%22e%22%3Ey")
    assert address.startswith("file:///") and "key" not in address and mode == 0o600
    assert f'content="0; url={html.escape(link)}"' in page
    assert not Path(urlsplit(address).path).exists()


def test_demo_has_its_key_on_no_command_line(tone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whisperx_api.demo.secrets.token_urlsafe", lambda _: "demo-key")
    monkeypatch.setattr("whisperx_api.demo.wait_for", lambda *_: None)
    begun: list[tuple[list[str], dict[str, str]]] = []
    really = subprocess.Popen

    def begin(command: list[str], env: dict[str, str], **options: Any) -> Any:
        begun.append((command, env))
        return really([sys.executable, "-c", ""], **options)

    monkeypatch.setattr("whisperx_api.demo.subprocess.Popen", begin)
    assert main([str(tone())]) == 0
    [(serve, served), (transcribe, transcribing)] = begun
    assert "serve" in serve and "transcribe" in transcribe
    assert not any("demo-key" in word for word in (*serve, *transcribe))
    assert served["API_KEY"] == transcribing["WHISPERX_API_KEY"] == "demo-key"
    assert {"PATH"} < served.keys() & transcribing.keys()
