"""What a PATCH of a transcript may hold, checked against the transcript: every fault is a 400 that names its field."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from whisperx_api.api.errors import ApiError, bad_parameter
from whisperx_api.jobs.edits import Edits
from whisperx_api.transcript import Transcript
from whisperx_api.validation import what_is_wrong

MAX_BODY = 1024 * 1024
"""Bytes."""
LONGEST_NAME = 100
LONGEST_TEXT = 4096
"""Characters; a segment is half a minute of speech at the most."""


def _on_one_line(text: str) -> str:
    """Return text with single spaces. Raises `ValueError` for characters that no text has."""
    text = " ".join(text.split())
    if any(unicodedata.category(mark) == "Cc" for mark in text):
        raise ValueError("must hold no control characters")
    return text


Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_on_one_line)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_on_one_line)]


class SegmentEdit(BaseModel):
    """A segment's text put right; an empty one takes the text out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: int = Field(ge=0, description="The segment, as the transcript numbers them.")
    text: Text
    was: str | None = Field(
        None, description="The text that was put right: 409 where the segment has another one by now. Null takes any."
    )


class TranscriptEdits(BaseModel):
    """Names of speakers, and texts put right. What is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"speakers": {"SPEAKER_00": "Katie"}}}
    )

    speakers: dict[str, Name | None] = Field({}, description="Name by the speaker's id; empty or null takes it away.")
    segments: list[SegmentEdit] = []


def schema() -> dict[str, Any]:
    """Return the OpenAPI schema of a body, with nothing outside itself."""
    found = TranscriptEdits.model_json_schema()
    found["properties"]["segments"]["items"] = found.pop("$defs")["SegmentEdit"]
    return found


def parse(body: dict[str, Any], transcript: Transcript) -> Edits:
    """Return the edits to a transcript that a body asks for. Raises a 400, and `Changed`."""
    try:
        given = TranscriptEdits.model_validate(body)
    except ValidationError as error:
        raise _explained(error) from None
    known = {speaker.id for speaker in transcript.speakers}
    for speaker in given.speakers:
        if speaker not in known:
            there = ", ".join(sorted(known)) or "none"
            raise bad_parameter("speakers", f"speakers: there is no speaker '{speaker[:80]}', there are: {there}.")
    texts: dict[int, str] = {}
    for edit in given.segments:
        if edit.id >= len(transcript.segments):
            count = len(transcript.segments)
            raise bad_parameter("segments", f"segments: there is no segment {edit.id}, there are {count}, from 0.")
        if edit.id in texts:
            raise bad_parameter("segments", f"segments: the segment {edit.id} is there twice.")
        texts[edit.id] = edit.text
    was = {edit.id: edit.was for edit in given.segments if edit.was is not None}
    edits = Edits({speaker: name or None for speaker, name in given.speakers.items()}, texts, was)
    edits.fit({place: transcript.segments[place].text for place in was})
    return edits


def _explained(error: ValidationError) -> ApiError:
    first = error.errors()[0]
    field, *inside = first["loc"]
    name = str(field)[:80] + "".join(f"[{step}]" if isinstance(step, int) else f".{step[:80]}" for step in inside)
    if first["type"] == "extra_forbidden":
        return bad_parameter(str(field)[:80], f"There is no field '{name}'.")
    return bad_parameter(str(field)[:80], f"{name} {what_is_wrong(first)}.")
