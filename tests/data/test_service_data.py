"""The service itself on recordings with human truth: every word with its speaker, in every container."""

from __future__ import annotations

from pathlib import Path

import jiwer
import pytest

from bench.references import JFK, normal, rttm, stm
from bench.scoring import annotation, diarization_error, speaker_word_error, words_of
from tests.server import Server


def transcript(server: Server, recording: Path, **fields: str) -> dict:
    status = server.wait(server.upload(recording, **fields), seconds=300)
    assert status["status"] == "completed", status["error"]
    return status["result"]


def test_clean_dialogue_has_every_word_with_its_speaker(server: Server, data_dir: Path) -> None:
    folder = data_dir / "katiesteve"
    result = transcript(server, folder / "katiesteve.flac")
    turns = annotation((part["start"], part["end"], part["speaker"]) for part in result["segments"])
    errors = {
        "cpWER": float(speaker_word_error(stm(folder / "katiesteve.stm"), words_of(result))),
        "DER": float(diarization_error(rttm(folder / "katiesteve.rttm"), turns, result["duration"], collar=0.25)),
    }
    print(errors)
    assert len(result["speakers"]) == 2
    assert errors["cpWER"] < 0.03
    assert errors["DER"] < 0.10


@pytest.mark.parametrize("container", ["mp3", "m4a", "opus", "webm"])
def test_containers_give_the_same_words(server: Server, data_dir: Path, container) -> None:
    result = transcript(server, data_dir / "misc" / f"jfk.{container}", enable_diarization="false", language="en")
    assert jiwer.wer(normal(JFK), normal(result["text"])) < 0.10
    assert result["duration"] == pytest.approx(11.0, abs=0.05)


def test_one_speaker_is_found_to_be_one(server: Server, data_dir: Path) -> None:
    result = transcript(server, data_dir / "katiesteve" / "enrolment_katie.flac")
    assert [speaker["id"] for speaker in result["speakers"]] == ["SPEAKER_00"]


def test_number_of_speakers_is_kept_to(server: Server, data_dir: Path) -> None:
    result = transcript(server, data_dir / "katiesteve" / "katiesteve.flac", num_speakers="1")
    assert [speaker["id"] for speaker in result["speakers"]] == ["SPEAKER_00"]
