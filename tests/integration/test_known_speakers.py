"""Known speakers named by their voices, on the sample that pyannote ships, with the starter models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from whisperx_api.options import DiarizationMode
from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.diarizers import load_diarizer
from whisperx_api.transcript import SAMPLE_RATE


@pytest.fixture(scope="module", params=list(DiarizationMode))
def diarizer(request, starter_dir: Path) -> Diarizer:
    return load_diarizer(starter_dir, device=torch.device("cpu"), batch_size=8, mode=request.param)


@pytest.fixture(scope="module")
def sample(sample_dir: Path) -> np.ndarray:
    return soundfile.read(sample_dir / "sample.wav", dtype="float32")[0]


@pytest.fixture(scope="module")
def cuts(sample: np.ndarray, sample_dir: Path) -> dict[str, tuple[float, np.ndarray]]:
    """The longest turn of each speaker: its middle in seconds, and its sound."""
    longest: dict[str, tuple[float, float]] = {}
    for line in (sample_dir / "sample.rttm").read_text().splitlines():
        fields = line.split()
        start, length, who = float(fields[3]), float(fields[4]), fields[7]
        if length > longest.get(who, (0.0, 0.0))[1]:
            longest[who] = (start, length)
    return {
        who: (start + length / 2, sample[int(start * SAMPLE_RATE) : int((start + length) * SAMPLE_RATE)])
        for who, (start, length) in longest.items()
    }


def test_speakers_have_the_names_of_their_voices(diarizer: Diarizer, sample: np.ndarray, cuts) -> None:
    (one, (_, first)), (other, (when, second)) = cuts.items()
    found = diarizer(sample, voices={other: second, one: first, "nobody": np.zeros(3 * SAMPLE_RATE, np.float32)})
    assert sorted(found.names.values()) == sorted((one, other))
    (speaker,) = (turn.speaker for turn in found.exclusive if turn.start <= when <= turn.end)
    assert found.names[speaker] == other
    assert found.warnings == ("The reference of nobody holds too little speech: the name was given to nobody.",)


def test_speaker_who_is_not_there_is_not_named(diarizer: Diarizer, sample: np.ndarray, sample_dir: Path, cuts) -> None:
    for one, other in (tuple(cuts), tuple(reversed(cuts))):
        alone = sample.copy()
        for line in (sample_dir / "sample.rttm").read_text().splitlines():
            start, length, who = float(line.split()[3]), float(line.split()[4]), line.split()[7]
            if who == other:
                alone[int(start * SAMPLE_RATE) : int((start + length) * SAMPLE_RATE)] = 0.0
        found = diarizer(alone, voices={other: cuts[other][1]})
        assert found.embeddings and found.names == {}
        (said,) = found.warnings
        assert said.startswith(
            f"Nobody in the recording sounds like the reference of {other}: the nearest speaker is at"
        )
        assert set(diarizer(alone, voices={who: cuts[who][1] for who in cuts}).names.values()) == {one}
