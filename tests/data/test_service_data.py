"""The service itself on recordings with human truth: every word with its speaker, in every container."""

from __future__ import annotations

from pathlib import Path

import jiwer
import pytest

from tests import scoring
from tests.server import Server


def transcript(server: Server, recording: Path, **fields: str) -> dict:
    status = server.wait(server.upload(recording, **fields), seconds=300)
    assert status["status"] == "completed", status["error"]
    return status["result"]


def test_clean_dialogue_has_every_word_with_its_speaker(server: Server, data_dir: Path) -> None:
    folder = data_dir / "katiesteve"
    result = transcript(server, folder / "katiesteve.flac")
    errors = {
        "cpWER": scoring.speaker_word_error(folder / "katiesteve.stm", result),
        "DER": scoring.diarization_error(folder / "katiesteve.rttm", result, collar=0.25),
    }
    print(errors)
    assert len(result["speakers"]) == 2
    assert errors["cpWER"] < 0.03
    assert errors["DER"] < 0.10


@pytest.mark.parametrize("container", ["mp3", "m4a", "opus", "webm"])
def test_containers_give_the_same_words(server: Server, data_dir: Path, container) -> None:
    result = transcript(server, data_dir / "misc" / f"jfk.{container}", enable_diarization="false", language="en")
    said = "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
    assert jiwer.wer(scoring.normal(said), scoring.normal(result["text"])) < 0.10
    assert result["duration"] == pytest.approx(11.0, abs=0.05)


def test_one_speaker_is_found_to_be_one(server: Server, data_dir: Path) -> None:
    result = transcript(server, data_dir / "katiesteve" / "enrolment_katie.flac")
    assert [speaker["id"] for speaker in result["speakers"]] == ["SPEAKER_00"]


def test_number_of_speakers_is_kept_to(server: Server, data_dir: Path) -> None:
    result = transcript(server, data_dir / "katiesteve" / "katiesteve.flac", num_speakers="1")
    assert [speaker["id"] for speaker in result["speakers"]] == ["SPEAKER_00"]
