"""Speech from all over a recording, found without listening to all of it: what its language is told by.

A recording is cut into sections, and each gives a window of its speech. To find that, the voice activity network looks
at windows side by side, a tenth of those that chunks are found with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from pyannote.audio import Inference
from pyannote.core import SlidingWindow
from whisperx.audio import N_SAMPLES

from whisperx_api.pipeline.speech import Hysteresis, Thresholds
from whisperx_api.pipeline.speech_scores import pooled

WINDOWS = 5
"""Most windows that are listened to."""
LISTEN_EVERY = 4
"""One half minute in so many is listened to, and two at least: to encode them all would be a third of the work."""
LOOKS = 20
"""Most half minutes of a section that are looked through, at even distances where it is longer."""
ENOUGH = N_SAMPLES // 2
"""Samples of speech from which on a section is looked through no further."""


def sections(n_samples: int) -> list[list[slice]]:
    """Part a recording into sections: where to look in each, by blocks of at most 30 s, until there is enough."""
    halves = math.ceil(n_samples / N_SAMPLES)
    count = min(WINDOWS, halves, max(2, math.ceil(halves / LISTEN_EVERY)))
    edges = np.linspace(0, n_samples, count + 1).round().astype(int).tolist()
    found = [list(_blocks(start, end)) for start, end in pairwise(edges)]
    if count > 1:  # the last is looked through from the end of the recording
        start, end = edges[-2:]
        found[-1] = [slice(start + end - block.stop, start + end - block.start) for block in found[-1]]
    return found


def _blocks(start: int, end: int) -> Iterator[slice]:
    count = math.ceil((end - start) / N_SAMPLES)
    for place in range(0, count, math.ceil(count / LOOKS) or 1):
        first = start + place * N_SAMPLES
        yield slice(first, min(first + N_SAMPLES, end))


def speech_in(inference: Inference, audio: np.ndarray, section: list[slice], thresholds: Thresholds) -> np.ndarray:
    """Return speech of a section, at most 30 s of it and none where there is none.

    `inference` is that of voice activity; `audio` has shape (n_samples,), float32 at 16 kHz.
    """
    spoken: list[np.ndarray] = []
    for block in section:
        spoken += _speech(inference, np.array(audio[block]), thresholds)
        if sum(map(len, spoken)) >= ENOUGH:
            break
    return np.concatenate([*spoken, np.empty(0, dtype=np.float32)])[:N_SAMPLES]


def _speech(inference: Inference, sound: np.ndarray, thresholds: Thresholds) -> list[np.ndarray]:
    """Return the stretches of speech in at most 30 s of sound."""
    size = inference.model.audio.get_num_samples(inference.duration)
    padded = np.pad(sound, (0, -len(sound) % size))
    scores = pooled(inference, torch.from_numpy(padded).view(-1, 1, size))
    frame = size / scores.shape[1]  # in samples, as all times here
    frames = SlidingWindow(start=0.0, duration=frame, step=frame)
    speech = Hysteresis(frames, thresholds, longest=N_SAMPLES)
    spans = [*speech.add(scores.reshape(-1)), *speech.end()]
    return [sound[int(start) : int(end)] for start, end in spans]
