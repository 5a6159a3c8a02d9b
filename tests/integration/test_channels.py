"""Channels transcribed apart, through the service, on a telephone call with a channel made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tests.server import Server
from whisperx_api.transcript import SAMPLE_RATE

CUT = 5.0
"""Seconds of the call that are taken: two people speak in them, all of it heard alike by the small model."""
LATER = 10.0
"""Seconds by which the second channel comes later."""


def stereo(sample_dir: Path, path: Path, *silent: bool) -> Path:
    """Write the call on the left, and the same again later on the right; what is `silent` is not written."""
    sound = soundfile.read(sample_dir / "sample.wav", dtype="float32")[0][6 * SAMPLE_RATE :][: int(CUT * SAMPLE_RATE)]
    both = np.zeros((int((CUT + LATER) * SAMPLE_RATE), 2), np.float32)
    for channel, start in ((0, 0), (1, int(LATER * SAMPLE_RATE))):
        if not silent[channel]:
            both[start : start + len(sound), channel] = sound
    soundfile.write(path, both, SAMPLE_RATE)
    return path


def plain(word: dict) -> str:
    """Return a word without its punctuation, which may differ from decoding to decoding."""
    return word["word"].strip(".,?!").lower()


def transcript(server: Server, path: Path, **fields: str) -> dict:
    status = server.wait(server.upload(path, channels="separate", language="en", **fields), seconds=300)
    assert status["status"] == "completed", status["error"]
    return status["result"]


def test_each_channel_is_a_speaker_with_words_at_their_times(server: Server, sample_dir: Path, tmp_path: Path) -> None:
    result = transcript(server, stereo(sample_dir, tmp_path / "a.wav", False, False))
    assert [speaker["id"] for speaker in result["speakers"]] == ["SPEAKER_00", "SPEAKER_01"]
    left, right = (
        [word for part in result["segments"] if part["speaker"] == speaker["id"] for word in part["words"]]
        for speaker in result["speakers"]
    )
    assert len(left) > 8
    assert [plain(word) for word in left] == [plain(word) for word in right]
    shifts = [two["start"] - one["start"] for one, two in zip(left, right, strict=True)]
    assert np.abs(np.array(shifts) - LATER).max() < 0.2
    assert result["duration"] == CUT + LATER
    assert (result["models"]["diarize"], result["warnings"]) == (None, [])
    turns = server.client.get(f"/api/v1/transcribe/result/{result['task_id']}?format=rttm").text.splitlines()
    assert {(line.split()[2], line.split()[7]) for line in turns} == {("1", "SPEAKER_00"), ("2", "SPEAKER_01")}


def test_silent_channel_has_no_speaker(server: Server, sample_dir: Path, tmp_path: Path) -> None:
    path = stereo(sample_dir, tmp_path / "a.wav", True, False)
    result = transcript(server, path, enable_diarization="false", task="translate")
    assert [speaker["id"] for speaker in result["speakers"]] == ["SPEAKER_00"]
    assert result["segments"] and all(part["start"] >= LATER - 0.5 for part in result["segments"])
    silence = transcript(server, stereo(sample_dir, tmp_path / "b.wav", True, True))
    assert (silence["segments"], silence["speakers"]) == ([], [])
