"""`make demo` and `make try`: a first transcript, in the terminal or in the browser.

The demo starts a server of its own, has it transcribe a recording, shows the result, and stops the server. To try the
service is to start it as it is to run, on its own data, with the recording sent and its page opened. Without a file
both take the 30 seconds of a telephone call that come with pyannote.audio.
"""

from __future__ import annotations

import html
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import psutil

from whisperx_api.cli.transcribe.address import local_key
from whisperx_api.client import Client, ClientError
from whisperx_api.listening import port_fault
from whisperx_api.settings import load_settings

PROGRAM = (sys.executable, "-m", "whisperx_api")
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
"""Variables of a machine with a screen, where a browser can be opened."""
LEADS = (
    '<!doctype html><meta charset="utf-8"><title>whisperx-api</title><meta http-equiv="refresh" content="0; url={}">'
)
START_SECONDS = 60.0
"""Longest wait for the server's first answer."""


def sample() -> Path:
    """Return pyannote's sample recording. Raises `SystemExit` without the engine's packages."""
    spec = find_spec("pyannote")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / "audio" / "sample" / "sample.wav").is_file():
            return path
    sys.exit("The engine is not installed: run `make setup`, or name a recording with AUDIO=file.")


def check(recording: Path) -> None:
    """Look at a recording before anything is begun. Raises `SystemExit` where it can't be read."""
    try:
        with recording.open("rb"):
            pass
    except OSError as error:
        sys.exit(f"{recording} can't be read: {error.strerror or error}.")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(process: int, port: int | None) -> bool:
    """Whether a process listens on a port: what answers there may be another, and is to get neither sound nor key."""
    try:
        connections = psutil.Process(process).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, OSError):  # not every system tells; nobody listened when the process was begun
        return True
    return any(one.status == psutil.CONN_LISTEN and one.laddr[1] == port for one in connections)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server itself answers, and no other at its place. Raises `SystemExit` when it ends instead."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit("The server ended before it answered; what it said stands above.")
        try:
            if listens(server.pid, urlsplit(url).port):
                httpx.get(f"{url}/health", trust_env=False)
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit(f"The server did not answer within {START_SECONDS:.0f} s.")


@contextmanager
def serving(*flags: str) -> Iterator[tuple[str, str, int]]:
    """Run a server on a data folder of its own, with the models of `make setup`; give its URL, key and process id."""
    port, key = free_port(), secrets.token_urlsafe(16)
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="whisperx-api-demo-") as folder:
        serve = [*PROGRAM, "serve", "--port", str(port), "--data-dir", folder]
        models = ["--model-dir", str(load_settings().models.resolve())]
        with subprocess.Popen([*serve, *models, *flags], env=os.environ | {"API_KEY": key}) as server:
            try:
                wait_for(url, server)
                yield url, key, server.pid
            finally:
                server.terminate()


@contextmanager
def leading_to(link: str, folder: Path) -> Iterator[str]:
    """Have a file in `folder` that leads a browser to `link`, and give its address.

    A link with a key in it is for no command line, which others on this machine see. The file is for its user alone;
    it is no place of /tmp, where a browser that came as a snap sees nothing.
    """
    with tempfile.TemporaryDirectory(prefix="page-", dir=folder) as own:
        page = Path(own).resolve() / "page.html"
        page.touch(mode=0o600)
        page.write_text(LEADS.format(html.escape(link)), encoding="utf-8")
        yield page.as_uri()


def in_browser(recording: Path) -> int:
    """Run the service on its own data, open its page at the recording's task, and serve until Ctrl-C."""
    settings = load_settings()
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  # any address, to be called
    for place in dict.fromkeys((host, settings.host)):
        if fault := port_fault(place, settings.port):
            sys.exit(fault)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    with subprocess.Popen([*PROGRAM, "serve"]) as server:
        try:
            wait_for(url, server)
            key = local_key(f"http://127.0.0.1:{settings.port}")
            with Client(url, api_key=key) as client:
                task = client.upload(recording).task_id
            link = f"{url}/#/task/{task}" + (f"&key={quote(key, safe='')}" if key else "")
            print(f"The page is at {link}", file=sys.stderr)
            with leading_to(link, settings.data_dir) as address:
                if any(map(os.environ.get, DISPLAYS)) or sys.platform == "darwin":
                    webbrowser.open(address)
                return server.wait()
        except ClientError as error:  # such as a refusal of what is no audio
            sys.exit(str(error))
        except KeyboardInterrupt:
            server.wait()  # the terminal has told it too
            return 0
        finally:
            server.terminate()


def main(arguments: list[str]) -> int:
    """Run the demo on a recording, or on the sample; with `--page` before it in the browser. Return the exit code."""
    page = arguments[:1] == ["--page"]
    arguments = arguments[page:]
    recording = Path(arguments[0]) if arguments else sample()
    check(recording)
    if page:
        return in_browser(recording)
    print(f"Transcribing {recording} ...", file=sys.stderr)
    with serving("--log-level", "warning") as (url, key, _):
        transcribe = [*PROGRAM, "transcribe", str(recording), "--server", url, "--words"]
        return subprocess.run(transcribe, env=os.environ | {"WHISPERX_API_KEY": key}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
