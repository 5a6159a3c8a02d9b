"""Channels taken apart: each its own sound in one file, and its segments back in the recording's time."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.test_decode import FORMATS, pitch, read, tone, write
from whisperx_api.engine import decoder
from whisperx_api.engine.protocol import Stage
from whisperx_api.jobs.checkpoints import recall
from whisperx_api.jobs.job import Job, Upload
from whisperx_api.options import Channels, Options
from whisperx_api.pipeline import decode as decode_module
from whisperx_api.pipeline.decode import MAX_CHANNELS, NotAudio, decode, probe
from whisperx_api.pipeline.run import samples
from whisperx_api.pipeline.separate import placed
from whisperx_api.storage.local import LocalStorage
from whisperx_api.transcript import CHANNEL_GAP, SAMPLE_RATE, Audio, Segment, Word, to_json

LOW, HIGH = 300.0, 900.0


def stereo(left: float, right: float, seconds: float = 2.0, rate: int = 48000) -> np.ndarray:
    """Return two tones, shape = (2, samples); 0 hertz is silence."""
    return np.concatenate([tone(seconds, rate, hertz=left), tone(seconds, rate, hertz=right)])


def wav(path: Path, channels: int, rate: int = 16000, seconds: float = 1.0) -> Path:
    """Write a file whose channel n is a tone of 200 (n + 1) hertz."""
    sound = np.concatenate([tone(seconds, rate, hertz=200.0 * (channel + 1)) for channel in range(channels)])
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes((sound.T * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("name", ["wav", "mp3", "m4a", "opus", "flac"])
def test_each_channel_is_a_sound_of_its_own(tmp_path: Path, name) -> None:
    container, codec = FORMATS[name]
    source = write(tmp_path / f"a.{name}", stereo(LOW, HIGH), 48000, container, codec)
    audio = decode(source, tmp_path / "out", separate=True)
    assert (audio.channels, audio.warnings) == (2, ())
    assert audio.duration == pytest.approx(2.0, abs=0.1)
    assert audio.sound == 2 * audio.duration
    assert len(read(tmp_path / "out")) == audio.file_samples == 2 * audio.samples + CHANNEL_GAP
    left, right = samples(audio, 0), samples(audio, 1)
    assert len(left) == len(right) == audio.samples
    assert pitch(left[4000:-4000]) == pytest.approx(LOW, abs=2)
    assert pitch(right[4000:-4000]) == pytest.approx(HIGH, abs=2)
    assert not samples(audio)[audio.samples : audio.begins(1)].any()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{name}", "out"]


def test_mixed_channels_are_one_sound_as_before(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav", stereo(LOW, HIGH), 48000, "wav", "pcm_s16le")
    audio = decode(source, tmp_path / "out")
    assert (audio.channels, audio.file_samples, len(read(tmp_path / "out"))) == (1, audio.samples, audio.samples)


@pytest.mark.parametrize("channels", [3, 5, MAX_CHANNELS])
def test_channels_keep_their_order(tmp_path: Path, channels) -> None:
    audio = decode(wav(tmp_path / "a.wav", channels), tmp_path / "out", separate=True)
    assert audio.channels == channels
    found = [pitch(samples(audio, channel)) for channel in range(channels)]
    assert found == pytest.approx([200.0 * (channel + 1) for channel in range(channels)], abs=2)


def test_more_channels_than_can_be_taken_apart_are_said_so(tmp_path: Path) -> None:
    source = wav(tmp_path / "a.wav", MAX_CHANNELS + 1)
    for look in (lambda: probe(source, separate=True), lambda: decode(source, tmp_path / "out", separate=True)):
        with pytest.raises(NotAudio, match="9 channels, and channels=separate takes 8"):
            look()
    with pytest.raises(decoder.NotAudio, match="9 channels"):
        asyncio.run(decoder.probe(source, Channels.SEPARATE))


def test_one_channel_is_one_speaker_with_a_warning(tmp_path: Path) -> None:
    audio = decode(wav(tmp_path / "a.wav", 1), tmp_path / "out", separate=True)
    assert audio.channels == 1
    assert audio.warnings == ("The recording has one channel: all of it was taken for one speaker.",)


@pytest.mark.parametrize("name", ["wav", "mp3", "opus"])
def test_channels_of_the_same_sound_are_one_with_a_warning(tmp_path: Path, name) -> None:
    container, codec = FORMATS[name]
    source = write(tmp_path / f"a.{name}", stereo(LOW, LOW), 48000, container, codec)
    audio = decode(source, tmp_path / "out", separate=True)
    assert (audio.channels, len(read(tmp_path / "out"))) == (1, audio.samples)
    assert audio.warnings[0].startswith("Channels 1 and 2 of the recording hold the same sound")


def test_silent_channels_are_not_the_same_sound(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav", stereo(0.0, 0.0), 48000, "wav", "pcm_s16le")
    audio = decode(source, tmp_path / "out", separate=True)
    assert (audio.channels, audio.warnings) == (2, ())
    one_silent = write(tmp_path / "b.wav", stereo(0.0, HIGH), 48000, "wav", "pcm_s16le")
    audio = decode(one_silent, tmp_path / "out", separate=True)
    assert not samples(audio, 0).any() and pitch(samples(audio, 1)) == pytest.approx(HIGH, abs=2)


def test_silence_between_times_is_kept_in_every_channel(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", stereo(LOW, HIGH, rate=16000), 16000, "matroska", "pcm_s16le", gap=3.0)
    audio = decode(source, tmp_path / "out", separate=True)
    assert audio.duration == pytest.approx(5.0, abs=0.1)
    for channel in range(2):
        sound = samples(audio, channel)
        assert not sound[2 * SAMPLE_RATE : 3 * SAMPLE_RATE].any()
        assert np.abs(sound[-SAMPLE_RATE // 2 :]).max() > 0.2


def test_decoder_process_takes_channels_apart_within_its_limits(tmp_path: Path) -> None:
    source = wav(tmp_path / "a.wav", MAX_CHANNELS, seconds=2.0)

    def decoded(longest: float) -> Audio:
        out, ignore = tmp_path / "out", lambda fraction: None
        return asyncio.run(decoder.decode(source, out, ignore, Channels.SEPARATE, seconds=60, longest=longest))

    audio = decoded(2)
    assert (audio.channels, audio.samples) == (MAX_CHANNELS, 2 * SAMPLE_RATE)
    assert pitch(samples(audio, 7)) == pytest.approx(1600, abs=2)
    with pytest.raises(decoder.NotAudio, match="MAX_DURATION_HOURS"):
        decoded(1)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out.")] == []


def test_sound_is_never_in_memory_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    source = wav(tmp_path / "a.wav", 2, seconds=60.0)
    tracemalloc.start()
    audio = decode(source, tmp_path / "out", separate=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audio.file_samples * 4 > 7_500_000 > 2_500_000 > peak


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_segments_are_placed_in_the_time_of_their_channel(channel) -> None:
    audio = Audio("a", 10 * SAMPLE_RATE, channels=3)
    begins = audio.begins(channel) / SAMPLE_RATE
    assert begins == channel * 40.0
    words = (Word("Hello", begins + 1.0, begins + 1.5, 0.9), Word("there.", begins + 9.0, begins + 10.4, 0.8))
    found = placed(audio, Segment(begins - 0.2, begins + 10.4, "Hello there.", words, seek=1, tokens=(1, 2)))
    assert (found.start, found.end, found.channel, found.seek) == (0.0, 10.0, channel, 0)
    assert [(word.start, word.end, word.score) for word in found.words] == [(1.0, 1.5, 0.9), (9.0, 10.0, 0.8)]
    assert (found.text, found.tokens) == ("Hello there.", (1, 2))
    later = placed(audio, Segment(begins + 2.5, begins + 3.0, "x", seek=1))
    assert (later.start, later.seek, later.words) == (2.5, 250, ())


def test_a_look_at_an_upload_waits_for_no_library_of_arrays(make_probe: Callable[[], str]) -> None:
    assert make_probe() == "False"


@pytest.fixture
def make_probe(tmp_path: Path) -> Callable[[], str]:
    """Probe in a new process and say whether that has imported numpy."""
    import subprocess
    import sys

    def look() -> str:
        code = (
            f"import sys; from pathlib import Path; from {decode_module.__name__} import probe;"
            f"probe(Path({str(wav(tmp_path / 'a.wav', 2))!r}), True); print('numpy' in sys.modules)"
        )
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    return look


def test_decoded_channels_are_taken_up_again_only_if_all_of_them_are_there(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "tasks", tmp_path / "uploads")
    storage.prepare()
    job = Job("ann", Options(channels=Channels.SEPARATE), Upload("a", 1, "00"), checkpoints={"decode": "decode.1.json"})

    async def taken_up(audio: Audio) -> bool:
        await storage.write(job.id, "decode.1.json", to_json(audio))
        return await recall(job, storage) == {Stage.DECODE: audio}

    audio = decode(wav(tmp_path / "a.wav", 2), tmp_path / "out", separate=True)
    assert asyncio.run(taken_up(audio))
    with (tmp_path / "out").open("rb+") as file:
        file.truncate(audio.samples * 4)
    assert not asyncio.run(taken_up(audio))
