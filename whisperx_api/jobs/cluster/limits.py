"""How many jobs may wait in a cluster, in all and of each owner: counted on record, and known a second late."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from whisperx_api.jobs.admission import QueueLimits, too_many
from whisperx_api.jobs.cluster.store import PENDING, Counts
from whisperx_api.jobs.store import Admit, unasked
from whisperx_api.jobs.tables import JobRow

ADMISSION = 0x77786164
"""Number of the lock under which jobs are counted one after the other, where the queue is nearly full."""
NEARLY_FULL = 0.9
"""Of what may wait. What comes within a second is less than the rest of a long queue; a short one is always counted."""
FEW = 100
"""Places that are counted anew in any case."""


class ClusterLimits:
    """Looks at a count of a moment ago before anything is received, and as a job goes on record where it is close."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self.counts = Counts({}, 0)
        """To be renewed every second."""

    def check(self, owner: str) -> None:
        """Raise `QueueFull` where one more job of this owner would be too many."""
        too_many(sum(self.counts.waiting.values()), self.counts.waiting.get(owner, 0), self._limits)

    def close(self, owner: str) -> bool:
        """Return whether jobs that have come or gone meanwhile could make a difference."""
        waiting, own = sum(self.counts.waiting.values()), self.counts.waiting.get(owner, 0)
        return _close(waiting, self._limits.most) or _close(own, self._limits.most_of_one)

    def admit(self, owner: str) -> Admit:
        """Return what raises `QueueFull` in the transaction that puts a job on record."""

        async def count(session: AsyncSession) -> None:
            await session.execute(select(func.pg_advisory_xact_lock(ADMISSION)))
            counting = select(func.count(), func.count().filter(JobRow.owner == owner)).where(JobRow.status == PENDING)
            all_of_them, of_owner = (await session.execute(counting)).one()
            too_many(all_of_them, of_owner, self._limits)

        return count if self.close(owner) else unasked


def _close(waiting: int, most: int) -> bool:
    return waiting >= min(most * NEARLY_FULL, most - FEW)
