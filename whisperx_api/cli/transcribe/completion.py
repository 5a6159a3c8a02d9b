"""What a shell may complete the values of flags with."""

from __future__ import annotations

from collections.abc import Iterator

from whisperx_api.formats.writing import Format
from whisperx_api.languages import LANGUAGES
from whisperx_api.models.catalog import STARTER, TRANSCRIPTION_MODELS
from whisperx_api.options import Channels, Task


def formats(incomplete: str) -> Iterator[str]:
    """Complete the last of a list of formats, with one that is not in it yet."""
    listed, comma, last = incomplete.rpartition(",")
    for one in Format:
        if one.value.startswith(last) and one.value not in listed.split(","):
            yield f"{listed}{comma}{one.value}"


def languages(incomplete: str) -> Iterator[tuple[str, str]]:
    """Complete a language's code, or its name."""
    wanted = incomplete.lower()
    for code, name in LANGUAGES.items():
        if code.startswith(wanted):
            yield code, name
        elif wanted and name.startswith(wanted) and " " not in name:
            yield name, code


def models(incomplete: str) -> Iterator[str]:
    """Complete one of Whisper's sizes; a server may have others."""
    return (name for name in (*TRANSCRIPTION_MODELS, STARTER) if name.startswith(incomplete))


def tasks(incomplete: str) -> Iterator[str]:
    """Complete what is to be done."""
    return (one.value for one in Task if one.value.startswith(incomplete))


def channels(incomplete: str) -> Iterator[str]:
    """Complete what becomes of channels."""
    return (one.value for one in Channels if one.value.startswith(incomplete))
