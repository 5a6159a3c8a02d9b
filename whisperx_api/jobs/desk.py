"""Where callers are served: what the API asks of whoever takes jobs in, runs them or has them run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from whisperx_api.jobs.cache import Found
from whisperx_api.jobs.edits import Edits
from whisperx_api.jobs.job import Job, JobStatus
from whisperx_api.jobs.view import JobView
from whisperx_api.jobs.webhooks import Webhook
from whisperx_api.jobs.worker import Worker
from whisperx_api.transcript import Transcript

T = TypeVar("T")


class Draining(RuntimeError):
    """The service is shutting down and takes no more jobs."""


class Desk(Protocol):
    """Takes jobs in, changes them, and answers how they are."""

    async def start(self) -> None:
        """Begin to work. Raises `StoreUnavailable`."""

    async def drain(self, grace: float) -> None:
        """Stop: what is at work has `grace` seconds."""

    @property
    def draining(self) -> bool:
        """Whether the service is shutting down."""
        ...

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        ...

    @property
    def running(self) -> int:
        """How many jobs are in work."""
        ...

    async def workers(self) -> Sequence[Worker]:
        """Return who runs the jobs."""
        ...

    async def check(self, owner: str) -> None:
        """Raise `QueueFull` where one more job of this owner would be too many."""

    def named(self, job: Job) -> Job:
        """Return a job that is not submitted yet with the name of its work."""
        ...

    def leader(self, job: Job) -> Job | None:
        """Return the unfinished job that does this one's work; None if nobody does."""
        ...

    async def find(self, job: Job) -> Found | None:
        """Return the transcript that is there for a job; None if nobody has made it."""

    async def submit(self, job: Job, webhook: Webhook | None = None, same: Found | None = None) -> Job:
        """Take a job whose recording is in storage. When this returns, the job is durable.

        With `same`, its transcript, it is completed by then. Raises `Draining`, and `QueueFull`.
        """
        ...

    async def view(self, task_id: str) -> JobView | None:
        """Return how a job is, or None."""

    async def views(self, jobs: Sequence[Job]) -> list[JobView]:
        """Return how these jobs are, as they were read from the database a moment ago."""
        ...

    async def result(self, job: Job, make: Callable[[Transcript], T]) -> T:
        """Return what `make`, in a thread, makes of a completed job's transcript, with what people put right in it."""
        ...

    async def edit(self, task_id: str, changes: Edits) -> bool:
        """Put edits to a completed job's; False if it is gone. Raises `Changed`."""
        ...

    async def page(self, owner: str, status: JobStatus | None, limit: int, before: int | None) -> Sequence[Job]:
        """Return the owner's jobs, newest first."""
        ...

    async def cancel(self, task_id: str) -> bool:
        """Cancel a job; False if it had ended. It is cancelled at once, its stage stops within two seconds."""
        ...

    async def retry(self, task_id: str) -> bool:
        """Make a failed or cancelled job pending again; False if it is neither. Raises `Draining`, and `QueueFull`."""
        ...

    async def delete(self, task_id: str) -> None:
        """Stop a job, and forget it with all its files."""

    async def expire(self, before: datetime) -> int:
        """Delete the jobs that ended before a time and have not been taken up again; return how many those were."""
        ...
