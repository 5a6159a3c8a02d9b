"""Decoding: every format, the right length, and the truth about what is broken."""

from __future__ import annotations

import asyncio
import fractions
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from whisperx_api.engine import decoder
from whisperx_api.pipeline.decode import NotAudio, decode, probe
from whisperx_api.transcript import SAMPLE_RATE

# container and codec of the eleven formats of the contract, and of video with sound
FORMATS = {
    "mp3": ("mp3", "libmp3lame"),
    "wav": ("wav", "pcm_s16le"),
    "m4a": ("ipod", "aac"),
    "flac": ("flac", "flac"),
    "ogg": ("ogg", "libopus"),
    "webm": ("webm", "libopus"),
    "mp4": ("mp4", "aac"),
    "mpeg": ("mpeg", "mp2"),
    "mpga": ("mp3", "libmp3lame"),
    "oga": ("ogg", "flac"),
    "opus": ("ogg", "libopus"),
    "mkv": ("matroska", "aac"),
    "mov": ("mov", "pcm_s16le"),
}


def tone(seconds: float, rate: int, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    """Return a sine, shape = (channels, samples), float32."""
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(0.25 * np.sin(2 * np.pi * hertz * time).astype(np.float32), (channels, 1))


def write(
    path: Path, sound: np.ndarray, rate: int, container: str, codec: str, *, video: bool = False, gap: float = 0.0
) -> Path:
    """Encode `sound`; with `gap` the second half comes so many seconds later."""
    layout = "mono" if len(sound) == 1 else "stereo"
    with av.open(str(path), "w", format=container) as output:
        if video:
            picture = output.add_stream("mpeg4", rate=5)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        stream = output.add_stream(codec, rate=rate)
        stream.layout = layout
        size = stream.codec_context.frame_size or 1024
        if video:
            for index in range(5):
                frame = av.VideoFrame(64, 64, "yuv420p")
                frame.pts, frame.time_base = index, fractions.Fraction(1, 5)
                output.mux(picture.encode(frame))
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        half = sound.shape[1] // 2 // size * size
        for start in range(0, sound.shape[1], size):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[:, start : start + size]), "fltp", layout)
            frame.sample_rate, frame.time_base = rate, fractions.Fraction(1, rate)
            for resampled in resampler.resample(frame):
                resampled.pts = start + (round(gap * rate) if gap and start >= half else 0)
                resampled.time_base = fractions.Fraction(1, rate)
                output.mux(stream.encode(resampled))
        output.mux(stream.encode(None))
    return path


def read(path: Path) -> np.ndarray:
    return np.fromfile(path, dtype=np.float32)


def pitch(sound: np.ndarray) -> float:
    """Return the strongest frequency in hertz."""
    return float(np.argmax(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))))) * SAMPLE_RATE / len(sound)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_becomes_16_khz_mono(tmp_path: Path, name) -> None:
    container, codec = FORMATS[name]
    rate = 48000 if codec == "libopus" else 44100
    video = container in ("mp4", "mpeg", "matroska", "mov")
    source = write(tmp_path / f"sound.{name}", tone(2.0, rate, 2), rate, container, codec, video=video)
    audio = decode(source, tmp_path / "out")
    sound = read(tmp_path / "out")
    assert audio.samples == len(sound)
    assert audio.duration == pytest.approx(2.0, abs=0.1)
    assert pitch(sound[4000:-4000]) == pytest.approx(440, abs=2)
    assert audio.warnings == ()
    assert probe(source) == pytest.approx(2.0, abs=0.15)


def test_samples_are_those_of_the_recording(tmp_path: Path) -> None:
    sound = tone(1.0, SAMPLE_RATE)
    source = write(tmp_path / "a.wav", sound, SAMPLE_RATE, "wav", "pcm_f32le")
    decode(source, tmp_path / "out")
    np.testing.assert_allclose(read(tmp_path / "out"), sound[0], atol=1e-6)


