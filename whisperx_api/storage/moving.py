"""Copies the files of tasks from this machine to a storage that other machines reach."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection
from pathlib import Path

from whisperx_api.storage.archive import MADE_AGAIN
from whisperx_api.storage.local import LocalStorage
from whisperx_api.storage.protocol import Storage


async def copy_tasks(source: LocalStorage, target: Storage, task_ids: Collection[str]) -> int:
    """Copy recordings and what was made of them; return how many files those are. What is there is replaced.

    What a task that goes on makes again is left out. Raises `OSError`.
    """
    files = 0
    for task_id in sorted(task_ids):
        if (recording := source.upload(task_id)).is_file():
            await _copy(recording, target, task_id)
            files += 1
        for path in source.made(task_id):
            if not MADE_AGAIN.fullmatch(path.name):
                await target.write(task_id, path.name, await asyncio.to_thread(path.read_bytes))
                files += 1
    return files


async def _copy(recording: Path, target: Storage, task_id: str) -> None:
    """Give a copy away: a storage may keep the very file that it is given."""
    incoming = target.incoming()
    try:
        await asyncio.to_thread(shutil.copyfile, recording, incoming)
        await target.keep_upload(incoming, task_id)
    finally:
        await asyncio.to_thread(incoming.unlink, missing_ok=True)
