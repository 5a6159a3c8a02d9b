"""How a recording looks: the lowest and the highest sample of each of many short stretches, to be drawn."""

from __future__ import annotations

import base64

import numpy as np

from whisperx_api.transcript import SAMPLE_RATE, Audio, Waveform

SHORTEST = SAMPLE_RATE // 100
"""Samples that one pixel stands for in a short recording: 10 ms."""
MOST_PIXELS = 12_000
"""Pixels of a long one, which stand for the longer each: 3 s in ten hours."""
PIXELS_AT_ONCE = 256
"""Pixels whose samples are in memory at once."""
LARGEST = 127


def waveform(sound: np.ndarray, audio: Audio) -> Waveform:
    """Return the waveform of a recording whose file holds `sound`, shape = (n_samples,), float32 in -1..1.

    Of several channels it is the lowest and highest sample of any. What is louder than full scale is cut off there.
    """
    step = max(SHORTEST, -(-audio.samples // MOST_PIXELS))
    block = step * PIXELS_AT_ONCE
    peaks = np.zeros((-(-audio.samples // step), 2), dtype=np.int8)
    for channel in range(audio.channels):
        its = sound[audio.begins(channel) :][: audio.samples]
        for start in range(0, audio.samples, block):
            stretch = its[start : start + block]
            edges = np.arange(0, len(stretch), step)
            first = start // step
            place = peaks[first : first + len(edges)]
            lowest = _whole(np.fmin.reduceat(stretch, edges))
            highest = _whole(np.fmax.reduceat(stretch, edges))
            place[:, 0] = np.minimum(place[:, 0], lowest)
            place[:, 1] = np.maximum(place[:, 1], highest)
    return Waveform(step, base64.b64encode(peaks.tobytes()).decode())


def _whole(samples: np.ndarray) -> np.ndarray:
    """Return samples in -1..1 as whole numbers of 8 bits; what is no number is silence."""
    return np.round(np.clip(np.nan_to_num(samples), -1, 1) * LARGEST).astype(np.int8)
