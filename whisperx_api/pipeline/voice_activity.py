"""Where speech is: whisperx's voice activity detection, merged into the chunks that are decoded.

Bain et al., "WhisperX: Time-Accurate Speech Transcription of Long-Form Audio", Interspeech 2023, arXiv 2303.00747:
a pyannote segmentation model, hysteresis thresholds, and a cut at the quietest point where speech goes on for too long.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from whisperx.vads import Pyannote

from whisperx_api.pipeline.attention import Chunk
from whisperx_api.transcript import SAMPLE_RATE

MIN_SAMPLES = SAMPLE_RATE // 10
"""Shorter recordings hold no word, and voice activity detection needs some frames."""


def speech_chunks(
    vad: Pyannote,
    audio: np.ndarray,
    *,
    chunk_size: float,
    onset: float,
    offset: float,
    report: Callable[[float], None],
) -> list[Chunk]:
    """Return the speech in `audio`, merged into chunks of at most `chunk_size` seconds.

    `audio` has shape (n_samples,), float32 at 16 kHz. Speech begins where the probability of it rises above `onset` and
    ends where it falls below `offset`, both 0..1. `report` is told the fraction done, 0..1.
    """
    if len(audio) < MIN_SAMPLES:
        return []

    def hook(completed: int, total: int) -> None:
        report(min(1.0, float(completed) / total))

    file = {"waveform": as_tensor(audio)[None], "sample_rate": SAMPLE_RATE}
    # whisperx's VAD pipeline does no more than call this, and hands no hook on
    scores = vad.vad_pipeline._segmentation(file, hook=hook)
    merged = Pyannote.merge_chunks(scores, chunk_size, onset=onset, offset=offset)
    end = len(audio) / SAMPLE_RATE  # the last frame may reach over it
    return [
        Chunk(
            start=chunk["start"],
            end=min(chunk["end"], end),
            speech=tuple((first, min(last, end)) for first, last in chunk["segments"] if first < end),
        )
        for chunk in merged
        if chunk["start"] < end
    ]


class _Writable:
    """An array's memory, said to be writable: torch warns of any other, though nothing here writes to it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array  # keeps the memory alive
        interface = array.__array_interface__
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}


def as_tensor(audio: np.ndarray) -> torch.Tensor:
    """Return a tensor over the samples themselves, without a copy. Nothing may write to it."""
    return torch.from_numpy(np.asarray(audio if audio.flags.writeable else _Writable(audio)))
