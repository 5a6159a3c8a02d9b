"""The names by which a request may call a transcription model, and the model that each of them means."""

from __future__ import annotations

import re

from whisperx_api.models.catalog import STARTER, TRANSCRIPTION_MODELS
from whisperx_api.models.resolve import available
from whisperx_api.settings import Settings

OPENAI_NAMES = (
    "whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
)  # fmt: skip
"""What OpenAI's clients ask for: the default model."""
DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
"""What OpenAI puts after a name for the model as it was then."""


class ModelNotAllowed(ValueError):
    """A request names a model that it may not. The message says which it may."""


def allowed(settings: Settings) -> tuple[str, ...]:
    """Return the models that a request may name besides the default one and its other names."""
    return settings.allowed_models or (*TRANSCRIPTION_MODELS, STARTER)


def default_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the default model: its own first."""
    return tuple(dict.fromkeys((settings.whisper_model, *settings.whisper_model_alias, *OPENAI_NAMES)))


def undated(name: str) -> str:
    """Return one of OpenAI's names without its date."""
    return DATE.sub("", name)


def resolve_requested(name: str | None, settings: Settings) -> str | None:
    """Return the model that a request means by `name`; None for the default one.

    Raises `ModelNotAllowed`, whose message goes on from the field `model`.
    """
    if name is None or name in default_names(settings) or undated(name) in OPENAI_NAMES:
        return None
    if name not in allowed(settings):
        names = dict.fromkeys((*default_names(settings), *allowed(settings)))
        raise ModelNotAllowed(f"model must be one of {', '.join(names)}; not '{name}'.")
    if not settings.whisper_auto_download and not available(name, settings.models):
        raise ModelNotAllowed(f"model {name} is not on this server, and it fetches none.")
    return name
