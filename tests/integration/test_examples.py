"""The programs in `examples/`, as somebody runs them who has just cloned the repository."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pysubs2
import pytest

from tests.conftest import KEY
from tests.server import ROOT, Server, free_port

EXAMPLES = ROOT / "examples"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NODE = str(Path(sys.executable).parent / "node")


@dataclass(frozen=True)
class Reader:
    """Who runs the examples: in a folder with a recording, with a server and its key in the environment."""

    server: Server
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "WHISPERX_API_URL": f"http://127.0.0.1:{self.server.port}", "WHISPERX_API_KEY": KEY,
            "WEBHOOK_SECRET": SECRET, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }  # fmt: skip

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def reader(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, sample_dir: Path, starter_server: Callable[..., Server]
) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("examples")
    shutil.copy(sample_dir / "sample.wav", folder / "meeting.wav")
    (folder / "broken.wav").write_bytes(b"no sound")
    server = starter_server(folder, model_dir, fake=True, outgoing_allow="127.0.0.1", webhook_retry_seconds=0.05)
    server.start()
    yield Reader(server, folder)
    server.kill()


def test_every_example_is_described_and_tested() -> None:
    described = set(re.findall(r"^\| `([\w.]+)` \|", (EXAMPLES / "README.md").read_text(), re.M))
    there = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    assert described == there
    tested = Path(__file__).read_text()
    assert all(f'"{name}"' in tested for name in there)


def test_curl(reader: Reader) -> None:
    done = reader.run(str(EXAMPLES / "curl.sh"), "meeting.wav")
    assert (done.returncode, done.stdout) == (0, "meeting.srt\n"), done.stderr
    (cue,) = pysubs2.load(str(reader.folder / "meeting.srt"))
    assert cue.plaintext == "[SPEAKER_00]: Hello there."


def test_curl_s_arguments_do_not_show_the_key() -> None:
    assert "$WHISPERX_API_KEY" in (text := (EXAMPLES / "curl.sh").read_text())
    assert not re.search(r"-H .*KEY", text)


def test_requests(reader: Reader) -> None:
    done = reader.run(sys.executable, str(EXAMPLES / "requests_upload.py"), "meeting.wav")
    assert (done.returncode, done.stdout) == (0, "   0.00  SPEAKER_00: Hello there.\n"), done.stderr


def test_openai_s_client(reader: Reader) -> None:
    done = reader.run(sys.executable, str(EXAMPLES / "openai_client.py"), "meeting.wav")
    expected = "   0.00  A: Hello there.\nHello there.\n12 characters\n"
    assert (done.returncode, done.stdout) == (0, expected), done.stderr


def test_fetch(reader: Reader) -> None:
    done = reader.run(NODE, str(EXAMPLES / "fetch.mjs"), "meeting.wav")
    assert (done.returncode, done.stdout) == (0, "0.00  SPEAKER_00: Hello there.\n"), done.stderr
    assert re.search(r"^\d+\.\d %  \w+", done.stderr, re.M)


@pytest.mark.parametrize(
    "command",
    [
        [str(EXAMPLES / "curl.sh")],
        [sys.executable, str(EXAMPLES / "requests_upload.py")],
        [sys.executable, str(EXAMPLES / "openai_client.py")],
        [NODE, str(EXAMPLES / "fetch.mjs")],
    ],
    ids=lambda command: Path(command[-1]).name,
)
def test_what_goes_wrong_ends_an_example(reader: Reader, command: list[str]) -> None:
    wrong_key = reader.run(*command, "meeting.wav", WHISPERX_API_KEY="wrong")
    no_sound = reader.run(*command, "broken.wav")
    assert wrong_key.returncode and no_sound.returncode
    assert not wrong_key.stdout or "API key" in wrong_key.stdout  # curl prints the server's sentence


@pytest.fixture
def receiver(reader: Reader) -> Iterator[tuple[int, subprocess.Popen[str], Path]]:
    """The webhook receiver, its port, and what it prints."""
    port, printed = free_port(), reader.folder / f"receiver-{time.monotonic_ns()}"
    with printed.open("w") as out, printed.with_suffix(".err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "webhook_receiver.py"), str(port)], cwd=reader.folder,
            env=reader.environment, stdout=out, stderr=err, text=True,
        )  # fmt: skip
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None and time.monotonic() < deadline, printed.with_suffix(".err").read_text()
        time.sleep(0.05)
    yield port, process, printed
    process.kill()
    process.wait()


def test_webhook_receiver_takes_what_the_server_sends(
    reader: Reader, receiver: tuple[int, subprocess.Popen[str], Path]
) -> None:
    port, _, printed = receiver
    url = f"http://127.0.0.1:{port}/"
    task = reader.server.upload(reader.folder / "meeting.wav", webhook_url=url, webhook_secret=SECRET)
    failed = reader.server.upload(
        reader.folder / "meeting.wav", webhook_url=url, webhook_secret=SECRET,
        prompt='{"stage": "diarize", "what": "refuse"}',
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while printed.read_text().count("\n") < 2:
        assert time.monotonic() < deadline, printed.with_suffix(".err").read_text()
        time.sleep(0.05)
    assert sorted(printed.read_text().splitlines()) == sorted([
        f"{task} meeting.wav: Hello there.", f"{failed} transcription.failed: The model is out of reach.",
    ])  # fmt: skip


def test_webhook_receiver_refuses_a_stranger(reader: Reader, receiver: tuple[int, subprocess.Popen[str], Path]) -> None:
    port, _, printed = receiver
    task = reader.server.upload(reader.folder / "meeting.wav")
    made = reader.server.client.post(
        "/v1/webhooks", json={"task_id": task, "url": f"http://127.0.0.1:{port}/", "secret": "whsec_" + "A" * 32}
    )
    assert made.status_code == 201, made.text
    reader.server.wait(task)
    tested = reader.server.client.post(f"/v1/webhooks/{made.json()['id']}/test").json()
    assert (tested["delivered"], tested["status_code"]) == (False, 401)
    assert printed.read_text() == ""


def test_examples_need_nothing_but_what_they_say() -> None:
    """What is imported beside the standard library is what the table says."""
    said = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        names = set(re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.M)) - sys.stdlib_module_names
        (row,) = re.findall(rf"^\| `{path.name}` \|.*", said, re.M)
        assert names == set(re.findall(r"pip install ([\w ]+)", row)[0].split())
