"""The pipeline on one screen: sound to labelled transcript, stage by stage.

The stages are pure: arrays, dataclasses and loaded models in, dataclasses out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from whisperx_api.options import Channels, Options, Task
from whisperx_api.pipeline.align import Aligner, from_attention
from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.separate import placed
from whisperx_api.pipeline.speakers import assign as assign_speakers
from whisperx_api.pipeline.transcribe import Transcriber
from whisperx_api.pipeline.waveform import waveform
from whisperx_api.transcript import Alignment, Audio, Diarization, Segment, Transcript, Transcription, Voice

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


def samples(audio: Audio, channel: int | None = None) -> np.ndarray:
    """Return the decoded recording, shape = (n_samples,), float32, as a read-only view of its file.

    It is that of one channel, or of all of them, one after the other.
    """
    if not audio.samples:
        return np.zeros(0, dtype=np.float32)
    whole = np.memmap(Path(audio.path), dtype=np.float32, mode="r", shape=(audio.file_samples,))
    return whole if channel is None else whole[audio.begins(channel) :][: audio.samples]


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
    separate = options.channels is Channels.SEPARATE
    report(0.0)
    heard = transcriber(
        samples(audio), options, word_times=lambda language: models.choose_aligner(language).name is None,
        report=report, batch_size=decoding.batch_size, chunk_size=decoding.chunk_size,
        on_segment=(lambda segment: on_segment(placed(audio, segment))) if separate else on_segment,
    )  # fmt: skip
    if separate:
        heard = replace(heard, segments=tuple(placed(audio, segment) for segment in heard.segments))
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
    channels = sorted({segment.channel for segment in transcription.segments}, key=lambda channel: channel or 0)
    sentences: list[Segment] = []
    for place, channel in enumerate(channels or [None]):
        its = tuple(segment for segment in transcription.segments if segment.channel == channel)
        aligned = aligner(
            samples(audio, channel), replace(transcription, segments=its),
            report=partial(_report_part, report, place, len(channels)),
        )  # fmt: skip
        sentences.extend(aligned.segments)
    return Alignment(tuple(sentences), aligner.name)


def _report_part(report: Report, place: int, of: int, fraction: float) -> None:
    """Report the fraction of one part as that of all, which take turns."""
    report((place + fraction) / max(of, 1))


def diarize(
    audio: Audio, options: Options, models: Models, report: Report, voices: Sequence[Voice] = ()
) -> Diarization:
    """Find who speaks when; who has one of the `voices` is named."""
    diarizer = models.diarizer()
    return diarizer(
        samples(audio), num_speakers=options.num_speakers, min_speakers=options.min_speakers,
        max_speakers=options.max_speakers, report=report,
        voices={voice.name: np.fromfile(voice.path, np.float32) for voice in voices},
    )  # fmt: skip


def assign(
    audio: Audio,
    options: Options,
    transcription: Transcription,
    alignment: Alignment | None,
    diarization: Diarization | None,
) -> Transcript:
    """Give every word its speaker, cut segments where the speaker changes, and see how the recording looks."""
    transcript = assign_speakers(
        transcription, alignment, diarization, duration=audio.duration, audio_warnings=audio.warnings,
        embeddings=options.speaker_embeddings, by_channel=options.channels is Channels.SEPARATE,
    )  # fmt: skip
    return replace(transcript, waveform=waveform(samples(audio), audio))


def run(audio: Audio, options: Options, models: Models, decoding: Decoding, report: Report) -> Transcript:
    """Run every stage in its order, as the service does with a job."""
    transcription = transcribe(audio, options, models, decoding, report)
    alignment = align(audio, transcription, models, report) if options.task is Task.TRANSCRIBE else None
    told_apart = options.enable_diarization and options.channels is not Channels.SEPARATE
    diarization = diarize(audio, options, models, report) if told_apart else None
    return assign(audio, options, transcription, alignment, diarization)
