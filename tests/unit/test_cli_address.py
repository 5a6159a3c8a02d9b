"""Which server the command finds, and who gets the key of the one on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from whisperx_api.cli import app
from whisperx_api.cli.transcribe.address import local_key, url_of


@pytest.mark.parametrize(
    "server", ["http://127.0.0.1:8123", "http://localhost:8123/speech", "https://[::1]:8123", "http://LOCALHOST:8123"]
)
def test_server_at_the_port_of_the_settings_gets_their_key(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8123")
    monkeypatch.setenv("API_KEY", "secret")
    assert local_key(server) == "secret"


@pytest.mark.parametrize(
    "server", ["http://127.0.0.1:8124", "http://localhost", "https://localhost", "http://elsewhere.example:8123"]
)
def test_whatever_else_listens_on_this_machine_gets_no_key(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8123")
    monkeypatch.setenv("API_KEY", "secret")
    assert local_key(server) is None


def test_port_of_a_scheme_need_not_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    for port, own, other in (("80", "http", "https"), ("443", "https", "http")):
        monkeypatch.setenv("PORT", port)
        assert local_key(f"{own}://localhost") == "secret"
        assert local_key(f"{other}://localhost") is None


@pytest.mark.parametrize(
    "server", ["http://[::1", "http://localhost:99999", "http://localhost:port", "ftp://localhost"]
)
def test_server_that_is_none_is_told_as_such(server: str, tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(b"RIFF")
    result = CliRunner().invoke(app, ["transcribe", str(tmp_path / "call.wav"), "--server", server])
    assert result.exit_code == 3
    assert result.stderr.startswith(f"{server} is no URL of a server: ") and "--api-key" not in result.stderr


def test_server_is_named_with_or_without_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8123")
    assert url_of(None) == "http://127.0.0.1:8123"
    assert url_of("here:8000/") == "http://here:8000"
    assert url_of(" https://here/speech ") == "https://here/speech"
