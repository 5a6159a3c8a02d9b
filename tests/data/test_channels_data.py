"""Channels taken apart, through the service, on a recording with another speaker on each."""

from __future__ import annotations

from pathlib import Path

import jiwer

from bench.references import STEREO, normal
from tests.server import Server


def test_words_are_those_of_their_channel_s_speaker(server: Server, data_dir: Path) -> None:
    task_id = server.upload(data_dir / "misc" / "stereo_diarization.wav", channels="separate", language="en")
    status = server.wait(task_id, seconds=300)
    assert status["status"] == "completed", status["error"]
    result = status["result"]
    said = [
        " ".join(part["text"] for part in result["segments"] if part["speaker"] == speaker["id"])
        for speaker in result["speakers"]
    ]
    assert len(said) == 2
    by_length = sorted(said, key=len)
    errors = [
        jiwer.wer(normal(STEREO[side]), normal(text)) for side, text in zip(("right", "left"), by_length, strict=True)
    ]
    print(said, errors)
    assert max(errors) < 0.13
    starts = [part["start"] for part in result["segments"]]
    assert starts == sorted(starts)
    assert result["duration"] < 6.0 and all(part["end"] <= result["duration"] for part in result["segments"])
    assert result["segments"][0]["speaker"] == "SPEAKER_00"
    assert (result["models"]["diarize"], result["warnings"]) == (None, [])
