"""Plain text, TSV and RTTM: one line a segment."""

from __future__ import annotations

import csv
import io
from pathlib import PurePath

from whisperx_api.formats.cues import speaker_names
from whisperx_api.formats.subtitles import label
from whisperx_api.formats.units import milliseconds, one_line
from whisperx_api.transcript import Segment, Transcript


def text(transcript: Transcript) -> str:
    """Return a line a segment: its text, after the speaker where one is known, as whisperx writes it."""
    names = speaker_names(transcript)
    lines = []
    for segment in transcript.segments:
        if line := one_line(segment.text):
            lines.append((label(_name(segment, names)) if segment.speaker else "") + line + "\n")
    return "".join(lines)


def tsv(transcript: Transcript) -> str:
    """Return tab-separated values: start and end in milliseconds and text, as openai-whisper writes them, and speaker.

    Quoted as CSV is (RFC 4180) where a quotation mark asks for it; no field holds a tab or a line end.
    """
    names = speaker_names(transcript)
    table = io.StringIO()
    writer = csv.writer(table, dialect="excel-tab", lineterminator="\n")
    writer.writerow(["start", "end", "text", "speaker"])
    for segment in transcript.segments:
        start, end = milliseconds(segment.start), milliseconds(segment.end)
        writer.writerow([start, max(start, end), one_line(segment.text), _name(segment, names)])
    return table.getvalue()


def rttm(transcript: Transcript, name: str) -> str:
    """Return Rich Transcription Time Marks (NIST, "Rich Transcription 2009 evaluation plan"), a turn a segment.

    `name` is the recording's; the file is called so without its ending. Channels count from 1, which is that of a mixed
    recording as well. Segments of nobody, and those that last no time, are no turns. A field can't hold white space:
    underscores stand for it.
    """
    names = speaker_names(transcript)
    file = _field(PurePath(name).stem) or "recording"
    lines = []
    for segment in transcript.segments:
        duration = round(segment.end - segment.start, 3)
        if segment.speaker and duration > 0:
            channel, speaker = (segment.channel or 0) + 1, _field(_name(segment, names))
            lines.append(f"SPEAKER {file} {channel} {segment.start:.3f} {duration:.3f} <NA> <NA> {speaker} <NA> <NA>\n")
    return "".join(lines)


def _name(segment: Segment, names: dict[str, str]) -> str:
    return names.get(segment.speaker, segment.speaker) if segment.speaker else ""


def _field(value: str) -> str:
    """Return a value as a field between spaces; readers take a quotation mark for the start of one with spaces."""
    return "_".join(value.replace('"', "'").split())
