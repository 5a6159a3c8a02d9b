"""A media file to 16 kHz mono float32, by FFmpeg's libraries (PyAV).

Run as a program it is the decoder process: one file, its own memory and time limits, one line of JSON as the answer.
Media parsers read what strangers send, so they run nowhere else. No torch, no numpy.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from whisperx_api.lifeline import die_with_parent
from whisperx_api.transcript import SAMPLE_RATE, Audio

BYTES_PER_SAMPLE = 4
LONGEST_HIDDEN_GAP = 0.3
"""Seconds that a frame's time may be ahead of the samples so far before the gap counts as silence in the recording."""
SHORTFALL = 1.0
"""Seconds that may be missing from the length a file states before it counts as broken off."""
ADDRESS_SPACE = 4 * 1024**3
"""Most memory the decoder process may map, in bytes. FFmpeg's libraries alone map about 0.5 GiB."""

CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,webm,wv"
)
"""FFmpeg's names of the formats that are read. Playlists and manifests are not among them: they name other files."""


class NotAudio(ValueError):
    """The file holds no sound that can be read. The message says what it is instead, if that can be told."""


def probe(path: Path) -> float | None:
    """Open `path`, decode its first frame and return its stated length in seconds, None if it states none.

    Raises `NotAudio`.
    """
    with _open(path) as container:
        stream = _audio_stream(container)
        for frame in _frames(container, stream, lambda error: None):
            resampled(AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE), frame)
            return _stated_duration(container, stream)
    raise NotAudio("the file holds no sound that can be decoded")


def decode(path: Path, target: Path, report: Callable[[float], None] = lambda fraction: None) -> Audio:
    """Decode the best audio stream of `path` into the file `target`.

    `target` receives mono float32 samples at 16 kHz in native byte order and nothing else. Gaps between the stream's
    times become silence, so that a word's time is its time in a player. What breaks off half-way is kept up to there,
    with a warning. Raises `NotAudio` when nothing can be read.
    """
    warnings: list[str] = []
    broken: list[str] = []
    with _open(path) as container, target.open("wb") as sink:
        stream = _audio_stream(container)
        stated = stated_by_wav(path) or _stated_duration(container, stream)
        writer = _Writer(sink, stated)
        for frame in _frames(container, stream, lambda error: broken.append(str(error))):
            writer.write(frame)
            if stated:
                report(min(writer.samples / SAMPLE_RATE / stated, 1.0))
        writer.close()
        sink.flush()
        os.fsync(sink.fileno())
    if not writer.samples:
        raise NotAudio("the file holds no sound that can be decoded")
    seconds = writer.samples / SAMPLE_RATE
    if stated and seconds < stated - SHORTFALL:
        warnings.append(f"The recording breaks off: {seconds:.1f} s of {stated:.1f} s could be read.")
    elif broken:
        warnings.append(f"Parts of the recording are damaged and were left out ({len(broken)} errors).")
    if writer.silent:
        gaps = writer.silent / SAMPLE_RATE
        warnings.append(f"The recording has gaps: {gaps:.1f} s of it are missing and silent here.")
    return Audio(str(target), writer.samples, tuple(warnings))


