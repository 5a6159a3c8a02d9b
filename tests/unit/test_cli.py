"""The command line: what it prints where, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

import whisperx_api
from whisperx_api.cli import COMMANDS, app
from whisperx_api.cli.serve import plain_spoken
from whisperx_api.cli.transcribe.printing import clock
from whisperx_api.client import Retries
from whisperx_api.doctor import Check, Level
from whisperx_api.settings import Settings, SettingsError

runner = CliRunner()


@pytest.fixture(autouse=True)
def plain_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from the test alone: an empty folder to run in, and no variable of a setting."""
    monkeypatch.chdir(tmp_path)
    for name in (*Settings.model_fields, "whisperx_api_url", "whisperx_api_key"):
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.alone
def test_help_comes_at_once_and_names_every_command():
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "whisperx_api", "--help"], capture_output=True, text=True, check=True
        )
        taken.append(time.perf_counter() - start)
        assert all(name in done.stdout for name in COMMANDS)
    assert min(taken) < 1.0  # half of it on a quiet machine


def test_help_imports_neither_settings_nor_commands():
    code = (
        "import sys; from whisperx_api.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in sys.modules if n in ('pydantic', 'httpx', 'uvicorn', 'torch', 'whisperx_api.cli.serve')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# --- serve ---


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `serve` hands to uvicorn, in place of running it."""
    got: dict[str, Any] = {}
    fake_app = ModuleType("whisperx_api.app")
    vars(fake_app)["create_app"] = lambda settings: got.update(settings=settings) or "application"
    monkeypatch.setitem(sys.modules, "whisperx_api.app", fake_app)
    monkeypatch.setattr("uvicorn.run", lambda application, **options: got.update(options))
    return got


def test_every_setting_is_a_flag_with_its_meaning():
    shown = " ".join(runner.invoke(app, ["serve", "--help"], terminal_width=200).stdout.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in shown
        assert " ".join(str(field.description).split()[:4]) in shown


def test_flags_override_the_environment_which_overrides_the_file(served, monkeypatch: pytest.MonkeyPatch):
    Path(".env").write_text("BATCH_SIZE=3\nMAX_CONCURRENT_TASKS=3\nCHUNK_SIZE_SECONDS=13\n")
    monkeypatch.setenv("BATCH_SIZE", "5")
    monkeypatch.setenv("CHUNK_SIZE_SECONDS", "15")
    result = runner.invoke(app, ["serve", "--batch-size", "7", "--whisper-model", "tiny", "--port", "0", "--debug"])
    assert result.exit_code == 0, result.output
    settings = served["settings"]
    assert (settings.batch_size, settings.chunk_size_seconds, settings.max_concurrent_tasks) == (7, 15, 3)
    assert (settings.whisper_model, settings.debug) == ("tiny", True)
    assert (served["host"], served["port"], served["lifespan"]) == ("127.0.0.1", 0, "on")
    assert (served["log_level"], served["access_log"], served["server_header"]) == ("debug", True, False)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--port", "99999"], "PORT=99999 can't be used: "),
        (["--device", "tpu"], "DEVICE=tpu can't be used: it must be auto, cpu, cuda"),
        (["--whisper-model", "hugo"], "WHISPER_MODEL=hugo can't be used: it must be one of tiny"),
    ],
)
def test_wrong_value_ends_with_one_sentence_that_names_it(flags, sentence, served):
    result = runner.invoke(app, ["serve", *flags])
    assert result.exit_code == 2
    assert result.stderr.startswith(sentence)
    assert result.stderr.count("\n") == 1 and not served


def test_busy_port_ends_with_one_sentence(served):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = runner.invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 3
    assert f"Port {port} on 127.0.0.1 is taken" in result.stderr and not served


def test_setting_that_stops_the_start_is_said_without_a_traceback():
    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        raise SettingsError("DATA_DIR=data is in use.")
        yield

    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(SettingsError):
        asyncio.run(plain_spoken(FastAPI(lifespan=lifespan))({"type": "lifespan"}, receive, send))
    assert sent == [{"type": "lifespan.startup.failed", "message": "DATA_DIR=data is in use."}]


# --- transcribe ---

TRANSCRIPT = {
    "task_id": "t1",
    "language": "en",
    "duration": 30.0,
    "text": "Hello? Hi.",
    "models": {},
    "warnings": ["It is short."],
    "segments": [
        {"id": 0, "start": 6.71, "end": 7.16, "text": " Hello?", "speaker": "SPEAKER_00", "words": []},
        {"id": 1, "start": 8.0, "end": 9.96, "text": "Hi.", "speaker": "SPEAKER_01", "words": []},
        {"id": 2, "start": 59.97, "end": 3723.4, "text": "Hm.", "speaker": None, "words": []},
    ],
    "speakers": [
        {"id": "SPEAKER_00", "name": None, "duration": 1},
        {"id": "SPEAKER_01", "name": "Katie", "duration": 1},
    ],
}


class Service(ThreadingHTTPServer):
    """The service's answers: `status` is what a poll gets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.status: dict[str, Any] = {"status": "completed", "progress": 100}
        self.upload: tuple[int, dict[str, Any]] = (202, {"task_id": "t1", "status": "pending"})
        self.calls: list[str] = []
        self.body = b""
        self.key: str | None = None


class Handler(BaseHTTPRequestHandler):
    server: Service  # type: ignore[assignment]  # the server that made it

    def respond(self) -> None:
        service, path = self.server, self.path.removeprefix("/api/v1/transcribe").partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        service.calls.append(f"{self.command} {path}")
        service.key = self.headers.get("X-API-Key")
        status, answer = 200, {"task_id": "t1", "status": "cancelled"}
        if path == "/upload":
            service.body = body
            status, answer = service.upload
        elif path.startswith("/status"):
            answer = {"task_id": "t1", **service.status}
        elif path.startswith("/result"):
            answer = TRANSCRIPT
        data = json.dumps(answer).encode()
        if "format=" in self.path:
            data = f"as {self.path.partition('?')[2]} ü".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = respond

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    threading.Thread(target=service.serve_forever, daemon=True).start()
    yield service
    service.shutdown()
    service.server_close()


@pytest.fixture
def recording(tmp_path: Path) -> str:
    (tmp_path / "call.wav").write_bytes(b"RIFF")
    return str(tmp_path / "call.wav")


def transcribe(service: Service, recording: str, *flags: str) -> Any:
    return runner.invoke(app, ["transcribe", recording, "--server", service.url, "--poll-seconds", "0.05", *flags])


def test_transcript_goes_to_stdout_and_all_else_to_stderr(service: Service, recording: str):
    result = transcribe(service, recording, "--api-key", "k", "--language", "en", "--speakers", "2", "--no-diarization")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "[00:06.7 → 00:07.2] SPEAKER_00: Hello?\n[00:08.0 → 00:10.0] Katie: Hi.\n[01:00.0 → 1:02:03.4] Hm.\n"
    )
    assert "Note: It is short." in result.stderr
    assert "Task t1" in result.stderr and "Language: english" in result.stderr
    assert service.key == "k"
    for field in (b'"language"\r\n\r\nen', b'"num_speakers"\r\n\r\n2', b'"enable_diarization"\r\n\r\nfalse'):
        assert field in service.body


