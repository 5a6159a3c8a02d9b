"""The decoder process and whatever strangers send: it ends in time, with an answer, and harms nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import UPLOAD
from tests.fuzz import corpus, fuzzed, kept
from tests.fuzz.forks import Decoders
from tests.fuzz.mutations import mutated, nonsense, recordings
from tests.waiting import wait
from whisperx_api.engine import decoder
from whisperx_api.options import Channels
from whisperx_api.pipeline.decode import BYTES_PER_SAMPLE, MAX_CHANNELS
from whisperx_api.transcript import CHANNEL_GAP, SAMPLE_RATE, Audio

LONGEST = 20.0
"""Seconds of sound that are taken."""


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders()
    yield made
    made.close()


def check(decoders: Decoders, folder: Path, content: bytes, channels: str) -> bool:
    """Look at a file and decode it; return whether it was taken for sound. What is answered is one of few things."""
    source, target = folder / "source", folder / "target"
    source.write_bytes(content)
    looked = decoders.run(channels, "probe", str(source))
    decoded = decoders.run(channels, "decode", str(source), str(target), str(LONGEST))
    for ended in (looked, decoded):
        assert ended.status == 0, f"it ended with {ended.status}: {ended.said}"
        *progress, answer = ended.lines
        fractions = [line["progress"] for line in progress]
        assert fractions == sorted(fractions) and all(0 <= fraction <= 1 for fraction in fractions)
        if reason := answer.get("not_audio"):
            assert reason.isprintable() and len(reason) < 200 and str(folder) not in reason
    assert "audio" in decoded.lines[-1] or "not_audio" in decoded.lines[-1], decoded.lines
    most = (LONGEST + 1) * SAMPLE_RATE * BYTES_PER_SAMPLE
    written = target.stat().st_size if target.exists() else 0
    assert written <= (most + CHANNEL_GAP * BYTES_PER_SAMPLE) * (MAX_CHANNELS if channels == "separate" else 1)
    assert sorted(path.name for path in folder.iterdir()) in (["source", "target"], ["source"])
    taken = "audio" in decoded.lines[-1]
    if taken:
        audio = Audio(**decoded.lines[-1]["audio"])
        assert 0 < audio.samples <= LONGEST * SAMPLE_RATE
        assert written == audio.file_samples * BYTES_PER_SAMPLE
        assert all(warning.isprintable() for warning in audio.warnings)
    target.unlink(missing_ok=True)
    return taken


@fuzzed(80)
@given(content=mutated(), channels=st.sampled_from(("mix", "separate")))
def test_changed_recording_is_decoded_or_refused(decoders: Decoders, tmp_path: Path, content, channels) -> None:
    with kept("decoder", content):
        check(decoders, tmp_path, content, channels)


@fuzzed(30)
@given(content=nonsense(), channels=st.sampled_from(("mix", "separate")))
def test_nonsense_is_decoded_or_refused(decoders: Decoders, tmp_path: Path, content, channels) -> None:
    with kept("decoder", content):
        check(decoders, tmp_path, content, channels)


def test_what_has_found_something_finds_nothing_more(decoders: Decoders, tmp_path: Path) -> None:
    for path in corpus("decoder"):
        for channels in ("mix", "separate"):
            check(decoders, tmp_path, path.read_bytes(), channels)


@pytest.mark.parametrize("name", ["wav", "mp3", "m4a", "flac", "ogg", "webm", "mkv", "mpegts"])
def test_what_is_changed_was_sound_before(decoders: Decoders, tmp_path: Path, name: str) -> None:
    assert check(decoders, tmp_path, recordings()[name], "mix")


@fuzzed(3)
@given(content=mutated())
def test_boundary_raises_what_it_says(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    with kept("decoder", content):
        for call in (
            decoder.probe(source, Channels.SEPARATE),
            decoder.decode(source, tmp_path / "target", lambda fraction: None, seconds=30, longest=LONGEST),
        ):
            with suppress(decoder.NotAudio):  # and nothing else
                asyncio.run(call)


def test_server_outlives_what_strangers_send(make_client: Callable[..., TestClient]) -> None:
    client = make_client(max_duration_hours=LONGEST / 3600)
    statuses: set[int] = set()

    @fuzzed(4)
    @given(content=mutated(), channels=st.sampled_from(("mix", "separate")))
    def sent(content: bytes, channels: str) -> None:
        with kept("decoder", content):
            fields = {"channels": channels, "enable_diarization": "false"}
            answer = client.post(UPLOAD, files={"file": ("x", content)}, data=fields)
            statuses.add(answer.status_code)
            assert answer.status_code in (202, 413, 415), answer.text
            if answer.status_code == 202:
                status = wait(client, answer.json()["task_id"])
                assert status["status"] == "completed" or status["error"].endswith("."), status
            else:
                assert answer.json()["detail"].isprintable()

    sent()
    assert len(statuses) > 1
    good = client.post(UPLOAD, files={"file": ("x", recordings()["wav"])}).json()["task_id"]
    assert wait(client, good)["status"] == "completed"
