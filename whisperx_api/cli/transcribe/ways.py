"""What the command asks of whoever transcribes recordings: a server, or this machine itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from whisperx_api.cli.transcribe.asked import Asked
from whisperx_api.cli.transcribe.showing import Row
from whisperx_api.client import TranscriptAnswer
from whisperx_api.formats.writing import Format


@dataclass(frozen=True)
class Transcribed:
    """A transcript, and the same in each format that was asked for."""

    task_id: str
    transcript: TranscriptAnswer
    written: dict[Format, bytes] = field(default_factory=dict)


class Way(Protocol):
    """Transcribes recordings, any number at once."""

    async def transcribe(self, recording: Path, asked: Asked, row: Row) -> Transcribed:
        """Return the transcript of a recording. Raises `NotTranscribed`."""
        ...
