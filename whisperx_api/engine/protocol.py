"""What the server and an engine process say to each other: typed messages, as length-prefixed JSON on a socket."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, Union

from pydantic import Field, TypeAdapter

from whisperx_api.log import LogFormat
from whisperx_api.options import DiarizationMode, Options
from whisperx_api.transcript import Alignment, Audio, Diarization, Segment, Transcript, Transcription, Voice

WAITING = "Waiting for the device"
"""What is said of a stage while others go before it."""

HEADER = struct.Struct(">I")
"""Length of the message that follows, in bytes."""


class Stage(str, Enum):
    """The steps of a job, in the order in which they run."""

    DECODE = "decode"
    TRANSCRIBE = "transcribe"
    ALIGN = "align"
    DIARIZE = "diarize"
    ASSIGN = "assign"


@dataclass(frozen=True)
class EngineConfig:
    """What an engine is told when it starts."""

    device: str
    whisper_model: str
    align_model: str
    diarization_model: str
    model_dir: Path
    auto_download: bool
    hf_token: str | None
    compute_type: str | None
    batch_size: int
    chunk_size: int
    threads: int
    residency: str
    diarization_mode: DiarizationMode | None = None
    """None: what is the default of the model."""
    preload: bool = False
    log_level: str = "info"
    log_format: LogFormat = LogFormat.TEXT


@dataclass(frozen=True)
class Inputs:
    """What the earlier stages made, as far as a stage needs it."""

    audio: Audio
    transcription: Transcription | None = None
    alignment: Alignment | None = None
    diarization: Diarization | None = None
    voices: tuple[Voice, ...] = ()
    """Those of known speakers."""


@dataclass(frozen=True)
class Attempt:
    """Which run of which job a message belongs to. A result of an old epoch is refused."""

    task_id: str
    epoch: int


# --- to the engine ---


@dataclass(frozen=True)
class RunStage:
    """Run one stage of one job. Of those that wait, the lowest rank goes first."""

    attempt: Attempt
    stage: Stage
    options: Options
    inputs: Inputs
    rank: tuple[int, int] = (0, 0)
    kind: Literal["run_stage"] = "run_stage"


@dataclass(frozen=True)
class CancelStage:
    """Stop this job's stage between two batches."""

    attempt: Attempt
    stage: Stage
    kind: Literal["cancel_stage"] = "cancel_stage"


@dataclass(frozen=True)
class UnloadModels:
    """Let models go, by the names under which they are told as loaded; one that a stage needs goes when it is done."""

    models: tuple[str, ...]
    kind: Literal["unload"] = "unload"


# --- from the engine ---


@dataclass(frozen=True)
class EngineReady:
    """The engine has its libraries and its device."""

    device: str
    device_name: str
    memory_total: int | None = None
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True)
class StageProgress:
    """`fraction` of the stage is done, 0..1; `message` says what it is at."""

    attempt: Attempt
    stage: Stage
    fraction: float
    message: str | None = None
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True)
class SegmentReady:
    """A chunk's text is final; its words and speakers come later."""

    attempt: Attempt
    segment: Segment
    stage: Stage = Stage.TRANSCRIBE
    kind: Literal["segment"] = "segment"


StageResult = Union[Transcription, Alignment, Diarization, Transcript]


@dataclass(frozen=True)
class StageDone:
    """The stage's result, as JSON of the type that `RESULT_TYPES` names."""

    attempt: Attempt
    stage: Stage
    result: str
    kind: Literal["done"] = "done"


@dataclass(frozen=True)
class StageFailed:
    """The stage ended with an error. `retryable` is False where trying again can't help.

    `out_of_memory`: the device's memory did not suffice, which may be for what else was in work. `fatal`: the device is
    lost to this process, which ends.
    """

    attempt: Attempt
    stage: Stage
    reason: str
    retryable: bool
    out_of_memory: bool = False
    fatal: bool = False
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True)
class StageCancelled:
    """The stage stopped because it was asked to."""

    attempt: Attempt
    stage: Stage
    kind: Literal["cancelled"] = "cancelled"


@dataclass(frozen=True)
class ModelsLoaded:
    """The models now on the device, and its memory in use in bytes where it can be measured."""

    models: tuple[str, ...] = field(default_factory=tuple)
    memory_used: int | None = None
    kind: Literal["models"] = "models"


@dataclass(frozen=True)
class ModelFault:
    """Why the model that the settings name for a stage can't be loaded; None as a reason: it can again."""

    stage: Stage
    reason: str | None
    kind: Literal["model_fault"] = "model_fault"


class Retry(str, Enum):
    """What is tried again where memory did not suffice.

    A batch, at half its size; a stage, without the models that it does not need; a stage, with no other beside it.
    """

    BATCH = "batch"
    WITHOUT_MODELS = "without_models"
    ALONE = "alone"


@dataclass(frozen=True)
class MemoryShort:
    """Memory did not suffice, and the engine goes on with less."""

    retry: Retry
    kind: Literal["memory_short"] = "memory_short"


def model_name(loaded: str) -> str:
    """Return the name of the model that is told as loaded: tiny for `transcribe:tiny`, org/w for `align:org/w:en`."""
    kind, _, name = loaded.partition(":")
    return name.rpartition(":")[0] if kind == "align" else name


@dataclass(frozen=True)
class ModelsUnloaded:
    """The answer to `UnloadModels`: what is gone, and what goes as soon as no stage needs it any more."""

    models: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()
    kind: Literal["unloaded"] = "unloaded"


@dataclass(frozen=True)
class Heartbeat:
    """The engine is alive, however long a batch takes."""

    kind: Literal["heartbeat"] = "heartbeat"


ToEngine = Annotated[Union[RunStage, CancelStage, UnloadModels], Field(discriminator="kind")]
FromEngine = Annotated[
    Union[
        EngineReady, StageProgress, SegmentReady, StageDone, StageFailed, StageCancelled, ModelsLoaded, ModelsUnloaded,
        ModelFault, MemoryShort, Heartbeat,
    ],
    Field(discriminator="kind"),
]  # fmt: skip

RESULT_TYPES: dict[Stage, type[Audio] | type[StageResult]] = {
    Stage.DECODE: Audio,
    Stage.TRANSCRIBE: Transcription,
    Stage.ALIGN: Alignment,
    Stage.DIARIZE: Diarization,
    Stage.ASSIGN: Transcript,
}
"""What each stage makes."""

to_engine: TypeAdapter[RunStage | CancelStage | UnloadModels] = TypeAdapter(ToEngine)
from_engine: TypeAdapter[
    EngineReady | StageProgress | SegmentReady | StageDone | StageFailed | StageCancelled | ModelsLoaded
    | ModelsUnloaded | ModelFault | MemoryShort | Heartbeat
] = TypeAdapter(FromEngine)  # fmt: skip


def frame(message: bytes) -> bytes:
    """Put the length before a message."""
    return HEADER.pack(len(message)) + message