class _Writer:
    """Resamples frames to 16 kHz mono float32 and writes them, with silence where the stream has none."""

    def __init__(self, sink: BinaryIO, stated: float | None) -> None:
        self.samples = 0
        self.silent = 0
        self._sink = sink
        self._limit = (stated or 0.0) + SHORTFALL
        self._start: float | None = None
        self._resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        self._format: tuple[str, str, int] | None = None

    def write(self, frame: AudioFrame) -> None:
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._format not in (None, form):  # a stream may change its rate or channels: start a new resampler
            self.close()
            self._resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        self._format = form
        if frame.pts is not None and frame.time is not None:
            self._start = frame.time if self._start is None else self._start
            gap = frame.time - self._start - self.samples / SAMPLE_RATE
            if gap > LONGEST_HIDDEN_GAP and frame.time - self._start < self._limit:
                self._silence(round(gap * SAMPLE_RATE))
        frame.pts = None
        self._put(resampled(self._resampler, frame))

    def close(self) -> None:
        if self._format is not None:
            self._put(resampled(self._resampler, None))

    def _put(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            self._sink.write(bytes(frame.planes[0])[: frame.samples * BYTES_PER_SAMPLE])
            self.samples += frame.samples

    def _silence(self, samples: int) -> None:
        block = bytes(SAMPLE_RATE * BYTES_PER_SAMPLE)
        for _ in range(samples // SAMPLE_RATE):
            self._sink.write(block)
        self._sink.write(block[: samples % SAMPLE_RATE * BYTES_PER_SAMPLE])
        self.samples += samples
        self.silent += samples


def resampled(resampler: AudioResampler, frame: AudioFrame | None) -> list[AudioFrame]:
    """Return what the resampler makes of a frame. Raises `NotAudio` for a form of sound that it does not know."""
    try:
        return resampler.resample(frame)
    except (FFmpegError, ValueError) as error:
        form = f"{frame.layout.nb_channels} channels at {frame.sample_rate} Hz" if frame else "this"
        raise NotAudio(f"sound of {form} can't be converted") from error


def _open(path: Path) -> InputContainer:
    if not path.stat().st_size:
        raise NotAudio("the file is empty")
    try:
        limits = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
        return av.open(str(path), options=limits, metadata_errors="ignore")
    except (FFmpegError, OSError, ValueError) as error:
        raise NotAudio("the file is in no audio or video format that can be read") from error


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise NotAudio("the file holds no sound")
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        raise NotAudio("the file holds no sound that can be decoded")
    return stream


def _frames(
    container: InputContainer, stream: AudioStream, on_error: Callable[[Exception], None]
) -> Iterator[AudioFrame]:
    """Yield the frames that can be decoded; a damaged packet or a file that breaks off is told to `on_error`."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (FFmpegError, OSError) as error:
            on_error(error)
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except FFmpegError as error:
            on_error(error)


def stated_by_wav(path: Path) -> float | None:
    """Return the length in seconds that a RIFF WAVE header states; None for any other file.

    FFmpeg takes a WAV file to be as long as its bytes, so this alone tells that one was cut off.
    """
    with path.open("rb") as file:
        riff, _, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if riff != b"RIFF" or form != b"WAVE":
            return None
        bytes_a_second = 0
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"fmt " and size >= 16:
                chunk = file.read(size)
                bytes_a_second = struct.unpack_from("<I", chunk.ljust(16, b"\0"), 8)[0]
                file.seek(size % 2, os.SEEK_CUR)
            elif name == b"data":
                # A program that writes to a pipe can't know the size and states the largest, or none.
                return size / bytes_a_second if bytes_a_second and 0 < size < 0x7FFFFFFF else None
            else:
                file.seek(size + size % 2, os.SEEK_CUR)
    return None


def _stated_duration(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def main(arguments: list[str]) -> int:
    """Be the decoder process: `PARENT probe FILE` or `PARENT decode FILE TARGET`.

    Writes lines of JSON: `{"progress": 0.4}` any number of times, then `{"audio": …}`, `{"duration": …}` or
    `{"error": …}`.
    """
    parent, command, source, *rest = arguments
    die_with_parent(int(parent))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)
    said = 0.0

    def report(fraction: float) -> None:
        nonlocal said
        if fraction - said >= 0.02:
            said = fraction
            print(json.dumps({"progress": round(fraction, 3)}), flush=True)

    try:
        if command == "probe":
            answer: dict[str, object] = {"duration": probe(Path(source))}
        else:
            audio = decode(Path(source), Path(rest[0]), report)
            answer = {"audio": {"path": audio.path, "samples": audio.samples, "warnings": audio.warnings}}
    except NotAudio as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "decoding the file takes more memory than a recording should"}
    print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
