"""What the decoder process may not do, tried out in it; and files that ask it to."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from tests.receiver import Receiver, receiving
from whisperx_api import confinement, lifeline
from whisperx_api.engine import decoder
from whisperx_api.options import Channels
from whisperx_api.pipeline import sparse
from whisperx_api.pipeline.decode import NotAudio, decode
from whisperx_api.transcript import SAMPLE_RATE, Audio

HALF_AN_HOUR = 1800.0


@pytest.fixture
def telltale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have decoder processes try what they must not."""
    monkeypatch.setattr(decoder, "python_module", lambda name: lifeline.python_module("tests.telltale_decoder"))


def ignore(fraction: float) -> None:
    """Hear of progress."""


def decoded(source: Path, target: Path, longest: float = HALF_AN_HOUR, seconds: float = 60) -> Audio:
    return asyncio.run(decoder.decode(source, target, ignore, seconds=seconds, longest=longest))


# --- what it may not do ---


def test_it_has_its_file_and_nothing_else(telltale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "API_KEYS", "API_KEY", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "s3cret")
    secret = tmp_path / "elsewhere" / "api_key"
    secret.parent.mkdir()
    secret.write_text("s3cret")
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (uploads / "order").write_text(f"{listener.getsockname()[1]} {secret}")
        answer = asyncio.run(decoder._run(30, "mix", "probe", str(uploads / "order")))["duration"]
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
    acts = answer["acts"]
    assert (acts.pop("memory"), acts.pop("files")) == ("MemoryError", "EMFILE")
    lacking = " ".join(confinement.lacking())
    refused = {"write"} | (set() if "Landlock" in lacking else {"read", "environment of the server"})
    refused |= set() if "filtered" in lacking else {"connect", "socket", "run", "fork", "signal"}
    assert {name for name, came in acts.items() if came in ("EPERM", "EACCES", "EFBIG", "EAGAIN")} >= refused, acts
    assert "s3cret" not in str(answer["environment"]) and answer["environment"]["PATH"]
    assert (answer["umask"], answer["core"]) == (0o077, [0, 0])


def test_what_does_not_hold_is_said_and_the_recording_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code = (
        "import sys; from whisperx_api import confinement;"
        "from whisperx_api.pipeline import decoder_process as process;"
        "confinement.landlock_version = lambda: 1; confinement._has_seccomp = lambda: True;"
        "confinement._call = lambda name, *_: -1; sys.exit(process.main(sys.argv[1:]))"
    )
    monkeypatch.setattr(decoder, "python_module", lambda name: [sys.executable, "-c", code])
    assert asyncio.run(decoder.probe(silence(tmp_path / "a.flac", 60))) == 60
    assert confinement.NO_LANDLOCK in caplog.text and confinement.NO_FILTER in caplog.text


