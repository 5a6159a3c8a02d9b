"""The queue of one process: in memory, in rank order. What is in it is in the database too."""

from __future__ import annotations

import asyncio
import bisect
from collections import Counter

from whisperx_api.jobs.job import Job

Rank = tuple[int, int]
Entry = tuple[Rank, str]


class EmbeddedQueue:
    """Hands out task ids, higher priority first, then older first."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._ranks: dict[str, Rank] = {}
        self._owners: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._arrival = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, owner: str) -> int:
        """Return how many jobs of this owner wait."""
        return self._counts[owner]

    def put(self, job: Job, rank: Rank | None = None) -> None:
        """Add a pending job, at its own rank if no other is given."""
        if job.id not in self._ranks:
            self._ranks[job.id] = rank or job.rank
            self._owners[job.id] = job.owner
            self._counts[job.owner] += 1
            bisect.insort(self._entries, (self._ranks[job.id], job.id))
            self._arrival.set()

    async def get(self) -> str:
        """Wait for a job and take the first."""
        while not self._entries:
            self._arrival.clear()
            await self._arrival.wait()
        _, task_id = self._entries.pop(0)
        del self._ranks[task_id]
        self._uncount(task_id)
        return task_id

    def remove(self, task_id: str) -> None:
        """Take a job out of its place, if it has one."""
        if (rank := self._ranks.pop(task_id, None)) is not None:
            del self._entries[bisect.bisect_left(self._entries, (rank, task_id))]
            self._uncount(task_id)

    def position(self, task_id: str) -> int | None:
        """Return how many jobs are before this one; None if it does not wait."""
        rank = self._ranks.get(task_id)
        return None if rank is None else bisect.bisect_left(self._entries, (rank, task_id))

    def before(self, task_id: str) -> list[str]:
        """Return the jobs before this one, the next to run first."""
        return [entry[1] for entry in self._entries[: self.position(task_id)]]

    def _uncount(self, task_id: str) -> None:
        owner = self._owners.pop(task_id)
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]
