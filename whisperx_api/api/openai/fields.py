"""The form of `/v1/audio/…`: OpenAI's fields, read as their types, to the options of a job."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whisperx_api.api import requests
from whisperx_api.api.errors import bad_parameter
from whisperx_api.api.multipart import Form, Rules
from whisperx_api.models.names import undated
from whisperx_api.options import Options, Task
from whisperx_api.settings import Settings
from whisperx_api.validation import what_is_wrong

Fields = TypeVar("Fields", bound="TranslationFields")

DIARIZING_MODEL = "gpt-4o-transcribe-diarize"
"""The name that asks for speakers, whatever the format."""
REFERENCE_BYTES = 6 * 1024 * 1024
"""Longest data URL of a known speaker: ten seconds of uncompressed stereo sound take some four of these megabytes."""
LONGEST_KEYWORDS = 4096
OFFSET = 0.363 / 0.500
"""How far under its onset speech ends, as a part of it: whisperx's two thresholds."""
STRATEGY = "chunking_strategy"
_NESTED = re.compile(rf"{STRATEGY}\[\w+\]")
"""How OpenAI's client writes the parts of an object."""


class ResponseFormat(str, Enum):
    """OpenAI's names of the forms that an answer may have."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VERBOSE_JSON = "verbose_json"
    VTT = "vtt"
    DIARIZED_JSON = "diarized_json"


class Granularity(str, Enum):
    """What gets its times in `verbose_json`."""

    WORD = "word"
    SEGMENT = "segment"


class Include(str, Enum):
    """What else `json` may hold."""

    LOGPROBS = "logprobs"


class ServerVad(BaseModel):
    """Voice activity detection as a request wants it."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["server_vad"]
    threshold: float = Field(0.5, ge=0, le=1)
    prefix_padding_ms: int = Field(0, ge=0, le=5000)
    silence_duration_ms: int = Field(0, ge=0, le=10_000)


