"""A media file to 16 kHz mono float32, by FFmpeg's libraries (PyAV). No torch, no numpy.

Media parsers read what strangers send, so this runs in the decoder process (`pipeline.decoder_process`) only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from whisperx_api.pipeline.riff import stated_by_wav
from whisperx_api.pipeline.sparse import SparseFile
from whisperx_api.transcript import SAMPLE_RATE, Audio

BYTES_PER_SAMPLE = 4
LONGEST_HIDDEN_GAP = 0.3
"""Seconds that a frame's time may be ahead of the samples so far before the gap counts as silence in the recording."""
SHORTFALL = 1.0
"""Seconds that may be missing from the length a file states before it counts as broken off."""
LOWEST_RATE = 2000
"""Samples a second below which there is nothing to be heard; such a file is small and would become a huge one."""
MAX_CHANNELS = 8
"""Most channels that are transcribed each alone: each takes as long as a recording."""
CONTAINERS = "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,webm,wv"
"""FFmpeg's names of the formats that are read. Playlists and manifests are not among them: they name other files."""


class NotAudio(ValueError):
    """The file holds no sound that can be read. The message says what it is instead, if that can be told."""


def probe(path: Path, separate: bool = False) -> float | None:
    """Open `path`, decode its first frame and return its stated length in seconds, None if it states none.

    `separate`: its channels are to be taken apart. Raises `NotAudio`.
    """
    with _open(path) as container:
        stream = _audio_stream(container)
        for frame in _frames(container, stream, lambda error: None):
            _check_rate(frame)
            resampled(_resampler(_layout(frame, separate)), frame)
            return _stated_duration(container, stream)
    raise NotAudio("the file holds no sound that can be decoded")


def decode(
    path: Path,
    target: Path,
    report: Callable[[float], None] = lambda fraction: None,
    longest: float = float("inf"),
    separate: bool = False,
) -> Audio:
    """Decode the best audio stream of `path` into the file `target`, at most `longest` seconds.

    `target` receives mono float32 samples at 16 kHz in native byte order and nothing else; where channels are to be
    `separate`, those of each, as `Audio` says, and channels with the same sound become one, with a warning. Gaps
    between the stream's times become silence, so that a word's time is its time in a player. What breaks off half-way
    is kept up to there, with a warning. Raises `NotAudio` when nothing can be read, or too much, `OSError` when the
    disk is full, or as good as that, and `MemoryError`.

    What a file unpacks to is bounded by `longest` and by the room on the disk, and not by the file's own size, nor by
    the length it states: silence takes next to nothing in any good format, and honest files state too little, or guess.
    """
    warnings: list[str] = []
    broken: list[str] = []
    with ExitStack() as files:
        container = files.enter_context(_open(path))
        stream = _audio_stream(container)
        stated = stated_by_wav(path) or _stated_duration(container, stream)
        frames = _frames(container, stream, lambda error: broken.append(str(error)))
        if (first := next(frames, None)) is None:
            raise NotAudio("the file holds no sound that can be decoded")
        layout = _layout(first, separate)
        parts = [target, *(target.with_name(f"{target.name}.{n}") for n in range(1, _channels(layout)))]
        for part in parts[1:]:
            files.callback(part.unlink, missing_ok=True)
        with ExitStack() as opened:
            sinks = [opened.enter_context(part.open("wb")) for part in parts]
            writer = _Writer([SparseFile(sink) for sink in sinks], layout, stated, longest)
            for frame in chain([first], frames):
                writer.write(frame)
                if stated:
                    report(min(writer.samples / SAMPLE_RATE / stated, 1.0))
            writer.finish()
            os.fsync(sinks[0].fileno())
        if not writer.samples:
            raise NotAudio("the file holds no sound that can be decoded")
        channels = 1
        if separate:
            channels, notes = _joined(parts)
            warnings.extend(notes)
    seconds = writer.samples / SAMPLE_RATE
    if stated and seconds < stated - SHORTFALL:
        warnings.append(f"The recording breaks off: {seconds:.1f} s of {stated:.1f} s could be read.")
    elif broken:
        warnings.append(f"Parts of the recording are damaged and were left out ({len(broken)} errors).")
    if writer.silent:
        gaps = writer.silent / SAMPLE_RATE
        warnings.append(f"The recording has gaps: {gaps:.1f} s of it are missing and silent here.")
    return Audio(str(target), writer.samples, tuple(warnings), channels)


