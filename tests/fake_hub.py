"""A small HTTP server that answers as the Hugging Face hub does, and processes that ask it.

The hub's address is read when huggingface_hub is imported, so what asks it runs in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

COMMIT = "a" * 40
GIVEN = "hf_valid"
WITH_TERMS = "pyannote/speaker-diarization-community-1"
"""A repository behind terms of use that the one who has this token has accepted."""
Repositories = Mapping[str, Mapping[str, bytes]]
"""Content of each file of each repository."""


class Hub(BaseHTTPRequestHandler):
    """What the hub answers, as far as it is asked here."""

    repositories: ClassVar[Repositories] = {}

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        parts = self.path.partition("?")[0].strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if api else parts[:2])
        if token not in ("", GIVEN):
            return self.answer(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        if repository == "org/down":
            return self.answer(503)
        if repository not in self.repositories:
            return self.answer(404 if token else 401, {"X-Error-Code": "RepoNotFound"} if token else {})
        closed = repository in ("org/gated", WITH_TERMS) and (not api or parts[-1] == "auth-check")
        if closed and not token:
            return self.answer(401, {"X-Error-Code": "GatedRepo"})
        if closed and repository != WITH_TERMS:
            return self.answer(403, {"X-Error-Code": "GatedRepo"})
        files = self.repositories[repository]
        if api:
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            return self.answer(200, {}, json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode())
        data = files["/".join(parts[4:])]
        if data == b"lost":
            return self.answer(404, {"X-Error-Code": "EntryNotFound"})
        return self.answer(200, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}, data)

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serve(repositories: Repositories) -> Iterator[str]:
    """Be a hub of these repositories; gives its address. A file whose content is `lost` is not there."""
    handler = type("Hub", (Hub,), {"repositories": repositories})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def environment(endpoint: str, home: Path, offline: bool = False) -> dict[str, str]:
    """Return the environment of a process that takes `endpoint` for the hub."""
    return {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "1" if offline else "0",
        "HF_TOKEN": "",
        "NO_PROXY": "127.0.0.1",
    }


def ask(endpoint: str, tmp_path: Path, *calls: str, offline: bool = False) -> list[str]:
    """Run expressions in a process that talks to `endpoint`; return their results or errors as text."""
    code = """
import json, sys
from pathlib import Path
from whisperx_api.models import hub, resolve
from whisperx_api.models.errors import ModelUnavailable
def full_disk(*_, **__):
    raise OSError(28, "No space left on device")
models, seen, answers = Path(sys.argv[1]), [], []
for call in sys.argv[2:]:
    try:
        answers.append(str(eval(call)))
    except ModelUnavailable as error:
        answers.append(f"ModelUnavailable: {error}")
print(json.dumps(answers))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "models"), *calls],
        env=environment(endpoint, tmp_path / "home", offline),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "%|" not in done.stderr, "huggingface_hub drew on the terminal"
    return json.loads(done.stdout.splitlines()[-1])
