"""What people put right in a finished transcript: names of speakers, and texts of segments.

Edits lie in a file of their own beside the engine's result, which stays as it was made.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from whisperx_api.jobs.correction import corrected
from whisperx_api.storage.protocol import Storage
from whisperx_api.transcript import Transcript, from_json, to_json

EDITS = "edits.json"
"""Name of the file in a task's folder."""


@dataclass(frozen=True)
class Edits:
    """Names by the speaker's id, None for a name taken away, and texts by the segment's place, from 0."""

    speakers: dict[str, str | None] = field(default_factory=dict)
    segments: dict[int, str] = field(default_factory=dict)

    def then(self, later: Edits) -> Edits:
        """Return both; what `later` says of the same thing counts."""
        return Edits(self.speakers | later.speakers, self.segments | later.segments)


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
    """Put edits to those that there are, durably. One at a time for a task: the caller sees to that."""
    await storage.write(task_id, EDITS, to_json((await read(storage, task_id)).then(edits)))
