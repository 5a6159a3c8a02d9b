"""Small recordings of every container that can be written here, and what becomes of them when bytes change."""

from __future__ import annotations

import functools
import io
import struct
from fractions import Fraction

import av
import numpy as np
from av.error import FFmpegError
from hypothesis import strategies as st

WRITTEN = {
    "wav": ("wav", "pcm_s16le"), "wav8": ("wav", "pcm_u8"), "wavlaw": ("wav", "pcm_mulaw"),
    "adpcm": ("wav", "adpcm_ms"), "ima": ("wav", "adpcm_ima_wav"), "float": ("wav", "pcm_f32le"),
    "w64": ("w64", "pcm_s16le"), "au": ("au", "pcm_s16be"), "aiff": ("aiff", "pcm_s16be"), "caf": ("caf", "pcm_s16be"),
    "mp3": ("mp3", "libmp3lame"), "mpeg": ("mpeg", "mp2"), "mpegts": ("mpegts", "mp2"), "m4a": ("ipod", "aac"),
    "alac": ("ipod", "alac"), "mov": ("mov", "pcm_s16le"), "aac": ("adts", "aac"), "ac3": ("ac3", "ac3"),
    "eac3": ("eac3", "eac3"), "flac": ("flac", "flac"), "ogg": ("ogg", "libopus"), "vorbis": ("ogg", "libvorbis"),
    "oggflac": ("ogg", "flac"), "webm": ("webm", "libopus"), "mkv": ("matroska", "aac"), "asf": ("asf", "wmav2"),
    "avi": ("avi", "pcm_s16le"), "flv": ("flv", "adpcm_swf"), "tta": ("tta", "tta"), "wv": ("wv", "wavpack"),
    "amr": ("amr", "libopencore_amrnb"),
}  # fmt: skip
"""Containers and codecs, by a name."""
RATES = {
    "libopus": 48000,
    "adpcm_swf": 11025,
    "libmp3lame": 16000,
    "ac3": 32000,
    "eac3": 32000,
    "libopencore_amrnb": 8000,
}
SECONDS = 0.15
NUMBERS = (0, 1, 2, 7, 8, 15, 16, 127, 128, 255, 256, 4095, 32767, 32768, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1,
           2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
"""What lengths and counts in headers go wrong at."""


@functools.cache
def recordings() -> dict[str, bytes]:
    """Return small recordings, those that the codecs here can write, by name. They are the same each time."""
    made: dict[str, bytes] = {}
    for name, (container, codec) in WRITTEN.items():
        try:
            made[name] = encoded(container, codec, RATES.get(codec, 16000), 1 if "amr" in codec else 2)
        except (FFmpegError, ValueError):  # this build lacks the codec
            continue
    assert len(made) >= 20, sorted(made)
    return made


def encoded(container: str, codec: str, rate: int, channels: int) -> bytes:
    """Return a tone as a file."""
    layout = "mono" if channels == 1 else "stereo"
    written = io.BytesIO()
    with av.open(written, "w", format=container, options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = layout
        form = stream.codec_context.codec.audio_formats[0].name if stream.format is None else stream.format.name
        resampler = av.AudioResampler(format=form, layout=layout, rate=rate)
        time = np.arange(round(SECONDS * rate)) / rate
        sound = np.tile(0.25 * np.sin(2 * np.pi * 440 * time).astype(np.float32), (channels, 1))
        size = stream.codec_context.frame_size or 1024
        at = 0
        for start in range(0, sound.shape[1], size):
            part = np.ascontiguousarray(sound[:, start : start + size])
            frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
            frame.sample_rate = rate
            for resampled in resampler.resample(frame):
                resampled.pts, resampled.time_base, at = at, Fraction(1, rate), at + resampled.samples
                output.mux(stream.encode(resampled))
        output.mux(stream.encode(None))
    return written.getvalue()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Recordings of which some bytes were changed, left out, said twice, or taken from another; or cut off."""
    made = recordings()
    data = bytearray(made[draw(st.sampled_from(sorted(made)))])
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3, 6)))):
        if len(data) < 100:
            break
        places = st.integers(0, len(data) - 1)
        at = draw(st.integers(8, min(255, len(data) - 1)) | places | places)  # the first bytes say what it is
        length = draw(st.sampled_from((1, 2, 4, 8, 16, 100, 1000)))
        match draw(st.integers(0, 7)):
            case 0:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 1 | 2:
                number, width = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from((1, 2, 4, 8)))
                code = draw(st.sampled_from("<>")) + {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
                data[at : at + width] = struct.pack(code, number % 2 ** (8 * width))
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                data[at : at + length] = draw(st.binary(max_size=32))
            case 6:
                other = made[draw(st.sampled_from(sorted(made)))]
                data[at : at + length] = other[draw(st.integers(0, len(other) - 1)) :][: 10 * length]
            case _:
                del data[max(at, len(data) // 3) :]
    return bytes(data)


BEGINNINGS = (
    b"", b"RIFF\xff\xff\xff\x7fWAVE", b"ID3\x04\0\0", b"\xff\xfb\x90\x64", b"OggS\0\x02", b"fLaC\0\0\0\x22",
    b"\x1aE\xdf\xa3",
    b"\0\0\0\x20ftypM4A ", b"FORM\0\0\x01\0AIFF", b".snd\0\0\0\x18", b"caff\0\x01\0\0", b"#!AMR\n", b"MAC \x96\x0f\0\0",
    b"wvpk\x20\0\0\0", b"TTA1\x01\0\x02\0", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"\x47\x40\0\x10", b"\0\0\x01\xba",
    b"FLV\x01\x05\0\0\0\x09", b"\x0b\x77", b"\xff\xf1\x50\x80", b"#EXTM3U\n", b"ffconcat version 1.0\n",
)  # fmt: skip
"""How files of these formats begin, and some that name other files."""


@st.composite
def nonsense(draw: st.DrawFn) -> bytes:
    """Bytes that begin like a recording, and go on as they please."""
    return draw(st.sampled_from(BEGINNINGS)) + draw(st.binary(max_size=600))