def test_json_is_the_servers_whole_answer(service: Service, recording: str):
    assert json.loads(transcribe(service, recording, "--api-key", "k", "--json").stdout) == TRANSCRIPT


def test_format_is_printed_or_written_to_a_file(service: Service, recording: str, tmp_path: Path):
    flags = ("--api-key", "k")
    printed = transcribe(service, recording, *flags, "--format", "srt", "--max-line-width", "42", "--highlight-words")
    assert printed.exit_code == 0 and printed.stdout == "as format=srt&max_line_width=42&highlight_words=true ü\n"
    for name, kind in (("a.vtt", "vtt"), ("a.txt", "text"), ("A.JSON", "json"), ("a.rttm", "rttm")):
        result = transcribe(service, recording, *flags, "--output", str(tmp_path / name))
        assert result.exit_code == 0 and result.stdout == ""
        assert (tmp_path / name).read_text() == f"as format={kind} ü"
    transcribe(service, recording, *flags, "-o", str(tmp_path / "a.json"), "--format", "verbose_json")
    assert (tmp_path / "a.json").read_text() == "as format=verbose_json ü"


def test_file_of_before_stays_where_the_new_one_cant_be_written_whole(service: Service, recording: str, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_text("the corrected one")
    done = subprocess.run(
        [sys.executable, "-m", "whisperx_api", "transcribe", recording, "--server", service.url, "-o", out / "a.txt"],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
    )  # fmt: skip
    assert done.returncode == 1 and "a.txt can't be written: File too large." in done.stderr
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("a.txt", "the corrected one")]


