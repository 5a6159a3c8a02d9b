"""What the server is asked for and what it answers, as types. Times are seconds unless it says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Literal, TypedDict


class TaskState(str, Enum):
    """The states of a task; the last three are final."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing happens to the task any more."""
        return self in (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)


class UploadOptions(TypedDict, total=False):
    """The fields of an upload beside the recording; what is None or left out is the server's to choose."""

    language: str | None
    """Language spoken, by Whisper's code or English name; detected if left out."""
    model: str | None
    task: Literal["transcribe", "translate"] | None
    enable_diarization: bool | None
    num_speakers: int | None
    min_speakers: int | None
    max_speakers: int | None
    channels: Literal["mix", "separate"] | None
    """`separate` takes each channel for a speaker."""
    prompt: str | None
    hotwords: str | None
    temperature: float | None
    """0..1."""
    suppress_numerals: bool | None
    word_timestamps: bool | None
    speaker_embeddings: bool | None
    """Give one voice vector a speaker."""
    priority: int | None
    """-10..10, higher goes first; above 0 needs the scope admin."""
    webhook_url: str | None
    webhook_secret: str | None
    url: str | None
    """Where the server is to fetch the recording, in place of a file."""


class WordAnswer(TypedDict):
    """A word: times in seconds, a score in 0..1, which is None where the times were interpolated."""

    word: str
    start: float
    end: float
    score: float | None
    speaker: str | None


class _Segment(TypedDict):
    id: int
    start: float
    end: float
    text: str
    speaker: str | None
    avg_logprob: float | None


class SegmentAnswer(_Segment, total=False):
    """A stretch of one speaker: times in seconds.

    `words` are there unless `word_timestamps` was False, `language` where the text's is not the transcript's.
    """

    words: list[WordAnswer]
    language: str | None


class _Speaker(TypedDict):
    id: str
    name: str | None
    duration: float


class SpeakerAnswer(_Speaker, total=False):
    """A speaker: how long they talk, in seconds; `embedding` is there where `speaker_embeddings` asked for it."""

    embedding: list[float]


class TranscriptAnswer(TypedDict):
    """The transcript as the server writes it."""

    task_id: str
    language: str
    duration: float
    text: str
    segments: list[SegmentAnswer]
    speakers: list[SpeakerAnswer]
    models: dict[str, str | None]
    warnings: list[str]


@dataclass(frozen=True)
class TaskStatus:
    """What the server says of a task: progress in percent, times as ISO 8601 in UTC, durations in seconds.

    `webhook_id` and `webhook_secret` are there only in the answer to an upload that asked for a webhook.
    """

    task_id: str
    status: TaskState
    message: str | None = None
    progress: float = 0
    stage: str | None = None
    queue_position: int | None = None
    eta_seconds: float | None = None
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    error: str | None = None
    cached: bool = False
    filename: str | None = None
    duration: float | None = None
    webhook_id: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, answer: dict[str, Any]) -> TaskStatus:
        """Read a server's answer; what this version does not know is left out."""
        known = {field.name: answer[field.name] for field in fields(cls) if field.name in answer}
        return cls(**{**known, "status": TaskState(answer["status"])})


@dataclass(frozen=True)
class TaskPage:
    """Tasks, newest first, and where the next page begins: None after the last."""

    tasks: list[TaskStatus]
    cursor: str | None

    @classmethod
    def read(cls, answer: Any) -> TaskPage:
        """Read a server's answer."""
        page = answer if isinstance(answer, dict) else {"tasks": answer}
        return cls([TaskStatus.read(task) for task in page["tasks"]], page.get("next_cursor"))
