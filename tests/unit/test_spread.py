"""Where speech is looked for that tells a recording's language."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from whisperx.audio import N_SAMPLES

from whisperx_api.pipeline.speech import Thresholds
from whisperx_api.pipeline.spread import LOOKS, WINDOWS, sections, speech_in
from whisperx_api.transcript import SAMPLE_RATE

THRESHOLDS = Thresholds(0.5, 0.4)


class Ear:
    """Voice activity that hears speech where samples are not zero, and keeps how many windows it was given."""

    duration = 5.0
    pre_aggregation_hook = None
    model = SimpleNamespace(audio=SimpleNamespace(get_num_samples=lambda seconds: int(seconds * SAMPLE_RATE)))

    def __init__(self) -> None:
        self.windows = 0

    def infer(self, windows: torch.Tensor) -> np.ndarray:
        self.windows += len(windows)
        return (windows.reshape(len(windows), 500, -1).abs().amax(dim=-1, keepdim=True) > 0).float().numpy()


def windows_of(*stretches: tuple[float, float]) -> tuple[list[tuple[float, float]], int]:
    """Say of each window but the first how long it is and what its samples are on average, and how many were heard."""
    audio = np.concatenate([np.full(int(seconds * SAMPLE_RATE), key, dtype=np.float32) for seconds, key in stretches])
    ear: Any = Ear()
    later = [speech_in(ear, audio, section, THRESHOLDS) for section in sections(len(audio))[1:]]
    found = [one for one in later if len(one)]
    return [(round(len(one) / SAMPLE_RATE, 1), round(float(one.mean()), 3)) for one in found], ear.windows


@pytest.mark.parametrize("seconds", [0.5, 30.0, 31.0, 60.0, 100.0, 600.0, 1800.0])
def test_sections_cover_the_recording_and_the_last_is_looked_through_from_its_end(seconds: float) -> None:
    n_samples = int(seconds * SAMPLE_RATE)
    found = sections(n_samples)
    assert len(found) == (1 if seconds <= 30 else 2 if seconds <= 240 else WINDOWS)
    heard = np.zeros(n_samples, dtype=np.int8)
    for block in (block for section in found for block in section):
        assert 0 < block.stop - block.start <= N_SAMPLES
        heard[block] += 1
    assert (heard == 1).all()
    assert found[0][0].start == 0 and found[-1][0].stop == n_samples


def test_little_of_a_very_long_recording_is_looked_through() -> None:
    n_samples = 10 * 3600 * SAMPLE_RATE
    for section in (found := sections(n_samples)):
        assert LOOKS / 2 < len(section) <= LOOKS
        assert abs(section[-1].start - section[0].start) > 0.9 * n_samples / len(found) - N_SAMPLES


def test_half_a_minute_is_one_section() -> None:
    assert windows_of((30.0, 1.0)) == ([], 0)


def test_windows_are_speech_of_the_end_and_between() -> None:
    found, looked_at = windows_of(*[(30.0, float(key)) for key in range(1, 21)])
    assert found == [(30.0, 5.0), (30.0, 9.0), (30.0, 13.0), (30.0, 20.0)]
    assert looked_at == 4 * 6


def test_silence_is_passed_over_and_gives_no_window() -> None:
    found, _ = windows_of((60.0, 1.0), (40.0, 0.0), (25.0, 2.0), (115.0, 0.0))
    assert found == [
        (pytest.approx(5.0, abs=0.1), pytest.approx(2.0, abs=0.01)),
    ]
    assert windows_of((60.0, 1.0), (60.0, 0.0))[0] == []


def test_speech_of_a_window_is_joined() -> None:
    found, _ = windows_of((60.0, 1.0), (40.0, 0.0), (4.0, 2.0), (2.0, 0.0), (4.0, 2.0), (10.0, 0.0))
    assert found == [(pytest.approx(8.0, abs=0.1), pytest.approx(2.0, abs=0.05))]


def test_sound_shorter_than_a_window_of_the_network_is_no_hindrance() -> None:
    found, _ = windows_of((30.0, 0.0), (3.0, 7.0))
    assert found[0] == (3.0, 7.0)
