"""The channels of a recording, decoded to a file each, put together in one. Runs in the decoder process."""

from __future__ import annotations

import mmap  # noqa: F401  # numpy imports it when it maps a file, and by then the process may read no libraries
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from whisperx_api.pipeline.sparse import SparseFile
from whisperx_api.transcript import CHANNEL_GAP, SAMPLE_RATE

BLOCK = 10 * SAMPLE_RATE
"""Samples that are compared at once."""

SAME = 1e-3
"""Most energy that the difference of two channels may have, by their own, where they are one sound: codecs that keep
what channels share apart from what they don't leave less, and what another microphone hears differs by far more."""

QUIET = 1e-8
"""Mean square of samples in -1..1 below which nothing is to be heard: 80 dB below full scale."""


def same_sound(first: Path, second: Path) -> bool:
    """Return whether two files of float32 samples hold the same sound; silence is none."""
    heard = False
    one, other = (np.memmap(path, np.float32, "r") for path in (first, second))
    for start in range(0, len(one), BLOCK):
        a, b = one[start : start + BLOCK], other[start : start + BLOCK]
        energy = max(float(a @ a), float(b @ b))
        if energy < QUIET * len(a):
            continue
        apart = a - b
        if float(apart @ apart) > SAME * energy:
            return False
        heard = True
    return heard


def doubles(parts: Sequence[Path]) -> dict[int, int]:
    """Return for each channel that holds the sound of an earlier one which that is. Both are counted from 0."""
    found: dict[int, int] = {}
    for later in range(1, len(parts)):
        earlier = (some for some in range(later) if some not in found)
        same = next((some for some in earlier if same_sound(parts[some], parts[later])), None)
        if same is not None:
            found[later] = same
    return found


def join(target: Path, others: Sequence[Path]) -> None:
    """Append the files `others` to `target`, each after `CHANNEL_GAP` of silence. Raises `OSError`."""
    with target.open("r+b") as file:
        sink = SparseFile(file)
        for part in others:
            sink.skip(CHANNEL_GAP * np.dtype(np.float32).itemsize)
            with part.open("rb") as source:
                while block := source.read(BLOCK):
                    sink.write(block)
        sink.finish()
        os.fsync(file.fileno())
