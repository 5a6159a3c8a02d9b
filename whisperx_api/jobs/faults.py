"""What can go wrong around a stage: whether trying again helps, and what is said of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from whisperx_api.engine.decoder import DecoderDied, NotAudio
from whisperx_api.engine.protocol import Stage
from whisperx_api.engine.session import EngineDied, StageError
from whisperx_api.jobs.sessions import StoreUnavailable

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""Pause before a change is tried again that the database did not take."""

RETRYABLE = {NotAudio: False, DecoderDied: True, EngineDied: True, FileNotFoundError: False, OSError: True}
"""Whether a further try can help, by what went wrong. A `StageError` says so itself."""

STAGE_FAULTS = (StageError, *RETRYABLE)

T = TypeVar("T")


def can_be_tried_again(error: Exception) -> bool:
    """Whether a further try may help against one of `STAGE_FAULTS`."""
    if isinstance(error, StageError):
        return error.retryable
    return next(can for kind, can in RETRYABLE.items() if isinstance(error, kind))


def sentence(stage: Stage, error: Exception) -> str:
    """Say why `stage` has failed for good, to the job's owner."""
    if isinstance(error, NotAudio):
        return f"The recording can't be decoded: {error}."
    if isinstance(error, FileNotFoundError):
        return "The recording is not on the server's disk any more: send it again."
    if isinstance(error, OSError):
        return f"The disk does not take the result of the {stage.value} stage: {error.strerror or error}."
    return str(error)


async def persist(change: Callable[[], Awaitable[T]]) -> T:
    """Make a change in the database, however long it takes to be there again."""
    while True:
        try:
            return await change()
        except StoreUnavailable as error:
            logger.error("%s Trying again in %.0f s.", error, RETRY_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)
