"""Diarization error of the starter models on recordings with known turns (no collar, overlap counted).

Measured: 6.6 % on katiesteve and 33.3 % pooled over eight far-field AMI excerpts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from whisperx_api.pipeline.diarize import Diarizer, load_diarizer
from whisperx_api.transcript import SAMPLE_RATE, Diarization


@pytest.fixture(scope="module")
def diarizer(starter_dir: Path) -> Diarizer:
    return load_diarizer(starter_dir, device=torch.device("cpu"), batch_size=8)


def score(metric: DiarizationErrorRate, diarizer: Diarizer, recording: Path) -> Diarization:
    """Diarize a recording and add its errors to `metric`."""
    samples, rate = soundfile.read(recording, dtype="float32")
    assert rate == SAMPLE_RATE
    reference, hypothesis = Annotation(), Annotation()
    for i, line in enumerate(recording.with_suffix(".rttm").read_text().splitlines()):
        fields = line.split()
        reference[Segment(float(fields[3]), float(fields[3]) + float(fields[4])), i] = fields[7]
    result = diarizer(samples)
    for i, turn in enumerate(result.turns):
        hypothesis[Segment(turn.start, turn.end), i] = turn.speaker
    metric(reference, hypothesis, uem=Timeline([Segment(0, len(samples) / SAMPLE_RATE)]))
    return result


def test_two_clean_speakers(diarizer: Diarizer, data_dir: Path) -> None:
    metric = DiarizationErrorRate()
    result = score(metric, diarizer, data_dir / "katiesteve" / "katiesteve.flac")
    assert {turn.speaker for turn in result.turns} == {"SPEAKER_00", "SPEAKER_01"}
    assert abs(metric) < 0.08


def test_far_field_meetings(diarizer: Diarizer, data_dir: Path) -> None:
    metric = DiarizationErrorRate()
    recordings = sorted((data_dir / "ami").glob("*.flac"))
    assert len(recordings) == 8
    for recording in recordings:
        score(metric, diarizer, recording)
    assert abs(metric) < 0.36
