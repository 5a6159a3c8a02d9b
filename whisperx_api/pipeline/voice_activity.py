"""Where speech is: whisperx's voice activity detection, merged into the chunks that are decoded.

Bain et al., "WhisperX: Time-Accurate Speech Transcription of Long-Form Audio", Interspeech 2023, arXiv 2303.00747:
a pyannote segmentation model (`speech_scores`), hysteresis thresholds and merging (`speech`), batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from whisperx.vads import Pyannote

from whisperx_api.pipeline.attention import Chunk
from whisperx_api.pipeline.crew import Crew
from whisperx_api.pipeline.speech import Hysteresis, Merging, Thresholds
from whisperx_api.pipeline.speech_scores import frames_of, speech_scores
from whisperx_api.transcript import SAMPLE_RATE

MIN_SAMPLES = SAMPLE_RATE // 10
"""Shorter recordings hold no word, and voice activity detection needs some frames."""


def speech_chunks(
    vad: Pyannote,
    audio: np.ndarray,
    thresholds: Thresholds,
    crew: Crew,
    *,
    chunk_size: float,
    report: Callable[[float], None],
) -> Iterator[list[Chunk]]:
    """Yield the speech in `audio`, merged into chunks of at most `chunk_size` seconds: after each batch those new.

    `audio` has shape (n_samples,), float32 at 16 kHz. A chunk comes as soon as no sound that follows can change it.
    `report` is told the fraction of the recording that was listened to, 0..1.
    """
    if len(audio) < MIN_SAMPLES:
        return
    inference = vad.vad_pipeline._segmentation  # whisperx's VAD pipeline does no more than call this
    speech, merging = Hysteresis(frames_of(inference), thresholds, chunk_size), Merging(chunk_size)
    end = len(audio) / SAMPLE_RATE  # the last frame may reach over it
    report(0.0)
    for scores in speech_scores(inference, as_tensor(audio)[None], crew):
        chunks = [chunk for span in speech.add(scores.values) for chunk in merging.add(span)]
        chunks += merging.none_ends_before(speech.next_end)
        if scores.done == 1.0:
            chunks += [chunk for span in speech.end() for chunk in merging.add(span)]
            chunks += merging.end()
        report(scores.done)
        yield [_within(chunk, end) for chunk in chunks if chunk.start < end]


def _within(chunk: Chunk, end: float) -> Chunk:
    speech = tuple((first, min(last, end)) for first, last in chunk.speech if first < end)
    return Chunk(chunk.start, min(chunk.end, end), speech)


class _Writable:
    """An array's memory, said to be writable: torch warns of any other, though nothing here writes to it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array  # keeps the memory alive
        interface = array.__array_interface__
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}


def as_tensor(audio: np.ndarray) -> torch.Tensor:
    """Return a tensor over the samples themselves, without a copy. Nothing may write to it."""
    return torch.from_numpy(np.asarray(audio if audio.flags.writeable else _Writable(audio)))
