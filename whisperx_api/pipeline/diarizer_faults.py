"""Why a diarization pipeline could not be loaded, as one sentence that says what to do."""

from __future__ import annotations

import re

import requests
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

OR_STARTER = ", or set DIARIZATION_MODEL=starter, or send enable_diarization=false"


def what_to_do(model: str, error: Exception, token: str | None) -> str:
    """Return the sentence for what kept `model`, or a model that it is made of, from being loaded."""
    # The hub's own answer may lie beneath the error that says no copy is here either.
    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    response = getattr(cause, "response", None)
    status = response.status_code if response is not None else None
    part = re.search(r"([\w.-]+/[\w.-]+)/resolve/", response.url or "") if response is not None else None
    repo = part.group(1) if part else model
    needed = "" if repo == model.partition("@")[0] else f", which {model} needs,"
    what = f"The diarization model {repo}{needed}"
    pull = f"`whisperx-api models pull {model}`"
    if token and not token.startswith("hf_") and status in (401, 403):
        return f"{what} needs a Hugging Face token and HF_TOKEN is none (they start with hf_): correct it{OR_STARTER}."
    match cause:
        case GatedRepoError() if status == 401:
            return f"{what} is gated: accept its terms at https://hf.co/{repo} and set HF_TOKEN{OR_STARTER}."
        case GatedRepoError():
            return (
                f"{what} is gated and HF_TOKEN has no access to it: accept its terms at https://hf.co/{repo} with the "
                f"account of that token, and let the token read gated repositories{OR_STARTER}."
            )
        case RepositoryNotFoundError():
            return (
                f"{what} is not on the Hugging Face hub, or is private: correct DIARIZATION_MODEL, or set an HF_TOKEN "
                f"that may read it{OR_STARTER}."
            )
        case EntryNotFoundError() | RevisionNotFoundError():
            return f"{what} is no pyannote pipeline, or not in that revision: correct DIARIZATION_MODEL{OR_STARTER}."
        case HFValidationError():
            return f"{what} is neither a folder here nor a Hugging Face id: correct DIARIZATION_MODEL{OR_STARTER}."
        case OfflineModeIsEnabled():
            return (
                f"{what} is not on this machine and HF_HUB_OFFLINE forbids fetching it: run {pull} with "
                f"HF_HUB_OFFLINE=0{OR_STARTER}."
            )
        case FileNotFoundError():
            return f"{what} lacks {cause.filename}: correct DIARIZATION_MODEL or pull it again{OR_STARTER}."
    if status in (401, 403):
        return f"{what} can't be fetched, the Hugging Face hub refuses HF_TOKEN: set a valid one{OR_STARTER}."
    if status is not None:
        return f"{what} can't be fetched, the Hugging Face hub answers {status}: try again later{OR_STARTER}."
    if isinstance(cause, requests.ConnectionError | requests.Timeout):
        return (
            f"{what} is not on this machine and the Hugging Face hub can't be reached: connect, or run {pull} while "
            f"connected{OR_STARTER}."
        )
    reason = " ".join(str(error).split())
    return f"{what} can't be loaded ({reason}): mend that, or run {pull}{OR_STARTER}."
