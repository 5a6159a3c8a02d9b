"""The pipeline on one screen: sound to labelled transcript, stage by stage.

The stages are pure: arrays, dataclasses and loaded models in, dataclasses out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from whisperx_api.options import Options, Task
from whisperx_api.pipeline.align import Aligner, from_attention
from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.speakers import assign as assign_speakers
from whisperx_api.pipeline.transcribe import Transcriber
from whisperx_api.transcript import Alignment, Audio, Diarization, Segment, Transcript, Transcription

Report = Callable[[float], None]
"""Is told what fraction of a stage is done, 0..1, and may raise to stop the stage."""


class Models(Protocol):
    """Provides loaded models. They may go when a stage has returned, so no stage keeps one."""

    def transcriber(self, name: str | None) -> Transcriber: ...

    def aligner(self, name: str, language: str) -> Aligner: ...

    def diarizer(self) -> Diarizer: ...

    def choose_aligner(self, language: str) -> AlignerChoice: ...


@dataclass(frozen=True)
class AlignerChoice:
    """The alignment model for a language; `name` is None where word times come from cross-attention."""

    name: str | None
    warning: str | None = None


@dataclass(frozen=True)
class Decoding:
    """How chunks are decoded: `chunk_size` in seconds, `batch_size` in chunks."""

    batch_size: int = 16
    chunk_size: int = 30


def samples(audio: Audio) -> np.ndarray:
    """Return the decoded recording, shape = (n_samples,), float32, as a read-only view of its file."""
    if not audio.samples:
        return np.zeros(0, dtype=np.float32)
    return np.memmap(Path(audio.path), dtype=np.float32, mode="r", shape=(audio.samples,))


def transcribe(
    audio: Audio,
    options: Options,
    models: Models,
    decoding: Decoding,
    report: Report,
    on_segment: Callable[[Segment], None] = lambda segment: None,
) -> Transcription:
    """Decode speech to text; `on_segment` gets each chunk as it is final."""
    transcriber = models.transcriber(options.model)
    report(0.0)
    heard = transcriber(
        samples(audio), options, word_times=lambda language: models.choose_aligner(language).name is None,
        report=report, batch_size=decoding.batch_size, chunk_size=decoding.chunk_size, on_segment=on_segment,
    )  # fmt: skip
    if options.task is Task.TRANSLATE or not heard.segments:
        return heard
    choice = models.choose_aligner(heard.language)
    warnings = (*heard.warnings, choice.warning) if choice.warning else heard.warnings
    return replace(heard, align_model=choice.name, warnings=warnings)


def align(audio: Audio, transcription: Transcription, models: Models, report: Report) -> Alignment:
    """Give every word its times, and cut the chunks into sentences."""
    if transcription.align_model is None:
        return from_attention(transcription)
    aligner = models.aligner(transcription.align_model, transcription.language)
    report(0.0)
    return aligner(samples(audio), transcription, report=report)


def diarize(audio: Audio, options: Options, models: Models, report: Report) -> Diarization:
    """Find who speaks when."""
    diarizer = models.diarizer()
    return diarizer(
        samples(audio), num_speakers=options.num_speakers, min_speakers=options.min_speakers,
        max_speakers=options.max_speakers, report=report,
    )  # fmt: skip


def assign(
    audio: Audio,
    options: Options,
    transcription: Transcription,
    alignment: Alignment | None,
    diarization: Diarization | None,
) -> Transcript:
    """Give every word its speaker, and cut segments where the speaker changes."""
    return assign_speakers(
        transcription, alignment, diarization, duration=audio.duration, audio_warnings=audio.warnings,
        embeddings=options.speaker_embeddings,
    )  # fmt: skip


def run(audio: Audio, options: Options, models: Models, decoding: Decoding, report: Report) -> Transcript:
    """Run every stage in its order, as the service does with a job."""
    transcription = transcribe(audio, options, models, decoding, report)
    alignment = align(audio, transcription, models, report) if options.task is Task.TRANSCRIBE else None
    diarization = diarize(audio, options, models, report) if options.enable_diarization else None
    return assign(audio, options, transcription, alignment, diarization)