class TranslationFields(BaseModel):
    """The text fields of a translation."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, populate_by_name=True)

    model: str = Field(examples=["whisper-1"])
    """`whisper-1` or any other of OpenAI's names, for the server's own model, or the name of a model allowed here."""
    prompt: str | None = Field(None, max_length=4096)
    """Text that the recording might follow: sets style and spelling."""
    response_format: ResponseFormat = ResponseFormat.JSON
    """Form of the answer."""
    temperature: float = Field(0, ge=0, le=1)
    """0 for the likeliest text, with higher temperatures only where that fails; above 0, samples at this one."""


class TranscriptionFields(TranslationFields):
    """The text fields of a transcription."""

    language: str | None = Field(None, examples=["en"])
    """Language spoken, by its code or English name; detected if left out."""
    languages: list[str] = []
    """Languages that may be spoken; of several, each stretch of speech is in its own."""
    keywords: list[str] = []
    """Words to expect."""
    timestamp_granularities: list[Granularity] = []
    """What gets its times: `segment`, the default, which clients send with any form, and `word`, in `verbose_json`."""
    include: list[Include] = []
    """`logprobs` gives the log-probability of each token, in `json` and in a stream."""
    known_speaker_names: list[str] = []
    """Names of speakers, each with its reference."""
    known_speaker_references: list[str] = []
    """A recording of each of them as a data URL, 2 to 10 seconds long."""
    chunking_strategy: str | None = Field(None, max_length=1000, examples=["auto"])
    """`auto`, or an object of the type `server_vad` as JSON."""
    stream: bool = False
    """Send the text as it comes, as Server-Sent Events."""
    asynchronous: bool = Field(False, alias="async")
    """Answer at once with a `task_id`, to be asked for later."""


LISTS = frozenset(
    ("languages", "keywords", "timestamp_granularities", "include", "known_speaker_names", "known_speaker_references")
)
RULES = Rules(LISTS, {"known_speaker_references": REFERENCE_BYTES}, room=4 * REFERENCE_BYTES, most_fields=1000)


@dataclass(frozen=True)
class AudioWanted(requests.Wanted):
    """What a request asks for, and in which form it wants the answer."""

    format: ResponseFormat = ResponseFormat.JSON
    granularities: tuple[Granularity, ...] = (Granularity.SEGMENT,)
    logprobs: bool = False
    stream: bool = False
    asynchronous: bool = False


def of_transcription(form: Form, settings: Settings) -> AudioWanted:
    """Return what a transcription asks for. Raises a 400."""
    given = _given(TranscriptionFields, form)
    requests.check_source(None, form.filename is not None, settings)
    speakers = given.response_format is ResponseFormat.DIARIZED_JSON or undated(given.model) == DIARIZING_MODEL
    if Granularity.WORD in given.timestamp_granularities and given.response_format is not ResponseFormat.VERBOSE_JSON:
        raise bad_parameter("timestamp_granularities", "timestamp_granularities needs response_format=verbose_json.")
    if given.include and given.response_format is not ResponseFormat.JSON:
        raise bad_parameter("include", "include=logprobs needs response_format=json.")
    if given.stream and given.asynchronous:
        raise bad_parameter("async", "async and stream exclude each other: an answer comes either later or as it goes.")
    if given.known_speaker_names and not speakers:
        raise bad_parameter(
            "known_speaker_names",
            f"known_speaker_names needs response_format=diarized_json or model={DIARIZING_MODEL}.",
        )
    options = Options(
        language=requests.language(given.language),
        languages=_languages(given),
        model=requests.model(given.model, settings),
        enable_diarization=speakers,
        prompt=given.prompt,
        hotwords=_hotwords(given.keywords),
        temperature=given.temperature,
        token_logprobs=bool(given.include),
    )
    return AudioWanted(
        _with_strategy(options, given.chunking_strategy),
        format=given.response_format,
        granularities=tuple(dict.fromkeys(given.timestamp_granularities)) or (Granularity.SEGMENT,),
        logprobs=bool(given.include),
        stream=given.stream,
        asynchronous=given.asynchronous,
        speaker_names=tuple(given.known_speaker_names),
        speaker_references=tuple(given.known_speaker_references),
    )


def of_translation(form: Form, settings: Settings) -> AudioWanted:
    """Return what a translation asks for. Raises a 400."""
    given = _given(TranslationFields, form)
    requests.check_source(None, form.filename is not None, settings)
    if given.response_format is ResponseFormat.DIARIZED_JSON:
        raise bad_parameter("response_format", "response_format must be json, text, srt, verbose_json or vtt here.")
    options = Options(
        model=requests.model(given.model, settings),
        task=Task.TRANSLATE,
        enable_diarization=False,
        prompt=given.prompt,
        temperature=given.temperature,
    )
    return AudioWanted(options, format=given.response_format)


def _given(kind: type[Fields], form: Form) -> Fields:
    """Read the form's values as their types; an empty one counts as left out. Raises a 400."""
    values: dict[str, object] = {name: value for name, value in form.fields.items() if value.strip()}
    strategy = {name[len(STRATEGY) + 1 : -1]: values.pop(name) for name in list(values) if _NESTED.fullmatch(name)}
    if strategy and STRATEGY in values:
        raise bad_parameter(STRATEGY, f"{STRATEGY} is there twice.")
    if strategy:
        values[STRATEGY] = json.dumps(strategy)
    for name, some in form.lists.items():
        if said := [value for value in some if value.strip()]:
            values[name] = said
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise requests.explained(error, kind) from None


def _hotwords(keywords: Sequence[str]) -> str | None:
    words = ", ".join(word.strip() for word in keywords if word.strip())
    if len(words) > LONGEST_KEYWORDS:
        raise bad_parameter("keywords", f"keywords must have at most {LONGEST_KEYWORDS} characters in all.")
    return words or None


def _languages(given: TranscriptionFields) -> tuple[str, ...]:
    if given.language is not None and given.languages:
        raise bad_parameter("languages", "language and languages exclude each other: send one of them.")
    codes = [requests.language(name, "languages") for name in given.languages]
    return tuple(dict.fromkeys(code for code in codes if code is not None))


def _with_strategy(options: Options, strategy: str | None) -> Options:
    """Return the options with the voice activity detection that a chunking strategy means."""
    if strategy is None or strategy.strip() == "auto":
        return options
    try:
        vad = ServerVad.model_validate_json(strategy)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise bad_parameter(STRATEGY, f"{STRATEGY} must be auto or an object of the type server_vad.") from None
        name = f"{STRATEGY}.{first['loc'][0]}"
        raise bad_parameter(STRATEGY, f"{name} {what_is_wrong(first)}.") from None
    return replace(
        options,
        vad_onset=vad.threshold,
        vad_offset=vad.threshold * OFFSET,
        vad_pad=vad.prefix_padding_ms / 1000,
        vad_min_silence=vad.silence_duration_ms / 1000,
    )
