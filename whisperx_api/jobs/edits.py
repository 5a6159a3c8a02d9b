"""What people put right in a finished transcript: names of speakers, and texts of segments.

Edits lie in a file of their own beside the engine's result, which stays as it was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from whisperx_api.jobs.correction import corrected
from whisperx_api.storage.protocol import Storage
from whisperx_api.transcript import Transcript, from_json, to_json

EDITS = "edits.json"
"""Name of the file in a task's folder."""


@dataclass(frozen=True)
class Edits:
    """Names by the speaker's id, None for a name taken away, and texts by the segment's place, from 0.

    `was` has what somebody put right, by the segment's place, where that is to be compared.
    """

    speakers: dict[str, str | None] = field(default_factory=dict)
    segments: dict[int, str] = field(default_factory=dict)
    was: dict[int, str] = field(default_factory=dict)

    def fit(self, texts: Mapping[int, str]) -> None:
        """Raise `Changed` where one of `texts`, by the segment's place, is not what was put right, nor the new one."""
        for place, was in self.was.items():
            there = texts.get(place, was)
            if _plain(there) not in (_plain(was), _plain(self.segments[place])):
                raise Changed(place, there)

    def then(self, later: Edits) -> Edits:
        """Return both; what `later` says of the same thing counts. They are to be kept, with nothing to compare."""
        return Edits(self.speakers | later.speakers, self.segments | later.segments)


class Changed(RuntimeError):
    """The text of a segment is another by now than the one that was put right."""

    def __init__(self, segment: int, text: str) -> None:
        """`text` is what it is now."""
        super().__init__(f"The text of segment {segment} was changed meanwhile. It is now: '{text}'.")


def edited(transcript: Transcript, edits: Edits) -> Transcript:
    """Return the transcript with the edits made; what they say of others' speakers and segments is left aside."""
    segments = list(transcript.segments)
    for place, text in edits.segments.items():
        if 0 <= place < len(segments):
            segments[place] = corrected(segments[place], text, transcript.language)
    speakers = tuple(
        replace(speaker, name=edits.speakers.get(speaker.id, speaker.name)) for speaker in transcript.speakers
    )
    return replace(transcript, segments=tuple(segments), speakers=speakers)


async def read(storage: Storage, task_id: str) -> Edits:
    """Return a task's edits. Raises `OSError` or `Unreadable` where they can't be read."""
    try:
        data = await storage.read(task_id, EDITS)
    except FileNotFoundError:
        return Edits()
    return await asyncio.to_thread(from_json, Edits, data)


async def add(storage: Storage, task_id: str, edits: Edits) -> None:
    """Put edits to those that there are, durably. One at a time for a task: the caller sees to that.

    They fitted the transcript when it was read. Raises `Changed` where others have come in between.
    """
    before = await read(storage, task_id)
    edits.fit(before.segments)
    await storage.write(task_id, EDITS, to_json(before.then(edits)))


def _plain(text: str) -> str:
    return " ".join(text.split())