def test_output_goes_where_a_link_leads_and_into_a_pipe(service: Service, recording: str, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "a.txt").symlink_to(tmp_path / "out" / "b.txt")
    for _ in range(2):  # where nothing is yet, and where something is
        assert transcribe(service, recording, "--api-key", "k", "-o", str(tmp_path / "a.txt")).exit_code == 0
        assert (tmp_path / "a.txt").is_symlink() and (tmp_path / "out" / "b.txt").read_text() == "as format=text ü"
        (tmp_path / "out" / "b.txt").write_text("old")
    os.mkfifo(tmp_path / "pipe.txt")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe.txt").read_text()), daemon=True)
    reader.start()
    assert transcribe(service, recording, "--api-key", "k", "-o", str(tmp_path / "pipe.txt")).exit_code == 0
    reader.join(10)
    assert read == ["as format=text ü"] and (tmp_path / "pipe.txt").is_fifo()


def test_format_that_cant_be_is_told_before_anything_is_sent(service: Service, recording: str, tmp_path: Path):
    wrong = (("-o", str(tmp_path / "a.docx")), ("--max-line-width", "42"), ("--format", "tsv", "--highlight-words"))
    for flags in wrong:
        result = transcribe(service, recording, "--api-key", "k", *flags)
        assert result.exit_code == 2 and "--format" in result.stderr
    nowhere = transcribe(service, recording, "--api-key", "k", "-o", str(tmp_path / "no" / "a.srt"))
    assert nowhere.exit_code == 2 and "can't be written" in nowhere.stderr
    assert service.calls == []


