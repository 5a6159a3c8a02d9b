"""A transcript as lines for people, and what stdout can show of text."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

import typer

from whisperx_api.cli.console import plain
from whisperx_api.client import TranscriptAnswer


def labelled(transcript: TranscriptAnswer, words: bool = False) -> str:
    """Return a line a segment: `[00:06.7 → 00:07.2] SPEAKER_00: Hello?`; with `words`, their starts below it."""
    names = {speaker["id"]: speaker["name"] or speaker["id"] for speaker in transcript["speakers"]}
    lines = []
    for segment in transcript["segments"]:
        speaker = segment["speaker"]
        label = f" {names.get(speaker, speaker)}:" if speaker else ""
        lines.append(f"[{clock(segment['start'])} → {clock(segment['end'])}]{label} {segment['text'].strip()}")
        if words and (timed := segment.get("words")):
            lines.append("    " + "  ".join(f"{word['start']:.2f} {word['word']}" for word in timed))
    return "\n".join(lines)


def shown_by_stdout(text: str) -> str:
    """Return text with a question mark for each character that stdout has none for."""
    encoding = _encoding()
    return text.encode(encoding, "replace").decode(encoding)


def for_stdout(written: str | bytes) -> str | bytes:
    """Return what is written as it is for a file or a pipe, and plain where stdout is a terminal."""
    if not typer.get_text_stream("stdout").isatty():
        return written
    return plain(written) if isinstance(written, str) else plain(written.decode(errors="replace")).encode()


def forget_stdout() -> None:
    """Have what could not be written to stdout, and all that comes after it, be lost without another fault."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def json_for_stdout(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, whose characters are written as escapes where stdout has none for them."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(_encoding())
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def _encoding() -> str:
    return typer.get_text_stream("stdout").encoding or "utf-8"


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds, with hours where there are any: 00:06.7, 1:02:03.4."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes:02d}:{rest / 10:04.1f}"
