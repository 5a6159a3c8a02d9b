"""Every format that a transcript is given in, and the one function that writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from whisperx_api.formats import subtitles, tables
from whisperx_api.formats.cues import Layout
from whisperx_api.formats.json import to_dict
from whisperx_api.formats.openai import diarized, verbose
from whisperx_api.formats.pages import Page
from whisperx_api.options import Task
from whisperx_api.transcript import Transcript


class Format(str, Enum):
    """The formats, by the names that clients give."""

    JSON = "json"
    VERBOSE_JSON = "verbose_json"
    DIARIZED_JSON = "diarized_json"
    TEXT = "text"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"
    RTTM = "rttm"

    @property
    def media_type(self) -> str:
        """What the format is called in HTTP."""
        return MEDIA_TYPES.get(self, "application/json")

    @property
    def is_json(self) -> bool:
        """Whether it can come in pages."""
        return self not in MEDIA_TYPES

    @property
    def is_subtitle(self) -> bool:
        """Whether it has lines to lay out."""
        return self in (Format.SRT, Format.VTT)

    @property
    def suffix(self) -> str:
        """How the name of a file in this format ends."""
        return {Format.TEXT: ".txt"}.get(self, ".json" if self.is_json else f".{self.value}")


MEDIA_TYPES: Mapping[Format, str] = {
    Format.TEXT: "text/plain; charset=utf-8",
    Format.SRT: "application/x-subrip; charset=utf-8",
    Format.VTT: "text/vtt; charset=utf-8",
    Format.TSV: "text/tab-separated-values; charset=utf-8",
    Format.RTTM: "text/plain; charset=utf-8",
}
"""Those of the formats that are not JSON."""


@dataclass(frozen=True)
class Wanted:
    """What a format is written with.

    `name` is the recording's, `task` what was done with it. `words` tells whether JSON has the words, `page` which of
    its segments; `layout` is for subtitles.
    """

    task_id: str
    name: str
    task: Task = Task.TRANSCRIBE
    words: bool = True
    page: Page | None = None
    layout: Layout = field(default_factory=Layout)


def write(transcript: Transcript, format: Format, wanted: Wanted) -> bytes:
    """Return the transcript in a format, text as UTF-8."""
    match format:
        case Format.JSON:
            return encoded(to_dict(wanted.task_id, transcript, words=wanted.words, page=wanted.page))
        case Format.VERBOSE_JSON:
            return encoded(verbose(transcript, wanted.task, words=wanted.words, page=wanted.page))
        case Format.DIARIZED_JSON:
            return encoded(diarized(transcript, wanted.page))
        case Format.TEXT:
            return tables.text(transcript).encode()
        case Format.SRT:
            return subtitles.srt(transcript, wanted.layout).encode()
        case Format.VTT:
            return subtitles.vtt(transcript, wanted.layout).encode()
        case Format.TSV:
            return tables.tsv(transcript).encode()
        case Format.RTTM:
            return tables.rttm(transcript, wanted.name).encode()


def encoded(content: dict[str, Any]) -> bytes:
    """Return plain values as compact JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