def test_exit_code_tells_what_went_wrong(service: Service, recording: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("whisperx_api.cli.transcribe.running.RETRIES", Retries(most=1, first=0.01))
    service.status = {"status": "failed", "error": "No token: set HF_TOKEN."}
    result = transcribe(service, recording, "--api-key", "k")
    assert (result.exit_code, result.stdout) == (1, "") and "No token: set HF_TOKEN." in result.stderr
    for status, code in ((400, 2), (401, 3), (413, 3), (415, 1), (503, 3)):
        service.upload = (status, {"detail": f"It is {status}."})
        result = transcribe(service, recording, "--api-key", "k", "--again")
        assert result.exit_code == code and result.stderr.startswith(f"It is {status}.")
        assert ("--api-key" in result.stderr) == (status == 401)
    assert transcribe(service, "/no/such/file").exit_code == 2
    result = runner.invoke(app, ["transcribe", recording, "--server", "http://127.0.0.1:9", "--api-key", "k"])
    assert (
        result.exit_code == 3
        and result.stderr.count("\n") == 1
        and "No server answers at http://127.0.0.1:9" in result.stderr
    )


def test_key_of_a_server_on_this_machine_is_found(service: Service, recording: str, monkeypatch: pytest.MonkeyPatch):
    Path("data").mkdir()
    Path("data/api_key").write_text("written-key\n")
    transcribe(service, recording)
    assert service.calls and service.key is None, "it is another than the one at PORT"
    monkeypatch.setenv("PORT", str(service.server_port))
    transcribe(service, recording)
    assert service.key == "written-key"
    monkeypatch.setenv("API_KEYS", "reader:r-key:read,worker:w-key:transcribe+read")
    transcribe(service, recording)
    assert service.key == "w-key"
    monkeypatch.setenv("WHISPERX_API_KEY", "given")
    transcribe(service, recording)
    assert service.key == "given"


def test_server_on_this_machine_is_found_by_its_port(service: Service, recording: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORT", str(service.server_port))
    result = runner.invoke(app, ["transcribe", recording, "--api-key", "k", "--poll-seconds", "0.05"])
    assert result.exit_code == 0 and "SPEAKER_00: Hello?" in result.stdout


def test_task_sent_before_is_waited_for(service: Service, recording: str):
    result = runner.invoke(app, ["transcribe", "--resume", "t1", "--server", service.url.removeprefix("http://")])
    assert result.exit_code == 0 and "SPEAKER_00: Hello?" in result.stdout
    assert not any(call.startswith("POST") for call in service.calls)
    both = runner.invoke(app, ["transcribe", recording, "--resume", "t1"])
    neither = runner.invoke(app, ["transcribe"])
    assert (both.exit_code, neither.exit_code) == (2, 2) and "--resume" in both.stderr


def test_name_that_is_no_model_s_is_not_asked_of_the_hub():
    result = runner.invoke(app, ["models", "pull", "nosuch"])
    assert result.exit_code == 2 and "There is no model nosuch" in result.stderr


def test_wrong_field_is_told_by_the_name_of_its_flag(service: Service, recording: str):
    service.upload = (400, {"detail": "num_speakers (9) must lie between min_speakers and max_speakers."})
    result = transcribe(service, recording, "--api-key", "k", "--speakers", "9")
    assert result.stderr.strip() == "--speakers (9) must lie between --min-speakers and --max-speakers."


def test_version_is_the_package_s():
    assert runner.invoke(app, ["--version"]).stdout.strip() == whisperx_api.__version__


def test_ctrl_c_cancels_the_task(service: Service, recording: str):
    service.status = {"status": "processing", "progress": 10, "stage": "transcribe", "eta_seconds": 61}
    command = [sys.executable, "-m", "whisperx_api", "transcribe", recording, "--server", service.url, "--api-key", "k"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background may ignore it
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while "GET /status/t1" not in service.calls and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "POST /cancel/t1" in service.calls
    assert process.returncode == 130 and out == "" and "Cancelled." in err and "Traceback" not in err


def test_clock_carries_over():
    assert [clock(value) for value in (0, 6.71, 59.96, 3599.99)] == ["00:00.0", "00:06.7", "01:00.0", "1:00:00.0"]


# --- models and doctor ---


def test_models_commands_on_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    listed = runner.invoke(app, ["models", "list"])
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert runner.invoke(app, ["models", "verify"]).exit_code == 0
    result = runner.invoke(app, ["models", "pull", "starter", "--from", str(tmp_path / "nowhere"), "--model-dir", "m"])
    assert result.exit_code == 1 and "is neither a folder nor an archive" in result.stderr
    result = runner.invoke(app, ["models", "pull", "tiny", "--from", "x"])
    assert result.exit_code == 2 and "--from is for the starter models only" in result.stderr
    result = runner.invoke(app, ["models", "pack", "starter"])
    assert result.exit_code == 1 and "run `whisperx-api models pull starter` first" in result.stderr


def test_archive_that_can_not_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").touch()
    monkeypatch.setattr("whisperx_api.models.starter.verify", lambda folder: [])
    packed = runner.invoke(app, ["models", "pack", "starter", str(tmp_path / "file" / "x.zip")])
    assert packed.exit_code == 1 and "x.zip can't be written: " in packed.stderr


def test_alignment_model_of_torchaudio_is_pulled_and_listed(monkeypatch: pytest.MonkeyPatch):
    def stream(method: str, url: str, **options: object) -> object:
        handler = httpx.MockTransport(lambda request: httpx.Response(200, content=b"weights of " + url.encode()))
        return httpx.Client(transport=handler).stream(method, url)

    monkeypatch.setattr(httpx, "stream", stream)
    pulled = runner.invoke(app, ["models", "pull", "VOXPOPULI_ASR_BASE_10K_DE", "--model-dir", "m"])
    assert pulled.exit_code == 0, pulled.stderr
    assert b"asr_de.pt" in Path("m/torchaudio/wav2vec2_voxpopuli_base_10k_asr_de.pt").read_bytes()
    listed = runner.invoke(app, ["models", "list", "--model-dir", "m"]).stdout
    assert listed == "VOXPOPULI_ASR_BASE_10K_DE\tm/torchaudio/wav2vec2_voxpopuli_base_10k_asr_de.pt\n"
    again = runner.invoke(app, ["models", "pull", "VOXPOPULI_ASR_BASE_10K_DE", "--model-dir", "m"])
    assert "nothing had to be fetched" in again.stdout


def test_broken_starter_file_makes_verify_fail(monkeypatch: pytest.MonkeyPatch):
    Path("data/models/starter/whisper").mkdir(parents=True)
    Path("data/models/starter/whisper/config.json").write_text("{}")
    result = runner.invoke(app, ["models", "verify"])
    assert result.exit_code == 1
    assert "whisper/config.json is 2 bytes long instead of 2309" in result.stdout


@pytest.mark.parametrize(("level", "code"), [(Level.WARN, 0), (Level.FAIL, 1)])
def test_doctor_fails_if_anything_does(level: Level, code: int, monkeypatch: pytest.MonkeyPatch):
    import whisperx_api.cli.doctor as command

    checks = [Check("python", Level.OK, "Python [dim]."), Check("device", level, "No driver: install one.")]
    monkeypatch.setattr(command, "examine", lambda settings: iter(checks))
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == code
    assert "Python [dim]." in result.stdout and "No driver: install one." in result.stdout
