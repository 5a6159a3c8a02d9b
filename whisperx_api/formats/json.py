"""A transcript as the service's own JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from whisperx_api.transcript import Segment, Speaker, Transcript


def to_dict(
    task_id: str, transcript: Transcript, *, words: bool = True, page: int | None = None, page_size: int = 100
) -> dict[str, Any]:
    """Return the transcript as plain values; `words=False` leaves the words out.

    `page`, from 1, takes `page_size` segments and says how many pages there are.
    """
    first = 0 if page is None else (page - 1) * page_size
    last = len(transcript.segments) if page is None else first + page_size
    answer = {
        "task_id": task_id,
        "language": transcript.language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "segments": [
            segment_dict(index, segment, words)
            for index, segment in enumerate(transcript.segments[first:last], start=first)
        ],
        "speakers": [_speaker(speaker) for speaker in transcript.speakers],
        "models": transcript.models,
        "warnings": list(transcript.warnings),
    }
    if page is not None:
        answer |= {"page": page, "pages": max(1, math.ceil(len(transcript.segments) / page_size))}
    return answer


def segment_dict(index: int, segment: Segment, words: bool = True) -> dict[str, Any]:
    """Return one segment as plain values."""
    answer: dict[str, Any] = {
        "id": index,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text.strip(),
        "speaker": segment.speaker,
        "avg_logprob": segment.avg_logprob,
    }
    return answer | {"words": [asdict(word) for word in segment.words]} if words else answer


def _speaker(speaker: Speaker) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": speaker.id, "name": speaker.name, "duration": speaker.duration}
    return answer if speaker.embedding is None else answer | {"embedding": list(speaker.embedding)}