def _joined(parts: Sequence[Path]) -> tuple[int, list[str]]:
    """Put the files of all channels into the first one's; return how many those are, and what is to be said of it."""
    if len(parts) == 1:
        return 1, ["The recording has one channel: all of it was taken for one speaker."]
    from whisperx_api.pipeline.channels import doubles, join  # needs numpy, which a look at an upload does not wait for

    same = doubles(parts)
    others = [part for number, part in enumerate(parts[1:], 1) if number not in same]
    join(parts[0], others)
    return 1 + len(others), [
        f"Channels {earlier + 1} and {later + 1} of the recording hold the same sound: it was transcribed once, and "
        "taken for one speaker. channels=mix tells the speakers in it apart."
        for later, earlier in same.items()
    ]


class _Writer:
    """Resamples frames to 16 kHz float32 and writes each channel of `layout`, with silence where the stream has none.

    `samples` are those of one channel.
    """

    def __init__(self, sinks: Sequence[SparseFile], layout: str, stated: float | None, longest: float) -> None:
        self.samples = 0
        self.silent = 0
        self._sinks = sinks
        self._layout = layout
        self._longest = longest
        self._limit = (stated or 0.0) + SHORTFALL
        self._start: float | None = None
        self._resampler = _resampler(layout)
        self._format: tuple[str, str, int] | None = None

    def write(self, frame: AudioFrame) -> None:
        _check_rate(frame)
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._format not in (None, form):  # a stream may change its rate or channels: start a new resampler
            self._close()
            self._resampler = _resampler(self._layout)
        self._format = form
        if frame.pts is not None and frame.time is not None:
            self._start = frame.time if self._start is None else self._start
            gap = frame.time - self._start - self.samples / SAMPLE_RATE
            if gap > LONGEST_HIDDEN_GAP and frame.time - self._start < self._limit:
                self._silence(round(gap * SAMPLE_RATE))
        frame.pts = None
        self._put(resampled(self._resampler, frame))

    def finish(self) -> None:
        """Write what is left; nothing comes after it."""
        self._close()
        for sink in self._sinks:
            sink.finish()

    def _close(self) -> None:
        if self._format is not None:
            self._put(resampled(self._resampler, None))

    def _put(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            self._grow(frame.samples)
            # of eight channels PyAV counts more planes than there are
            for sink, plane in zip(self._sinks, frame.planes, strict=False):
                sink.write(bytes(plane)[: frame.samples * BYTES_PER_SAMPLE])

    def _silence(self, samples: int) -> None:
        self._grow(samples)
        for sink in self._sinks:
            sink.skip(samples * BYTES_PER_SAMPLE)
        self.silent += samples

    def _grow(self, samples: int) -> None:
        self.samples += samples
        if self.samples > self._longest * SAMPLE_RATE:
            raise NotAudio(f"it is longer than {self._longest / 3600:g} hours (MAX_DURATION_HOURS)")


def _resampler(layout: str) -> AudioResampler:
    return AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)


def _layout(frame: AudioFrame, separate: bool) -> str:
    """Return the layout of channels to convert to. Raises `NotAudio` for too many to be `separate`."""
    if not separate:
        return "mono"
    if (channels := frame.layout.nb_channels) > MAX_CHANNELS:
        raise NotAudio(f"it has {channels} channels, and channels=separate takes {MAX_CHANNELS} at most")
    return frame.layout.name


def _channels(layout: str) -> int:
    return AudioLayout(layout).nb_channels


def _check_rate(frame: AudioFrame) -> None:
    if frame.sample_rate < LOWEST_RATE:
        raise NotAudio(f"sound of {frame.sample_rate} samples a second is too coarse to hold speech")


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
        with path.open("rb") as file:  # FFmpeg is given it open: it may open no file of its own
            limits = {"fd": str(file.fileno()), "protocol_whitelist": "fd", "format_whitelist": CONTAINERS}
            return av.open("fd:", options=limits, metadata_errors="ignore")
    except MemoryError:
        raise
    except (FFmpegError, OSError, ValueError) as error:
        raise NotAudio("the file is in no audio or video format that can be read") from error


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise NotAudio("the file holds no sound")
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        raise NotAudio("the file holds no sound that can be decoded")
    stream.codec_context.thread_count = 1  # this process may begin no threads
    return stream


def _frames(
    container: InputContainer, stream: AudioStream, on_error: Callable[[Exception], None]
) -> Iterator[AudioFrame]:
    """Yield the frames that can be decoded; a damaged packet or a file that breaks off is told to `on_error`."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except MemoryError:
            raise
        except (FFmpegError, OSError) as error:
            on_error(error)
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except MemoryError:
            raise
        except FFmpegError as error:
            on_error(error)


def _stated_duration(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
