"""Each request that a client sends, as a plain value. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import quote

ROUTE = "/api/v1/transcribe"


class Wanted(Enum):
    """What the answer to a request has in it, where it is one of this kind of server."""

    JSON = "json"
    NOTHING = "nothing"
    TRANSCRIPT = "a transcript in some format"
    RECORDING = "a recording"
    EVENTS = "events"


@dataclass(frozen=True)
class Request:
    """What is sent; `body` is JSON. `path` is below the server's URL."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wanted: Wanted = Wanted.JSON

    @property
    def repeatable(self) -> bool:
        """Whether to send it twice does no more than to send it once."""
        return self.method in ("GET", "DELETE") or "Idempotency-Key" in self.headers


def upload(idempotency_key: str | None) -> Request:
    """Return the request that carries a recording, whose form goes with it."""
    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    return Request("POST", f"{ROUTE}/upload", headers=headers)


def status(task_id: str) -> Request:
    """Ask how far a task is."""
    return Request("GET", _of("status", task_id), {"include_result": "false"})


def result(task_id: str) -> Request:
    """Ask for a transcript."""
    return Request("GET", _of("result", task_id))


def written(task_id: str, format: str, options: Mapping[str, object]) -> Request:
    """Ask for a transcript in a format."""
    query = {"format": format, **fields_of(options)}
    return Request("GET", _of("result", task_id), query, wanted=Wanted.TRANSCRIPT)


def edit(
    task_id: str,
    speakers: Mapping[str, str | None] | None,
    texts: Mapping[int, str] | None,
    was: Mapping[int, str] | None,
) -> Request:
    """Name speakers and put texts right. Raises `ValueError` where a text was something and is to be nothing else."""
    texts, was = texts or {}, was or {}
    for segment in was:
        if segment not in texts:
            raise ValueError(f"`was` has {segment}, and `texts` has no text for it.")
    segments = [
        {"id": segment, "text": text, **({"was": was[segment]} if segment in was else {})}
        for segment, text in texts.items()
    ]
    return Request("PATCH", _of("result", task_id), body={"speakers": dict(speakers or {}), "segments": segments})


def audio(task_id: str) -> Request:
    """Ask for the recording."""
    return Request("GET", _of("audio", task_id), wanted=Wanted.RECORDING)


def events(task_id: str) -> Request:
    """Listen to a task."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    return Request("GET", _of("events", task_id), headers=headers, wanted=Wanted.EVENTS)


def cancel(task_id: str) -> Request:
    """Stop a task."""
    return Request("POST", _of("cancel", task_id))


def retry(task_id: str) -> Request:
    """Take a failed or cancelled task up again."""
    return Request("POST", _of("retry", task_id))


def delete(task_id: str) -> Request:
    """Remove a task."""
    return Request("DELETE", _of("task", task_id), wanted=Wanted.NOTHING)


def tasks(state: str | None, limit: int | None, cursor: str | None) -> Request:
    """Ask for a page of the caller's tasks."""
    return Request("GET", f"{ROUTE}/tasks", fields_of({"status": state, "limit": limit, "cursor": cursor}))


def fields_of(options: Mapping[str, object]) -> dict[str, str]:
    """Return options as the text of fields or of a query; None leaves one out."""
    return {name: _text(value) for name, value in options.items() if value is not None}


def _of(what: str, task_id: str) -> str:
    return f"{ROUTE}/{what}/{quote(task_id, safe='')}"


def _text(value: object) -> str:
    if isinstance(value, Enum):
        value = value.value
    return str(value).lower() if isinstance(value, bool) else str(value)
