"""Known speakers on a clean dialogue: who is in it is named, whatever the order of the names, and who is not is not.

The recordings of each speaker alone that come with it are not of the voices in the dialogue: measured with CAM++, they
are 0.80 to 0.97 from both, so that there the truth is that nobody is known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from bench.references import rttm
from whisperx_api.options import DiarizationMode
from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.diarizers import load_diarizer
from whisperx_api.transcript import SAMPLE_RATE, Diarization

CUTS = {"KATIE": (3.9, 8.9), "STEVE": (12.5, 18.5)}
"""Seconds in which each of them talks alone."""


@pytest.fixture(scope="module", params=list(DiarizationMode))
def diarizer(request, starter_dir: Path) -> Diarizer:
    return load_diarizer(starter_dir, device=torch.device("cpu"), batch_size=8, mode=request.param)


@pytest.fixture(scope="module")
def dialogue(data_dir: Path) -> np.ndarray:
    return soundfile.read(data_dir / "katiesteve" / "katiesteve.flac", dtype="float32")[0]


def named(found: Diarization, data_dir: Path) -> dict[str, str]:
    """Return for each name given whose of the reference's turns those so named overlap most."""
    truth = rttm(data_dir / "katiesteve" / "katiesteve.rttm")
    return {
        name: max(map(str, truth.labels()), key=lambda who: sum(
            max(0.0, min(turn.end, true.end) - max(turn.start, true.start))
            for turn in found.turns if turn.speaker == label for true in truth.label_timeline(who)
        ))
        for label, name in found.names.items()
    }  # fmt: skip


def cut(sound: np.ndarray, who: str) -> np.ndarray:
    start, end = CUTS[who]
    return sound[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]


@pytest.mark.parametrize("order", [("KATIE", "STEVE"), ("STEVE", "KATIE")])
def test_speakers_are_named_by_cuts_of_their_own_talk(diarizer: Diarizer, dialogue, data_dir: Path, order) -> None:
    found = diarizer(dialogue, voices={who: cut(dialogue, who) for who in order})
    assert named(found, data_dir) == {"KATIE": "KATIE", "STEVE": "STEVE"}
    assert found.warnings == ()


def test_voices_that_are_not_in_the_recording_name_nobody(diarizer: Diarizer, dialogue, data_dir: Path) -> None:
    voices = {
        who: soundfile.read(data_dir / "katiesteve" / f"enrolment_{who}.flac", dtype="float32")[0][: 10 * SAMPLE_RATE]
        for who in ("katie", "steve")
    }
    found = diarizer(dialogue, voices=voices)
    assert len(found.embeddings) == 2 and found.names == {}
    assert [said.partition(":")[0].rpartition(" ")[2] for said in found.warnings] == ["katie", "steve"]


def test_a_voice_is_known_in_the_rest_of_its_own_recording(diarizer: Diarizer, data_dir: Path) -> None:
    sounds = {
        who: soundfile.read(data_dir / "katiesteve" / f"enrolment_{who}.flac", dtype="float32")[0]
        for who in ("katie", "steve")
    }
    voices = {who: sound[: 8 * SAMPLE_RATE] for who, sound in sounds.items()}
    found = diarizer(sounds["katie"][8 * SAMPLE_RATE :], voices=voices)
    assert set(found.names.values()) == {"katie"}
