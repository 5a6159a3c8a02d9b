"""Diarization error of the starter models on recordings with known turns (no collar, overlap counted).

Measured on katiesteve and pooled over eight far-field AMI excerpts: exact 6.6 and 33.3 %, fast 6.6 and 33.0 %.
"""

from __future__ import annotations

from pathlib import Path

import soundfile
import torch
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from whisperx_api.options import DiarizationMode
from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.diarizers import load_diarizer
from whisperx_api.transcript import SAMPLE_RATE, Diarization


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


def test_fast_is_as_good_as_exact(starter_dir: Path, data_dir: Path) -> None:
    clean, meetings = data_dir / "katiesteve" / "katiesteve.flac", sorted((data_dir / "ami").glob("*.flac"))
    assert len(meetings) == 8
    errors: dict[DiarizationMode, tuple[float, float]] = {}
    for mode in DiarizationMode:
        diarizer = load_diarizer(starter_dir, device=torch.device("cpu"), batch_size=8, mode=mode)
        two, many = DiarizationErrorRate(), DiarizationErrorRate()
        result = score(two, diarizer, clean)
        assert {turn.speaker for turn in result.turns} == {"SPEAKER_00", "SPEAKER_01"}
        for recording in meetings:
            score(many, diarizer, recording)
        errors[mode] = abs(two), abs(many)
    (exact_clean, exact), (fast_clean, fast) = errors[DiarizationMode.EXACT], errors[DiarizationMode.FAST]
    assert exact_clean < 0.08 and exact < 0.36
    assert fast_clean <= exact_clean and fast <= exact + 0.01
