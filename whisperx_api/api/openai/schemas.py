"""What goes over the wire at `/v1/audio`, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from whisperx_api.jobs.job import JobStatus


class Usage(BaseModel):
    type: Literal["duration"]
    seconds: float = Field(description="Length of the recording, begun seconds counted as whole ones.")


class Logprob(BaseModel):
    token: str
    bytes: list[int]
    logprob: float


class PlainAnswer(BaseModel):
    """`json`"""

    text: str
    usage: Usage
    logprobs: list[Logprob] | None = None


class VerboseSegment(BaseModel):
    id: int
    seek: int | None
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float | None
    avg_logprob: float | None
    compression_ratio: float | None
    no_speech_prob: float | None


class TimedWord(BaseModel):
    word: str
    start: float
    end: float


class VerboseAnswer(BaseModel):
    """`verbose_json`"""

    task: Literal["transcribe", "translate"]
    language: str
    duration: float
    text: str
    segments: list[VerboseSegment] | None = None
    words: list[TimedWord] | None = None
    usage: Usage


class DiarizedSegment(BaseModel):
    id: str
    type: Literal["transcript.text.segment"]
    start: float
    end: float
    speaker: str
    text: str


class DiarizedAnswer(BaseModel):
    """`diarized_json`"""

    task: Literal["transcribe"]
    duration: float
    text: str
    segments: list[DiarizedSegment]
    usage: Usage


class AudioTask(BaseModel):
    """How a task is that was sent with `async`; its transcript is beside that once it is completed."""

    task_id: str
    status: JobStatus
    progress: float
    error: str | None
    page: int | None = Field(None, description="Only where a page was asked for.")
    pages: int | None = None


TEXTS: dict[str, Any] = {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "text/vtt")}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": PlainAnswer | VerboseAnswer | DiarizedAnswer,
        "description": "The transcript in the form that was asked for; with `stream`, events.",
        "content": TEXTS | {"text/event-stream": {"schema": {"type": "string"}}},
    },
    202: {"model": AudioTask, "description": "The task, with `async`."},
    500: {"description": "The recording could not be transcribed, for the reason that is said."},
}
RESULT: dict[int | str, dict[str, Any]] = {
    200: {"model": AudioTask, "description": "The task, and its transcript once it is completed.", "content": TEXTS},
}
