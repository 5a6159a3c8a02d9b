"""How a recording looks: the lowest and highest sample of each stretch."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from whisperx_api.pipeline.waveform import MOST_PIXELS, PIXELS_AT_ONCE, SHORTEST, waveform
from whisperx_api.transcript import CHANNEL_GAP, SAMPLE_RATE, Audio


def drawn(sound: np.ndarray, audio: Audio | None = None) -> tuple[int, np.ndarray]:
    made = waveform(sound.astype(np.float32), audio or Audio("", len(sound)))
    return made.samples_per_pixel, np.frombuffer(base64.b64decode(made.peaks), np.int8).reshape(-1, 2)


@pytest.mark.parametrize("pixels", [1, 2, PIXELS_AT_ONCE - 1, PIXELS_AT_ONCE, PIXELS_AT_ONCE + 1, 1000])
@pytest.mark.parametrize("more", [0, 1, SHORTEST - 1])
def test_every_pixel_is_the_extremes_of_its_samples(pixels: int, more: int) -> None:
    sound = np.random.default_rng(pixels).uniform(-1, 1, pixels * SHORTEST + more)
    step, peaks = drawn(sound)
    assert step == SHORTEST and len(peaks) == pixels + bool(more)
    for pixel, (lowest, highest) in enumerate(peaks):
        its = sound[pixel * step : (pixel + 1) * step]
        assert abs(lowest - 127 * min(its.min(), 0)) <= 0.51 and abs(highest - 127 * max(its.max(), 0)) <= 0.51


def test_long_recording_has_no_more_pixels_than_others() -> None:
    seconds = 3600
    sound = np.zeros(seconds * SAMPLE_RATE, np.float32)
    sound[-1] = 1.0
    step, peaks = drawn(sound)
    assert len(peaks) <= MOST_PIXELS < len(peaks) * 1.01 and step == seconds * SAMPLE_RATE / MOST_PIXELS
    assert list(peaks[-1]) == [0, 127] and not peaks[:-1].any()


def test_what_is_louder_than_full_scale_or_no_number_is_drawn_all_the_same() -> None:
    _, peaks = drawn(np.array([7.0, -7.0, np.nan, np.inf]))
    assert peaks.tolist() == [[-127, 127]]


def test_empty_recording_has_no_pixels() -> None:
    assert drawn(np.zeros(0))[1].size == 0


def test_channels_are_drawn_over_one_another() -> None:
    samples = 2 * SHORTEST
    left, right = np.zeros(samples), np.zeros(samples)
    left[0], right[-1] = 0.5, -1.0
    sound = np.concatenate([left, np.zeros(CHANNEL_GAP), right])
    _, peaks = drawn(sound, replace(Audio("", samples), channels=2))
    assert peaks.tolist() == [[0, 64], [-127, 0]]
