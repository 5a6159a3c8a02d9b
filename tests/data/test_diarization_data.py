"""Diarization error of the starter models on recordings with known turns (no collar, overlap counted).

Measured: 6.6 % on katiesteve and 33.3 % pooled over eight far-field AMI excerpts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from bench.references import rttm
from bench.scoring import Rate, annotation, diarization_error
from whisperx_api.pipeline.diarize import Diarizer, load_diarizer
from whisperx_api.transcript import SAMPLE_RATE, Diarization


@pytest.fixture(scope="module")
def diarizer(starter_dir: Path) -> Diarizer:
    return load_diarizer(starter_dir, device=torch.device("cpu"), batch_size=8)


def score(diarizer: Diarizer, recording: Path) -> tuple[Rate, Diarization]:
    """Diarize a recording; return its error, and what was found."""
    samples, rate = soundfile.read(recording, dtype="float32")
    assert rate == SAMPLE_RATE
    found = diarizer(samples)
    turns = annotation((turn.start, turn.end, turn.speaker) for turn in found.turns)
    return diarization_error(rttm(recording.with_suffix(".rttm")), turns, len(samples) / SAMPLE_RATE, 0.0), found


def test_two_clean_speakers(diarizer: Diarizer, data_dir: Path) -> None:
    error, found = score(diarizer, data_dir / "katiesteve" / "katiesteve.flac")
    assert {turn.speaker for turn in found.turns} == {"SPEAKER_00", "SPEAKER_01"}
    assert float(error) < 0.08


def test_far_field_meetings(diarizer: Diarizer, data_dir: Path) -> None:
    recordings = sorted((data_dir / "ami").glob("*.flac"))
    assert len(recordings) == 8
    pooled = Rate()
    for recording in recordings:
        pooled += score(diarizer, recording)[0]
    assert float(pooled) < 0.36
