"""How each endpoint is called with curl. A test sends every one of these to a server."""

from __future__ import annotations

import re
from collections.abc import Mapping

SERVER = "http://127.0.0.1:8000"
VARIABLES: Mapping[str, str] = {"task_id": "$TASK", "webhook_id": "$WEBHOOK", "id": "$MODEL"}
"""What stands in an example for a parameter of the path."""

BODIES: Mapping[str, tuple[str, ...]] = {
    "POST /api/v1/transcribe/upload": ("-F file=@meeting.wav", "-F language=en", "-F num_speakers=2"),
    "PATCH /api/v1/transcribe/result/{task_id}": (
        """-d '{"speakers": {"SPEAKER_00": "Katie"}, "segments": [{"id": 0, "text": "Hello?"}]}'""",
    ),
    "POST /v1/audio/transcriptions": (
        "-F file=@meeting.wav", "-F model=whisper-1", "-F response_format=verbose_json",
        '-F "timestamp_granularities[]=word"',
    ),
    "POST /v1/audio/translations": ("-F file=@meeting.wav", "-F model=whisper-1"),
    "POST /v1/webhooks": ("""-d '{"task_id": "'$TASK'", "url": "https://example.org/transcribed"}'""",),
}  # fmt: skip
"""The body of those that need one."""
QUERIES: Mapping[str, str] = {
    "GET /api/v1/transcribe/status/{task_id}": "include_result=false",
    "GET /api/v1/transcribe/tasks": "status=completed&limit=1",
    "GET /api/v1/usage": "from=2026-03-01&to=2026-03-31",
}
"""The query of those for which one is telling."""
WITHOUT_KEY = ("GET /", "GET /ready")
"""What needs none."""
STREAMS = ("GET /api/v1/transcribe/events/{task_id}",)
"""What is to be shown as it comes."""


def call(method: str, path: str) -> str:
    """Return the command that calls an endpoint."""
    name = f"{method} {path}"
    words = ["curl -sS" + (" -N" if name in STREAMS else "")]
    if name not in WITHOUT_KEY:
        words.append('-H "X-API-Key: $KEY"')
    if (method == "POST" and name not in BODIES) or method not in ("GET", "POST"):
        words.append(f"-X {method}")
    url = SERVER + re.sub(r"\{(\w+)\}", lambda found: VARIABLES[found[1]], path)
    url = f'"{url}?{QUERIES[name]}"' if name in QUERIES else url
    return " ".join([*words, url]) + "".join(f" \\\n    {body}" for body in BODIES.get(name, ()))
