"""SubRip (SRT) and WebVTT.

Written here and not with pysubs2, whose events hold Advanced SubStation text: braces and backslashes that somebody said
would be taken for its tags, it escapes nothing for WebVTT, and it has no voices.
"""

from __future__ import annotations

import re

from whisperx_api.formats.cues import Cue, Layout, cues
from whisperx_api.transcript import Transcript

SRT_TAG = re.compile(r"<(?=\s*/?\s*[a-zA-Z])")
"""What players read as the start of a tag; SubRip has no way to write it otherwise."""
SRT_ARROW = re.compile(r"-{2,}>")
SRT_TIME = re.compile(r":(?=\d{1,2}:\d{1,2}[.,]\d)")
"""The first colon of a time such as begins a cue: some readers take any line with two of them for one."""


def srt(transcript: Transcript, layout: Layout) -> str:
    """Return the transcript as SubRip; the speaker stands before a cue's text, as `[Katie]: `, as whisperx has it."""
    blocks = [
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_srt_text(cue)}\n"
        for number, cue in enumerate(cues(transcript, layout, label), start=1)
    ]
    return "\n".join(blocks)


def vtt(transcript: Transcript, layout: Layout) -> str:
    """Return the transcript as WebVTT (https://www.w3.org/TR/webvtt1/); the speaker is the voice of a cue."""
    blocks = [
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_vtt_text(cue)}\n" for cue in cues(transcript, layout)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def label(speaker: str) -> str:
    """Return what stands before the text of a speaker where a format has no place for speakers."""
    return f"[{speaker}]: "


def _clock(milliseconds: int, mark: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{rest:03d}"


def _srt_text(cue: Cue) -> str:
    return "\n".join(
        "".join(f"<u>{_srt_plain(run.text)}</u>" if run.underlined else _srt_plain(run.text) for run in line)
        for line in cue.lines
    )


def _srt_plain(text: str) -> str:
    """Return text in which no player finds a tag or a time: a look-alike takes the place of what would begin one."""
    return SRT_TIME.sub("∶", SRT_ARROW.sub("->", SRT_TAG.sub("‹", text))).replace("{\\", "{ \\")


def _vtt_text(cue: Cue) -> str:
    text = "\n".join(
        "".join(f"<u>{_escaped(run.text)}</u>" if run.underlined else _escaped(run.text) for run in line)
        for line in cue.lines
    )
    return text if cue.speaker is None else f"<v {_escaped(cue.speaker)}>{text}"


def _escaped(text: str) -> str:
    """Return text with WebVTT's escapes; `-->`, which ends a cue, goes with them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
