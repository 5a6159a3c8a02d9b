"""The names of Whisper's sizes and the Hugging Face repositories that hold them as CTranslate2 models.

The table is faster-whisper's own, written out here so that reading the settings needs none of the engine's packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STARTER = "starter"
"""The models that need no account and no hub."""

TRANSCRIPTION_MODELS: Mapping[str, str] = MappingProxyType(
    {
        "tiny": "Systran/faster-whisper-tiny",
        "tiny.en": "Systran/faster-whisper-tiny.en",
        "base": "Systran/faster-whisper-base",
        "base.en": "Systran/faster-whisper-base.en",
        "small": "Systran/faster-whisper-small",
        "small.en": "Systran/faster-whisper-small.en",
        "medium": "Systran/faster-whisper-medium",
        "medium.en": "Systran/faster-whisper-medium.en",
        "large-v1": "Systran/faster-whisper-large-v1",
        "large-v2": "Systran/faster-whisper-large-v2",
        "large-v3": "Systran/faster-whisper-large-v3",
        "large": "Systran/faster-whisper-large-v3",
        "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
        "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
        "distil-small.en": "Systran/faster-distil-whisper-small.en",
        "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
        "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
        "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
        "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
    }
)
"""Repository of the CTranslate2 conversion by size."""


def is_size(name: str) -> bool:
    """Whether `name` is one of Whisper's sizes."""
    return name in TRANSCRIPTION_MODELS


def repo_id(name: str) -> str:
    """Return the Hugging Face id that `name` stands for: a size's repository, or the name itself."""
    return TRANSCRIPTION_MODELS.get(name, name)
