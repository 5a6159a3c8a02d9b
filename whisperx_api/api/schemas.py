"""What goes over the wire at `/api/v1/transcribe`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from whisperx_api.api.webhook_schemas import WebhookOut
from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs.job import JobStatus
from whisperx_api.options import Channels, Task

Count = Field(None, ge=1, le=50)


class UploadFields(BaseModel):
    """The text fields of an upload; the recording itself is in the field `file`, or at `url`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    language: str | None = Field(None, examples=["en"])
    """Language spoken, by Whisper's code or English name; detected if left out."""
    model: str | None = Field(None, examples=["large-v3"])
    """Transcription model; the server's own if left out."""
    task: Task = Task.TRANSCRIBE
    """`translate` gives English."""
    enable_diarization: bool = True
    """Label every word with its speaker."""
    num_speakers: int | None = Count
    """How many speakers there are, where that is known."""
    min_speakers: int | None = Count
    """Fewest speakers to find."""
    max_speakers: int | None = Count
    """Most speakers to find."""
    channels: Channels = Channels.MIX
    """`separate` takes each channel for a speaker, whether or not `enable_diarization` is set."""
    prompt: str | None = Field(None, max_length=4096)
    """Text that the recording might follow: sets style and spelling."""
    hotwords: str | None = Field(None, max_length=4096)
    """Words to expect."""
    temperature: float = Field(0, ge=0, le=1)
    """0 for the likeliest text, with higher temperatures only where that fails; above 0, samples at this one."""
    suppress_numerals: bool = False
    """Write numbers as words."""
    word_timestamps: bool = True
    """`false` leaves the words out of the answer."""
    speaker_embeddings: bool = False
    """Give one voice vector a speaker."""
    webhook_url: str | None = Field(None, examples=["https://example.org/transcribed"])
    """Where to tell of the task's end, as `POST /v1/webhooks` does."""
    webhook_secret: str | None = None
    """What its messages are signed with: `whsec_` and 24 to 64 bytes in base64; made if left out."""
    url: str | None = Field(None, examples=["https://example.org/meeting.mp3"])
    """Where to fetch the recording, in place of `file`; only where the operator has switched it on."""
    priority: int = Field(0, ge=-10, le=10)
    """Higher goes first; above 0 needs the scope admin."""


class TaskAccepted(BaseModel):
    """Answer to an upload."""

    task_id: str
    status: JobStatus
    message: str
    webhook_id: str | None = Field(None, description="Only with webhook_url.")
    webhook_secret: str | None = Field(None, description="What the webhook's messages are signed with; shown once.")


class WordOut(BaseModel):
    word: str
    start: float
    end: float
    score: float | None = Field(description="The aligner's confidence, null where the times were interpolated.")
    speaker: str | None


class SegmentOut(BaseModel):
    id: int
    start: float
    end: float
    text: str
    speaker: str | None
    avg_logprob: float | None
    words: list[WordOut] | None = None
    language: str | None = None


class SpeakerOut(BaseModel):
    id: str
    name: str | None
    duration: float
    embedding: list[float] | None = None


class TranscriptOut(BaseModel):
    """A transcript. Times are seconds; speakers are numbered in order of first appearance."""

    task_id: str
    language: str
    duration: float
    text: str
    segments: list[SegmentOut]
    speakers: list[SpeakerOut]
    models: dict[str, str | None]
    warnings: list[str]
    page: int | None = Field(None, description="Only where a page was asked for.")
    pages: int | None = None


class TaskStatus(BaseModel):
    """How a task is."""

    task_id: str
    filename: str = Field(description="Name of the recording, as it was sent.")
    duration: float | None = Field(description="Its length in seconds, where the file states it.")
    status: JobStatus
    progress: float = Field(ge=0, le=100, description="Per cent of the whole task.")
    stage: Stage | None = Field(description="Where the task is, or where it failed or was cancelled.")
    message: str | None
    queue_position: int | None = Field(description="Tasks before this one; null once it is in work.")
    eta_seconds: float | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error: str | None
    cached: bool = Field(False, description="Whether the transcript was there already, or came from another task.")
    webhooks: list[WebhookOut] | None = Field(
        default=None,
        description="Who was told of its end, and whether it arrived; null while it goes on, and in lists.",
    )
    result: TranscriptOut | None = None


class TaskPage(BaseModel):
    """Tasks, newest first; `next_cursor` is null on the last page."""

    tasks: list[TaskStatus]
    next_cursor: str | None


def form_of(fields: type[BaseModel]) -> dict[str, object]:
    """Return the OpenAPI request body of a form: its fields and the file. Every schema stands where it is used."""
    schema = inlined(fields)
    recording = {"type": "string", "format": "binary", "description": "The recording: audio, or video with sound."}
    schema["properties"] = {"file": recording, **schema["properties"]}
    schema["required"] = ["file", *schema.get("required", ())]
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a model that needs no definitions beside it."""
    schema = model.model_json_schema(ref_template="#/$defs/{model}")
    return _inlined(schema, schema.pop("$defs", {}))


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema with each reference replaced by what it refers to: a part of a document has no `$defs`."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {name: _inlined(part, definitions) for name, part in schema.items() if name != "$ref"}
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions) | whole
    return whole
