"""What earlier runs of a job have left: the results of its finished stages."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from whisperx_api.engine.protocol import RESULT_TYPES, Stage
from whisperx_api.jobs.job import Job
from whisperx_api.storage.protocol import Storage, StorageUnavailable
from whisperx_api.transcript import Audio, Unreadable, from_json

logger = logging.getLogger(__name__)

NEEDS = {Stage.ALIGN: (Stage.TRANSCRIBE,), Stage.ASSIGN: (Stage.TRANSCRIBE, Stage.ALIGN, Stage.DIARIZE)}
"""What a stage is made from, beside the sound, which is decoded anew the same."""


async def recall(job: Job, storage: Storage) -> dict[Stage, Any]:
    """Return the results of earlier runs that are whole, and made from others that are.

    Decoded audio that is gone is made again, the same, so the stages after it need not be. Raises `StorageUnavailable`.
    """
    results: dict[Stage, Any] = {}
    for stage in job.stages:
        needed = {need for need in NEEDS.get(stage, ()) if need in job.stages}
        if (name := job.checkpoints.get(stage.value)) is None or not results.keys() >= needed:
            continue
        try:
            data = await storage.read(job.id, name)
            result = await asyncio.to_thread(from_json, RESULT_TYPES[stage], data)
        except StorageUnavailable:
            raise
        except (OSError, Unreadable) as error:
            logger.warning("task %s: checkpoint %s can't be used (%s)", job.id, name, error)
            continue
        if not isinstance(result, Audio) or _whole(result):
            results[stage] = result
    return results


def _whole(audio: Audio) -> bool:
    path = Path(audio.path)
    return path.is_file() and path.stat().st_size == audio.file_samples * 4