def test_it_writes_no_more_than_it_may(telltale, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(decoder.NotAudio, match="MAX_DURATION_HOURS"):
        decoded(tmp_path / "a", tmp_path / "out", longest=10)
    assert (tmp_path / "out").stat().st_size == 11 * SAMPLE_RATE * 4


def test_it_is_gone_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(decoder, "python_module", lambda name: command)
    began = time.monotonic()
    with pytest.raises(decoder.DecoderDied, match="DECODE_TIMEOUT_SECONDS"):
        decoded(tmp_path / "a.wav", tmp_path / "out", seconds=0.4)
    assert time.monotonic() - began < 30
    assert not [child for child in psutil.Process().children() if child.cmdline()[:3] == command]


PICTURE = 15 * 1024**2
PICTURES = 8
ROOM = 60 * 1024**2
SMALL = f"""
import re, sys
from pathlib import Path
from whisperx_api.pipeline import decoder_process as process
mapped = re.search(r"VmSize:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
process.ADDRESS_SPACE = int(mapped[1]) * 1024 + {ROOM}
sys.exit(process.main(sys.argv[1:]))
"""
"""The decoder process with less room than a file needs that a test does not take long to make."""


def test_file_that_takes_too_much_memory_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = silence(tmp_path / "a.flac", 60)
    illustrated = with_pictures(source, tmp_path / "pictures.flac", PICTURES, PICTURE)
    assert asyncio.run(decoder.probe(illustrated)) == 60
    monkeypatch.setattr(decoder, "python_module", lambda name: [sys.executable, "-c", SMALL])
    assert asyncio.run(decoder.probe(source)) == 60
    with pytest.raises(decoder.NotAudio, match="more memory than a recording should"):
        asyncio.run(decoder.probe(illustrated))


# --- small files that become large ones ---


def write(path: Path, container: str, codec: str, rate: int, sound: np.ndarray, times: int = 1) -> Path:
    """Encode `sound`, shape = (1, samples), int16, over and over."""
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        for number in range(times):
            frame = av.AudioFrame.from_ndarray(sound, "s16", "mono")
            frame.sample_rate, frame.pts = rate, number * sound.shape[1]
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def silence(path: Path, seconds: float, value: int = 0) -> Path:
    """Write a FLAC file of one value, which takes next to no room."""
    block = np.full((1, 8000 * 60), value, np.int16)
    return write(path, "flac", "flac", 8000, block, round(seconds / 60))


def with_pictures(source: Path, target: Path, count: int, size: int) -> Path:
    """Copy a FLAC file and put so many pictures of so many bytes into it, as holes."""
    data = source.read_bytes()
    begins, rest = data[:42], data[42:]  # its mark, and the block that says what the stream is
    kind = b"image/jpeg"
    head = struct.pack(">II", 3, len(kind)) + kind + struct.pack(">IIIIII", 0, 1, 1, 24, 0, size)
    with target.open("wb") as file:
        file.write(begins)
        for _ in range(count):
            file.write(b"\6" + (len(head) + size).to_bytes(3, "big") + head)
            file.seek(size, os.SEEK_CUR)
        file.write(rest)
    return target


def test_long_silence_is_taken_and_takes_no_room(tmp_path: Path) -> None:
    source = silence(tmp_path / "a.flac", HALF_AN_HOUR)
    audio = decode(source, tmp_path / "out", longest=HALF_AN_HOUR)
    assert source.stat().st_size < 400_000  # 115 MB are made of it
    assert audio.duration == pytest.approx(HALF_AN_HOUR, abs=1) and audio.warnings == ()
    assert (tmp_path / "out").stat().st_size == audio.samples * 4
    assert (tmp_path / "out").stat().st_blocks * 512 < 1_000_000


def test_silence_in_between_is_read_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = (rng.standard_normal(SAMPLE_RATE) * 3000).astype(np.int16)
    sound = np.concatenate([noise, np.zeros(20 * SAMPLE_RATE, np.int16), noise, np.zeros(5 * SAMPLE_RATE, np.int16)])
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
    decode(tmp_path / "a.wav", tmp_path / "out")
    np.testing.assert_allclose(np.fromfile(tmp_path / "out", np.float32), sound / 32768, atol=1e-6)
    assert (tmp_path / "out").stat().st_blocks * 512 < 500_000


def test_opus_without_a_sound_is_taken(tmp_path: Path) -> None:
    source = write(tmp_path / "a.ogg", "ogg", "libopus", 8000, np.zeros((1, 8000 * 60), np.int16), 5)
    audio = decode(source, tmp_path / "out", longest=300)
    assert source.stat().st_size < 100_000 and audio.duration == pytest.approx(300, abs=1)


def test_file_that_states_less_than_it_holds_ends_at_the_longest(tmp_path: Path) -> None:
    source = silence(tmp_path / "a.flac", HALF_AN_HOUR, value=1000)
    data = bytearray(source.read_bytes())
    at = data.index(b"fLaC") + 8 + 10
    stated = struct.unpack(">Q", data[at : at + 8])[0] >> 36 << 36 | 8000  # a second
    data[at : at + 8] = struct.pack(">Q", stated)
    source.write_bytes(bytes(data))
    assert asyncio.run(decoder.probe(source)) == pytest.approx(1.0)
    with pytest.raises(NotAudio, match="MAX_DURATION_HOURS"):
        decode(source, tmp_path / "out", longest=300)
    assert (tmp_path / "out").stat().st_size <= 300 * SAMPLE_RATE * 4


def test_last_of_the_disk_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = silence(tmp_path / "a.flac", HALF_AN_HOUR, value=1000)
    monkeypatch.setattr(sparse, "SPARE", 1 << 60)
    with pytest.raises(OSError, match="No space left"):
        decode(source, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size < 2 * sparse.LOOK_EVERY


# --- files that name others ---

MPD = """<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
 mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet
 mimeType="audio/wav"><Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>
</AdaptationSet></Period></MPD>"""
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n"
SMIL = '<smil><body><audio src="{target}"/></body></smil>'
PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    "hls that begins as MP3 does": "ID3\n#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    "hls with a key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n',
    "hls within hls": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n",
    "concat": "ffconcat version 1.0\nfile '{target}'\n",
    "concat protocol": "#EXTM3U\n#EXTINF:1,\nconcat:{target}|{target}\n",
    "subfile protocol": "#EXTM3U\n#EXTINF:1,\nsubfile,,start,0,end,0,,:{target}\n",
    "dash": MPD,
    "sdp": SDP,
    "smil": SMIL,
    "reference movie": "RTSPtext\r\nrtsp://127.0.0.1:{port}/x",
    "asx": '<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
}


@pytest.mark.parametrize("form", PLAYLISTS)
def test_playlist_named_like_a_recording_opens_nothing(tmp_path: Path, tone: Callable[..., Path], form: str) -> None:
    secret = tone(1.0, "secret.wav")
    with receiving(Receiver(content=secret.read_bytes())) as server:
        for target in (secret.name, str(secret), secret.as_uri(), f"{server.url}/secret.wav"):
            source = tmp_path / "list.mp3"
            source.write_text(PLAYLISTS[form].format(target=target, port=server.port))
            with pytest.raises(NotAudio):  # in this process, which may open everything
                decode(source, tmp_path / "out")
            assert not (tmp_path / "out").exists()
        with pytest.raises(decoder.NotAudio):
            asyncio.run(decoder.probe(source, Channels.MIX))
        assert server.requests == []