def test_silence_between_a_streams_times_is_kept(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", tone(2.0, 16000), 16000, "matroska", "pcm_s16le", gap=3.0)
    audio = decode(source, tmp_path / "out")
    sound = read(tmp_path / "out")
    assert audio.duration == pytest.approx(5.0, abs=0.1)
    middle = sound[SAMPLE_RATE * 2 : SAMPLE_RATE * 3]
    assert np.abs(middle).max() == 0.0
    assert np.abs(sound[-SAMPLE_RATE // 2 :]).max() > 0.2
    assert audio.warnings == ("The recording has gaps: 3.0 s of it are missing and silent here.",)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "mkv"])
def test_recording_that_breaks_off_is_kept_up_to_there_with_a_warning(tmp_path: Path, name) -> None:
    container, codec = FORMATS[name]
    source = write(tmp_path / f"a.{name}", tone(10.0, 44100), 44100, container, codec)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    audio = decode(source, tmp_path / "out")
    assert audio.duration == pytest.approx(5.0, abs=0.6)
    assert audio.warnings[0].startswith(f"The recording breaks off: {audio.duration:.1f} s of 10.")


def test_wav_from_a_pipe_that_states_no_length_is_whole(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav", tone(2.0, 16000), 16000, "wav", "pcm_s16le")
    data = bytearray(source.read_bytes())
    at = data.index(b"data") + 4
    for size in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"):
        data[at : at + 4] = size
        source.write_bytes(bytes(data))
        audio = decode(source, tmp_path / "out")
        assert (audio.duration, audio.warnings) == (2.0, ())


def test_damaged_middle_is_left_out_with_a_warning(tmp_path: Path) -> None:
    source = write(tmp_path / "a.flac", tone(10.0, 16000), 16000, "flac", "flac")
    data = bytearray(source.read_bytes())
    third = len(data) // 3
    data[third : third + 3000] = bytes(3000)
    source.write_bytes(bytes(data))
    audio = decode(source, tmp_path / "out")
    assert 3.0 < audio.duration <= 10.1
    assert len(audio.warnings) == 1


@pytest.mark.parametrize("content", [b"", b"hello " * 500, b"RIFF\x00\x00\x00\x00WAVE", b"\x00" * 5000])
def test_what_holds_no_sound_is_said_so(tmp_path: Path, content) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(content)
    with pytest.raises(NotAudio):
        probe(source)
    with pytest.raises(NotAudio):
        decode(source, tmp_path / "out")


def test_video_without_sound_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "mute.mkv"
    with av.open(str(path), "w", format="matroska") as output:
        picture = output.add_stream("mpeg4", rate=5)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        output.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
        output.mux(picture.encode(None))
    with pytest.raises(NotAudio, match="holds no sound"):
        probe(path)


def test_playlist_opens_no_other_file(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.wav", tone(1.0, 16000), 16000, "wav", "pcm_s16le")
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {secret}\n",
    ):
        (tmp_path / "list.m3u8").write_text(text)
        with pytest.raises(NotAudio):
            decode(tmp_path / "list.m3u8", tmp_path / "out")


def test_progress_is_reported_as_it_goes(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav", tone(5.0, 16000), 16000, "wav", "pcm_s16le")
    fractions_: list[float] = []
    decode(source, tmp_path / "out", fractions_.append)
    assert len(fractions_) > 10
    assert fractions_ == sorted(fractions_)
    assert fractions_[-1] == pytest.approx(1.0, abs=0.05)


def test_decoder_process_answers_like_the_function(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav", tone(1.0, 16000), 16000, "wav", "pcm_s16le")
    assert asyncio.run(decoder.probe(source)) == pytest.approx(1.0)
    audio = asyncio.run(decoder.decode(source, tmp_path / "out", lambda fraction: None, seconds=30, longest=60))
    assert audio.samples == 16000
    source.write_bytes(b"nothing")
    with pytest.raises(decoder.NotAudio):
        asyncio.run(decoder.probe(source))


def test_decoder_process_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav", tone(1.0, 16000), 16000, "wav", "pcm_s16le")
    with pytest.raises(decoder.DecoderDied, match="DECODE_TIMEOUT_SECONDS"):
        asyncio.run(decoder.decode(source, tmp_path / "out", lambda fraction: None, seconds=0.01, longest=60))


def test_full_disk_is_an_error_of_the_disk(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav", tone(1.0, 16000), 16000, "wav", "pcm_s16le")
    with pytest.raises(OSError, match="No space left"):
        asyncio.run(decoder.decode(source, Path("/dev/full"), lambda fraction: None, seconds=30, longest=60))


def test_recording_longer_than_allowed_is_refused_with_the_setting(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav", tone(3.0, 16000), 16000, "wav", "pcm_s16le")
    with pytest.raises(decoder.NotAudio, match=r"longer than 0\.0005\d+ hours \(MAX_DURATION_HOURS\)"):
        asyncio.run(decoder.decode(source, tmp_path / "out", lambda fraction: None, seconds=30, longest=2))
    assert (tmp_path / "out").stat().st_size <= 2 * SAMPLE_RATE * 4


def test_small_file_that_claims_years_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "slow.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, 1, 0, "NONE", ""))
        file.writeframes(bytes(100_000))
    with pytest.raises(NotAudio, match="1 samples a second"):
        probe(path)
    with pytest.raises(NotAudio, match="1 samples a second"):
        decode(path, tmp_path / "out")


def test_decoder_process_that_dies_is_told_with_its_status(tmp_path: Path, caplog) -> None:
    source = write(tmp_path / "a.wav", tone(1.0, 16000), 16000, "wav", "pcm_s16le")
    with pytest.raises(decoder.DecoderDied, match="status 1"):  # a length that is no number
        asyncio.run(decoder._run(30, "mix", "decode", str(source), str(tmp_path / "out"), "x"))
    assert "could not convert string to float" in caplog.text


def test_decoder_process_leaves_when_its_server_is_gone(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "whisperx_api.pipeline.decoder_process",
        "1",
        "mix",
        "probe",
        str(tmp_path / "a.wav"),
    ]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_modules_of_the_current_folder_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "a.wav", tone(1.0, 16000), 16000, "wav", "pcm_s16le")
    for name in ("json", "struct", "resource"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('somebody else ran')")
    monkeypatch.chdir(tmp_path)
    assert asyncio.run(decoder.probe(source)) == pytest.approx(1.0)


def test_more_channels_than_can_be_mixed_are_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((300, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 300 * 1600))
    with pytest.raises(NotAudio, match="300 channels"):
        probe(path)
