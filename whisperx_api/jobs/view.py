"""How an unfinished job looks to a poll: all from memory, no disk is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs.job import Job
from whisperx_api.jobs.queue.embedded import EmbeddedQueue
from whisperx_api.jobs.run import JobRun
from whisperx_api.jobs.sharing import Sharing
from whisperx_api.jobs.workshop import Workshop

FORESEEN = 100
"""Jobs before one in the queue up to which its end is estimated."""
IN_QUEUE = "Waiting in the queue"


@dataclass(frozen=True)
class JobView:
    """A job as a poll sees it: the record, and what only the memory knows of a live one.

    `progress` is 0..1; `eta` is in seconds; `begun` is whether some of its text was told already to who listened.
    """

    job: Job
    progress: float
    stage: Stage | None = None
    message: str | None = None
    queue_position: int | None = None
    eta: float | None = None
    begun: bool = False


class LiveViews:
    """Looks at what a manager has in work, in the queue, and following another."""

    def __init__(
        self,
        workshop: Workshop,
        queue: EmbeddedQueue,
        waiting: Mapping[str, Job],
        runs: Mapping[str, tuple[JobRun, Any]],
        sharing: Sharing,
    ) -> None:
        self._shop = workshop
        self._queue = queue
        self._waiting = waiting
        self._runs = runs
        self._sharing = sharing

    def live(self, task_id: str) -> JobView | None:
        """Return how an unfinished job is; None for any other."""
        if (shown := self._at_work(task_id)) is not None:
            return None if shown.job.status.finished else shown
        if (waiting := self._waiting.get(task_id)) is not None:
            position = self._queue.position(task_id)
            eta, begun = self._eta_in_queue(waiting), bool(self._sharing.heard(waiting))
            return JobView(waiting, waiting.progress, None, IN_QUEUE, position, eta, begun)
        if (follower := self._sharing.follower(task_id)) is not None:
            return self._follower(follower)
        return None

    def _at_work(self, task_id: str) -> JobView | None:
        """Return how a job is that has a run, also one that has just ended; None for any other."""
        if (running := self._runs.get(task_id)) is None:
            return None
        run, eta = running[0], self._eta_of_run(task_id)
        return JobView(run.job, run.told, run.stage, run.message, eta=eta, begun=bool(run.heard))

    def _follower(self, follower: Job) -> JobView:
        """Return how a job is that has another do its work: it is where that one is, or was at its end just now."""
        leader = self._sharing.leader(follower)
        shown = None
        if leader is not None and leader.id != follower.id:
            shown = self._at_work(leader.id) or self.live(leader.id)
        if shown is None:
            begun = bool(self._sharing.heard(follower))
            return JobView(follower, follower.progress, follower.stage, IN_QUEUE, begun=begun)
        return replace(shown, job=follower, progress=max(shown.progress, follower.progress))

    def _eta_of_run(self, task_id: str) -> float:
        """Estimate the seconds until a job in work is done. Where jobs share a device the older ones go first."""
        runs = [run.progress.eta() for run, _ in self._runs.values()]
        place = list(self._runs).index(task_id)
        return runs[place] + (sum(runs[:place]) / self._shop.devices if place >= self._shop.devices else 0.0)

    def _eta_in_queue(self, job: Job) -> float | None:
        """Estimate the seconds until a waiting job is done; None where too much is before it."""
        if (self._queue.position(job.id) or 0) > FORESEEN:
            return None
        before = self._queue.before(job.id)
        waiting = sum(self._cost(self._waiting[other]) for other in before if other in self._waiting)
        running = sum(run.progress.eta() for run, _ in self._runs.values())
        return (running + waiting) / self._shop.devices + self._cost(job)

    def _cost(self, job: Job) -> float:
        return self._shop.costs.job_seconds(job.stages, job.upload.duration or 0.0)
