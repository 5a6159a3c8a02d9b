"""The models that the settings name: are they here, and if not, can they be fetched."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from whisperx_api.doctor.check import Check, Level, fail, ok, warn
from whisperx_api.models import hub, resolve, starter_set
from whisperx_api.models.catalog import STARTER, repo_id
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.package_client import find_client
from whisperx_api.settings import Settings

HUB_SECONDS = 5.0
"""How long the hub may take to answer."""


def model_checks(settings: Settings) -> Iterator[Check]:
    """Look at the models."""
    checks = (_transcription(settings), _diarization(settings))
    yield from checks
    if any(check.level is not Level.OK for check in checks) and not starter_set.missing(settings.models):
        yield ok(
            "starter",
            "The starter models are here and need nothing else: set WHISPER_MODEL=starter, "
            "DIARIZATION_MODEL=starter and ALIGN_MODEL=attention, as the Makefile does.",
        )
    yield _alignment(settings)
    if importlib.util.find_spec("av"):
        yield ok("decoding", "FFmpeg is not needed: PyAV brings its own.")
    else:
        yield fail("decoding", "PyAV is not installed, so no recording can be decoded: run `pip install av`.")


def _transcription(settings: Settings) -> Check:
    name, model = "whisper", settings.whisper_model
    try:
        folder = resolve.transcription_folder(model, settings.models, allow_download=False)
    except ModelUnavailable as error:
        return _fetchable(name, model, repo_id(model), settings, error)
    return ok(name, f"WHISPER_MODEL={model} is in {folder}.")


def _diarization(settings: Settings) -> Check:
    name, model = "diarization", settings.diarization_model
    try:
        folder = resolve.diarization_folder(model, settings.models, allow_download=False)
    except ModelUnavailable as error:
        check = _fetchable(name, model, model, settings, error)
        told = settings.hf_token or model == STARTER or "HF_TOKEN" in check.sentence
        hint = "" if told else " HF_TOKEN is not set; pyannote's models need one."
        return Check(check.name, check.level, check.sentence + hint)
    return ok(name, f"DIARIZATION_MODEL={model} is in {folder}.")


def _alignment(settings: Settings) -> Check:
    name, model = "alignment", settings.align_model
    if model == "attention":
        return ok(name, "ALIGN_MODEL=attention: word times come from Whisper itself, no further model is needed.")
    if model == "auto":
        return ok(
            name,
            "ALIGN_MODEL=auto: the language's own model is fetched when it is first needed; word times come from "
            "Whisper itself where there is none.",
        )
    if model.startswith(("/", "./", "../", "~")) and not Path(model).expanduser().is_dir():
        return fail(name, f"ALIGN_MODEL={model} is no folder: mount it, or set ALIGN_MODEL=auto.")
    return ok(name, f"ALIGN_MODEL={model}.")


def _fetchable(name: str, model: str, repository: str, settings: Settings, absent: ModelUnavailable) -> Check:
    """Say whether a model that is not here can be fetched; `absent` says that it is not."""
    if model == STARTER:
        can = settings.whisper_auto_download and find_client() is not None
        return (warn if can else fail)(name, f"{absent}{' The first job would fetch them.' if can else ''}")
    if "/" not in repository or not settings.whisper_auto_download or Path(repository).is_dir():
        return fail(name, str(absent))
    try:
        hub.check_access(repository, settings.hf_token, HUB_SECONDS)
    except ModelUnavailable as error:
        return fail(name, f"{model} is not on this machine, and it can't be fetched. {error}")
    return warn(
        name, f"{model} is not on this machine: the first job fetches it, or run `whisperx-api models pull {model}`."
    )
