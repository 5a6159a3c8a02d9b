"""What a job is: its states, its stages, and what becomes of it when a stage fails."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum

from whisperx_api.engine.protocol import Stage
from whisperx_api.options import Channels, Options, Task

MAX_STAGE_ATTEMPTS = 3
"""How often a stage may fail before its job does."""


class JobStatus(str, Enum):
    """Where a job stands: pending -> processing -> completed, failed or cancelled."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to a job in this state by itself."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True)
class Upload:
    """The recording as it was received: `name` is for people only, `duration` what the file states in seconds."""

    name: str
    size: int
    sha256: str
    duration: float | None = None


@dataclass(frozen=True)
class Job:
    """One request and how far it has come.

    `epoch` counts the runs: whatever an older run still has to say is refused. `checkpoints` names the file that holds
    each finished stage's result. `seq` is the order of arrival, given by the store.
    """

    owner: str
    options: Options
    upload: Upload
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    seq: int = 0
    status: JobStatus = JobStatus.PENDING
    priority: int = 0
    epoch: int = 0
    stage: Stage | None = None
    progress: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)
    """How often each stage that is not done has failed."""
    error: str | None = None
    checkpoints: dict[str, str] = field(default_factory=dict)
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    started_at: datetime | None = None
    completed_at: datetime | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    """Hash of the request; a further one under the same idempotency key must have the same."""
    work: str | None = None
    """Hash of all that the transcript depends on: jobs with the same may share it. None where nobody may."""
    cached: bool = False
    """Whether the transcript is one that another job has made."""
    worker: str | None = None
    """Who runs it, where that may be one of several."""
    trace: str | None = None
    """The `traceparent` of the request that it came with, where such are recorded (W3C Trace Context)."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that the options ask for, in their order.

        A translation's words are not in the audio. Where each channel is a speaker's own, nobody has to be told apart.
        """
        return tuple(
            stage
            for stage in Stage
            if not (stage is Stage.ALIGN and self.options.task is Task.TRANSLATE)
            and not (stage is Stage.DIARIZE and not self.options.enable_diarization)
            and not (stage is Stage.DIARIZE and self.options.channels is Channels.SEPARATE)
        )

    @property
    def kept_files(self) -> tuple[str, ...]:
        """Names of the files without which a job that is not done can't go on: checkpoints, and voices to be named."""
        return (*self.checkpoints.values(), *(known.file for known in self.options.known_speakers))

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts jobs into the order in which they are to run: higher priority first, then older first."""
        return (-self.priority, self.seq)


@dataclass(frozen=True)
class KeptResult:
    """The transcript of a completed job, as it may be given to later ones of the same `work`."""

    work: str
    file: str
    size: int
    sha256: str


class Verdict(str, Enum):
    """What to do about a failed stage."""

    AGAIN = "again"
    GIVE_UP = "give up"


def judge(failures: int, retryable: bool) -> Verdict:
    """Decide about a stage that has now failed `failures` times."""
    return Verdict.AGAIN if retryable and failures < MAX_STAGE_ATTEMPTS else Verdict.GIVE_UP
