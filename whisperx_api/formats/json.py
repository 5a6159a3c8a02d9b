"""A transcript as the service's own JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from whisperx_api.formats.pages import Page, counted, numbered
from whisperx_api.transcript import Segment, Speaker, Transcript


def to_dict(task_id: str, transcript: Transcript, *, words: bool = True, page: Page | None = None) -> dict[str, Any]:
    """Return the transcript as plain values; `words=False` leaves the words out.

    A `page` has its segments alone, and says how many pages there are.
    """
    answer = {
        "task_id": task_id,
        "language": transcript.language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "segments": [segment_dict(index, segment, words) for index, segment in numbered(transcript.segments, page)],
        "speakers": [_speaker(speaker) for speaker in transcript.speakers],
        "models": transcript.models,
        "warnings": list(transcript.warnings),
    }
    return answer | counted(transcript.segments, page)


def segment_dict(index: int, segment: Segment, words: bool = True) -> dict[str, Any]:
    """Return one segment as plain values, with its text's language where that is not the transcript's."""
    answer: dict[str, Any] = {
        "id": index,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text.strip(),
        "speaker": segment.speaker,
        "avg_logprob": segment.avg_logprob,
    }
    if segment.language is not None:
        answer["language"] = segment.language
    return answer | {"words": [asdict(word) for word in segment.words]} if words else answer


def _speaker(speaker: Speaker) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": speaker.id, "name": speaker.name, "duration": speaker.duration}
    return answer if speaker.embedding is None else answer | {"embedding": list(speaker.embedding)}
