"""Diarization error of the starter models on recordings with known turns (no collar, overlap counted).

Measured on katiesteve and pooled over eight far-field AMI excerpts: exact 6.6 and 33.3 %, fast 6.6 and 33.0 %.
"""

from __future__ import annotations

from pathlib import Path

import soundfile
import torch

from bench.references import rttm
from bench.scoring import Rate, annotation, diarization_error
from whisperx_api.options import DiarizationMode
from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.diarizers import load_diarizer
from whisperx_api.transcript import SAMPLE_RATE, Diarization


def score(diarizer: Diarizer, recording: Path) -> tuple[Rate, Diarization]:
    """Diarize a recording; return its error, and what was found."""
    samples, rate = soundfile.read(recording, dtype="float32")
    assert rate == SAMPLE_RATE
    found = diarizer(samples)
    turns = annotation((turn.start, turn.end, turn.speaker) for turn in found.turns)
    return diarization_error(rttm(recording.with_suffix(".rttm")), turns, len(samples) / SAMPLE_RATE, 0.0), found


def test_fast_is_as_good_as_exact(starter_dir: Path, data_dir: Path) -> None:
    meetings = sorted((data_dir / "ami").glob("*.flac"))
    assert len(meetings) == 8
    clean: dict[DiarizationMode, float] = {}
    far_field: dict[DiarizationMode, float] = {}
    for mode in DiarizationMode:
        diarizer = load_diarizer(starter_dir, device=torch.device("cpu"), batch_size=8, mode=mode)
        error, found = score(diarizer, data_dir / "katiesteve" / "katiesteve.flac")
        assert {turn.speaker for turn in found.turns} == {"SPEAKER_00", "SPEAKER_01"}
        clean[mode] = float(error)
        pooled = Rate()
        for recording in meetings:
            pooled += score(diarizer, recording)[0]
        far_field[mode] = float(pooled)
    exact, fast = DiarizationMode.EXACT, DiarizationMode.FAST
    assert clean[exact] < 0.08 and far_field[exact] < 0.36
    assert clean[fast] <= clean[exact] and far_field[fast] <= far_field[exact] + 0.01
