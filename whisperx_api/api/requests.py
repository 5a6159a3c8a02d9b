"""From the text fields of an upload to the options of a job: every wrong value is a 400 that names its field."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from whisperx_api.api.errors import ApiError, bad_parameter
from whisperx_api.api.schemas import UploadFields
from whisperx_api.languages import language_code
from whisperx_api.models.catalog import STARTER, TRANSCRIPTION_MODELS
from whisperx_api.models.resolve import available
from whisperx_api.options import Channels, Options, Task
from whisperx_api.settings import Settings
from whisperx_api.validation import what_is_wrong

NOT_YET: dict[str, object] = {
    "webhook_url": None, "webhook_secret": None, "url": None,
}  # fmt: skip
"""Fields of the contract that can't do anything yet, with the value at which they ask for nothing."""
OF_VOICES = ("num_speakers", "min_speakers", "max_speakers", "speaker_embeddings")
"""Fields about speakers who are told apart by their voices, which nobody is where each has a channel."""


def parse(fields: dict[str, str]) -> UploadFields:
    """Read the fields as their types; an empty one counts as left out. Raises a 400."""
    try:
        given = UploadFields.model_validate({name: value for name, value in fields.items() if value.strip()})
    except ValidationError as error:
        raise _explained(error) from None
    for name, nothing in NOT_YET.items():
        if getattr(given, name) != nothing:
            raise bad_parameter(name, f"{name} is not in this version yet: leave it out.")
    if given.channels is Channels.SEPARATE and (named := [name for name in OF_VOICES if getattr(given, name)]):
        raise bad_parameter(named[0], f"{named[0]} has no meaning with channels=separate: each channel is a speaker.")
    low, high, exact = given.min_speakers, given.max_speakers, given.num_speakers
    if low is not None and high is not None and low > high:
        raise bad_parameter("min_speakers", f"min_speakers ({low}) must not be more than max_speakers ({high}).")
    if exact is not None and not (low or exact) <= exact <= (high or exact):
        raise bad_parameter("num_speakers", f"num_speakers ({exact}) must lie between min_speakers and max_speakers.")
    return given


def options(given: UploadFields, settings: Settings) -> Options:
    """Return the job's options. Raises a 400."""
    return Options(
        language=_language(given.language),
        model=_model(given.model, settings),
        task=Task(given.task),
        enable_diarization=given.enable_diarization,
        num_speakers=given.num_speakers,
        min_speakers=given.min_speakers,
        max_speakers=given.max_speakers,
        channels=given.channels,
        prompt=given.prompt,
        hotwords=given.hotwords,
        temperature=given.temperature,
        suppress_numerals=given.suppress_numerals,
        word_timestamps=given.word_timestamps,
        speaker_embeddings=given.speaker_embeddings,
    )


def fingerprint(chosen: Options, given: UploadFields, sha256: str) -> str:
    """Return a hash of everything that makes two requests the same."""
    request: dict[str, Any] = asdict(chosen) | {"priority": given.priority, "sha256": sha256}
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _language(name: str | None) -> str | None:
    """Return Whisper's code, None to detect the language."""
    if name is None or name.lower() in ("auto", "none"):
        return None
    if (code := language_code(name)) is None:
        raise bad_parameter("language", f"language must be one that Whisper knows, not '{name}'.")
    return code


def _model(name: str | None, settings: Settings) -> str | None:
    """Return the model to use, None for the configured one."""
    if name is None or name == settings.whisper_model or name in settings.whisper_model_alias:
        return None
    if name not in TRANSCRIPTION_MODELS and name != STARTER:
        allowed = ", ".join((settings.whisper_model, *settings.whisper_model_alias, *TRANSCRIPTION_MODELS))
        raise bad_parameter("model", f"model must be one of {allowed}; not '{name}'.")
    if not settings.whisper_auto_download and not available(name, settings.models):
        raise bad_parameter("model", f"model {name} is not on this server, and it fetches none.")
    return name


def _explained(error: ValidationError) -> ApiError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        near = get_close_matches(name, UploadFields.model_fields, n=1, cutoff=0.5)
        hint = f" Is {near[0]} meant?" if near else ""
        return bad_parameter(name, f"There is no field '{name}'.{hint}")
    given = str(first["input"])
    shown = f", not '{given}'" if len(given) <= 80 else ""
    return bad_parameter(name, f"{name} {what_is_wrong(first)}{shown}.")
