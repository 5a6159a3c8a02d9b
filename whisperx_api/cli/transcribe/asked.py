"""What one command asks for, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from whisperx_api.cli.console import USAGE, end
from whisperx_api.cli.transcribe.outputs import fault, format_of
from whisperx_api.formats.writing import Format

FLAGS = {
    "num_speakers": "--speakers",
    "enable_diarization": "--diarization",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in ("min_speakers", "max_speakers", "suppress_numerals", "word_timestamps", "speaker_embeddings",
                     "webhook_url", "webhook_secret", "language", "model", "task", "channels", "prompt", "hotwords",
                     "temperature", "priority")
    },
}  # fmt: skip
"""The flag for each field of an upload."""
SENT_ANYWAY = ("enable_diarization", True)
"""What an upload says though nobody has asked for it."""


@dataclass(frozen=True)
class Asked:
    """What is to become of recordings: `options` are the fields of an upload, `layout` is that of subtitles.

    Files go to `output`, or to `output_dir` with names of their own; `lines` has stdout get a JSON object a recording.
    """

    options: Mapping[str, Any]
    formats: tuple[Format, ...] = ()
    layout: Mapping[str, Any] = field(default_factory=dict)
    output: Path | None = None
    output_dir: Path | None = None
    as_json: bool = False
    lines: bool = False
    words: bool = False

    @property
    def to_files(self) -> bool:
        """Whether each recording has files of its own."""
        return self.output_dir is not None


def formats_of(text: str | None, output: Path | None) -> tuple[Format, ...]:
    """Return the formats that are listed, or else the one that the name of `output` asks for."""
    if text is None:
        return () if output is None else (format_of(output.name) or _unknown(output),)
    known = {one.value: one for one in Format}
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if wrong := [name for name in names or [text] if name not in known]:
        end(f"--format takes {', '.join(known)}, several with commas between; not '{wrong[0]}'.", USAGE)
    return tuple(dict.fromkeys(known[name] for name in names))


def _unknown(output: Path) -> NoReturn:
    end(f"No format is known by {output.name}: name one with --format.", USAGE)


def check(asked: Asked, recordings: int, resume: str | None, watch: Path | None) -> None:
    """End where what is asked for does not go together. `recordings` is how many are named."""
    named = (recordings > 0) + (resume is not None) + (watch is not None)
    if named != 1:
        alone = "" if named == 0 else ": each goes without the others"
        end(f"Name recordings, or a task with --resume, or a folder with --watch{alone}.", USAGE)
    several = watch is not None or recordings > 1
    if any(asked.layout.values()) and not any(one.is_subtitle for one in asked.formats):
        end("Lines and highlighted words are for subtitles: --format srt or vtt.", USAGE)
    if asked.output is not None and asked.output_dir is not None:
        end("A transcript goes to --output or to --output-dir, not to both.", USAGE)
    if asked.output is not None and (several or len(asked.formats) > 1):
        end("--output is one file: take --output-dir for several recordings or formats.", USAGE)
    if len(asked.formats) > 1 and not asked.to_files and watch is None:
        end("Several formats are files: name a folder for them with --output-dir.", USAGE)
    if several and asked.formats and not asked.to_files and watch is None:
        end("Several recordings in a format are files: name a folder for them with --output-dir.", USAGE)
    if asked.as_json and not asked.lines and asked.formats not in ((), (Format.JSON,)):
        end("--json is the whole transcript, and --format or --output asks for another form: leave one out.", USAGE)
    if asked.words and (asked.formats or asked.as_json):
        end("--words is for what is printed: --format and --json have their own words, so leave one out.", USAGE)
    given = [name for name, value in asked.options.items() if value is not None and (name, value) != SENT_ANYWAY]
    if resume is not None and given:
        end(f"--resume waits for a task as it was sent: leave {FLAGS[given[0]]} out.", USAGE)
    if asked.output is not None and (sentence := fault(asked.output, named=True)) is not None:
        end(sentence, USAGE)


def as_flags(detail: str) -> str:
    """Return a sentence about fields of an upload as one about the flags of this command."""
    begins = "|".join(name for name in FLAGS if "_" not in name)
    within = "|".join(name for name in FLAGS if "_" in name)
    return re.sub(rf"^({begins})\b|\b({within})\b", lambda found: FLAGS[found[0]], detail)
