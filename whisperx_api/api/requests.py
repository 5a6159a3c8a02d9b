"""From the text fields of an upload to the options of a job: every wrong value is a 400 that names its field."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from whisperx_api.api.errors import ApiError, bad_parameter
from whisperx_api.api.multipart import Form
from whisperx_api.api.schemas import UploadFields
from whisperx_api.languages import language_code
from whisperx_api.models.names import ModelNotAllowed, resolve_requested
from whisperx_api.options import Channels, Options, Task
from whisperx_api.settings import Settings
from whisperx_api.validation import what_is_wrong

OF_VOICES = ("num_speakers", "min_speakers", "max_speakers", "speaker_embeddings")
"""Fields about speakers who are told apart by their voices, which nobody is where each has a channel."""


@dataclass(frozen=True)
class Wanted:
    """What a request asks for beside its recording."""

    options: Options
    priority: int = 0
    url: str | None = None
    """Where the recording is, if it is not in the form."""
    webhook_url: str | None = None
    webhook_secret: str | None = None
    speaker_names: tuple[str, ...] = ()
    """Speakers to be named, each with its reference."""
    speaker_references: tuple[str, ...] = ()


def of_upload(form: Form, settings: Settings) -> Wanted:
    """Return what an upload asks for. Raises a 400."""
    given = parse(form.fields)
    check_source(given.url, form.filename is not None, settings)
    return Wanted(options(given, settings), given.priority, given.url, given.webhook_url, given.webhook_secret)


def parse(fields: dict[str, str]) -> UploadFields:
    """Read the fields as their types; an empty one counts as left out. Raises a 400."""
    try:
        given = UploadFields.model_validate({name: value for name, value in fields.items() if value.strip()})
    except ValidationError as error:
        raise explained(error, UploadFields) from None
    if given.webhook_secret is not None and given.webhook_url is None:
        raise bad_parameter("webhook_secret", "webhook_secret is of no use without webhook_url.")
    if given.channels is Channels.SEPARATE and (named := [name for name in OF_VOICES if getattr(given, name)]):
        raise bad_parameter(named[0], f"{named[0]} has no meaning with channels=separate: each channel is a speaker.")
    low, high, exact = given.min_speakers, given.max_speakers, given.num_speakers
    if low is not None and high is not None and low > high:
        raise bad_parameter("min_speakers", f"min_speakers ({low}) must not be more than max_speakers ({high}).")
    if exact is not None and not (low or exact) <= exact <= (high or exact):
        raise bad_parameter("num_speakers", f"num_speakers ({exact}) must lie between min_speakers and max_speakers.")
    return given


def check_source(url: str | None, has_file: bool, settings: Settings) -> None:
    """Raise a 400 unless the recording comes in one way: as a file, or from a url where that is switched on."""
    if url is not None and not settings.url_input:
        raise bad_parameter(
            "url", "url is not taken here: send the recording in 'file', or ask the operator for URL_INPUT=true."
        )
    if url is not None and has_file:
        raise bad_parameter("url", "Send the recording in 'file' or name its url, not both.")
    if url is None and not has_file:
        or_url = ", or name its url" if settings.url_input else ""
        raise bad_parameter("file", f"The field 'file' is missing: send the recording in it{or_url}.")


def options(given: UploadFields, settings: Settings) -> Options:
    """Return the job's options. Raises a 400."""
    return Options(
        language=language(given.language),
        model=model(given.model, settings),
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


def fingerprint(wanted: Wanted, sha256: str) -> str:
    """Return a hash of everything that makes two requests the same. Of a recording at a url that is the url."""
    request: dict[str, Any] = asdict(wanted.options) | {"priority": wanted.priority}
    request |= {"url": wanted.url} if wanted.url is not None else {"sha256": sha256}
    if wanted.webhook_url is not None:
        request |= {"webhook_url": wanted.webhook_url, "webhook_secret": wanted.webhook_secret}
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def language(name: str | None, field: str = "language") -> str | None:
    """Return Whisper's code, None to detect the language. Raises a 400 that names the field."""
    if name is None or name.lower() in ("auto", "none"):
        return None
    if (code := language_code(name)) is None:
        raise bad_parameter(field, f"{field} must be of those that Whisper knows, not '{name[:80]}'.")
    return code


def model(name: str | None, settings: Settings) -> str | None:
    """Return the model to use, None for the configured one. Raises a 400."""
    try:
        return resolve_requested(name, settings)
    except ModelNotAllowed as error:
        raise bad_parameter("model", str(error)) from None


def explained(error: ValidationError, fields: type[BaseModel]) -> ApiError:
    """Return the 400 that says what is wrong with the first of a form's fields that is."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        near = get_close_matches(
            name, [field.alias or name for name, field in fields.model_fields.items()], n=1, cutoff=0.5
        )
        hint = f" Is {near[0]} meant?" if near else ""
        return bad_parameter(name, f"There is no field '{name}'.{hint}")
    given = "" if first["type"] == "missing" else str(first["input"])
    shown = f", not '{given}'" if 0 < len(given) <= 80 else ""
    return bad_parameter(name, f"{name} {what_is_wrong(first)}{shown}.")
