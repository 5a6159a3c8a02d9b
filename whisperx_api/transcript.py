"""The words, segments, speakers and turns that every part of the service speaks of.

Times are seconds from the start of the recording. Everything here is a frozen dataclass of plain values, so it
travels between processes and into files as JSON (`to_json`, `from_json`) and needs neither torch nor a database.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from whisperx_api.languages import joint
from whisperx_api.validation import what_is_wrong

SAMPLE_RATE = 16_000
"""Samples a second of decoded audio: what Whisper, wav2vec2 and the speaker models all expect."""

CHANNEL_GAP = 30 * SAMPLE_RATE
"""Samples of silence between two channels in the file of decoded audio: as long as a chunk of speech may be, so that
none reaches from one channel into the next."""

BEGINNING = 256
"""Bytes in which the JSON of a transcript has said how long the recording is."""

T = TypeVar("T")


class Unreadable(ValueError):
    """What was stored is not what it should be. The message tells nothing of it: it may be what somebody has said."""


@dataclass(frozen=True)
class Word:
    """One word as it is written, with its punctuation.

    `score` is the aligner's confidence in 0..1, and None where the times were interpolated.
    """

    word: str
    start: float
    end: float
    score: float | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class TokenLogprob:
    """A token as its bytes, which may be less than a character, in hexadecimal; with its log-probability."""

    bytes: str
    logprob: float


@dataclass(frozen=True)
class Segment:
    """A stretch of text: a decoded chunk at first, a sentence of one speaker in the end.

    `tokens` are Whisper's for this text, and the n-th begins at the character `token_starts[n]` of it, so that they can
    be cut with the text; `logprobs`, where they were asked for, has one entry a token. `language` is that of the text,
    set where it is not the transcription's, `channel` (from 0) where each is transcribed alone. The rest is of the
    decoded chunk that the text came from: `avg_logprob` is the mean log-probability of its tokens, `no_speech_prob` the
    probability that nobody speaks in it, `compression_ratio` how much its text repeats itself (bytes over bytes when
    compressed), `temperature` the one it was decoded at, and `seek` its start in frames of 10 ms.
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    speaker: str | None = None
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    temperature: float | None = None
    seek: int | None = None
    tokens: tuple[int, ...] = ()
    token_starts: tuple[int, ...] = ()
    language: str | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    channel: int | None = None


@dataclass(frozen=True)
class Turn:
    """A time in which one speaker talks."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True)
class Audio:
    """What decoding made: `samples` mono float32 values at `SAMPLE_RATE` in the file `path`, in native byte order.

    Of several `channels` each has so many, and they follow one another with `CHANNEL_GAP` between them.
    """

    path: str
    samples: int
    warnings: tuple[str, ...] = ()
    channels: int = 1

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.samples / SAMPLE_RATE

    @property
    def sound(self) -> float:
        """Seconds of sound to work on: those of all channels."""
        return self.duration * self.channels

    @property
    def file_samples(self) -> int:
        """How many values the file holds."""
        return self.begins(self.channels - 1) + self.samples

    def begins(self, channel: int) -> int:
        """Return the sample of the file at which a channel begins."""
        return channel * (self.samples + CHANNEL_GAP)


@dataclass(frozen=True)
class Voice:
    """A known speaker's voice: `path` holds some seconds of it, mono float32 at `SAMPLE_RATE` in native byte order."""

    name: str
    path: str


@dataclass(frozen=True)
class Transcription:
    """What Whisper heard: one segment a decoded chunk, with words only where cross-attention gave their times.

    `align_model` names the alignment model that the next stage is to use; None where there is none to use.
    """

    language: str
    segments: tuple[Segment, ...]
    model: str
    align_model: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Alignment:
    """The transcription as sentences, every word with its times."""

    segments: tuple[Segment, ...]
    model: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subsegments:
    """Speaker embeddings of a recording, one every `step` seconds, all zeros where there is none.

    `vectors` is base64 of (n_steps, dimension) values in half precision, least significant byte first.
    """

    step: float
    dimension: int
    vectors: str


@dataclass(frozen=True)
class Diarization:
    """Who spoke when.

    `turns` may overlap; `exclusive` are the same speakers with at most one at a time, which is what words are given
    to. `embeddings` holds one voice vector a speaker, `names` the names of those who are known; `subsegments`, where
    the pipeline makes them, are the vectors of all times.
    """

    turns: tuple[Turn, ...]
    exclusive: tuple[Turn, ...]
    embeddings: dict[str, tuple[float, ...]] = field(default_factory=dict)
    model: str = ""
    warnings: tuple[str, ...] = ()
    subsegments: Subsegments | None = None
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Speaker:
    """A speaker of the transcript: `duration` is the time of the segments given to them."""

    id: str
    duration: float
    name: str | None = None
    embedding: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Waveform:
    """How a recording looks: the lowest and the highest sample of each stretch of `samples_per_pixel` at `SAMPLE_RATE`.

    `peaks` is base64 of signed bytes, of which 127 is full scale: lowest and highest of one pixel after the other.
    """

    samples_per_pixel: int
    peaks: str


@dataclass(frozen=True)
class Transcript:
    """The finished result: segments in time order, each with one speaker (None without diarization).

    `waveform` is None where an earlier version has made it.
    """

    language: str
    duration: float
    segments: tuple[Segment, ...] = ()
    speakers: tuple[Speaker, ...] = ()
    models: dict[str, str | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    waveform: Waveform | None = None

    @property
    def text(self) -> str:
        """The whole text, segments joined as their language writes."""
        return joined((segment.text, segment.language or self.language) for segment in self.segments)


def joined(texts: Iterable[tuple[str, str]]) -> str:
    """Join texts, each with its language (Whisper's code): with a space before all that are written with spaces."""
    whole = ""
    for text, language in texts:
        if text := text.strip():
            whole += (joint(language) if whole else "") + text
    return whole


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_json(value: Any) -> bytes:
    """Return one of this module's dataclasses as JSON."""
    return _adapter(type(value)).dump_json(value)


def from_json(kind: type[T], data: bytes | str) -> T:
    """Read what `to_json` wrote. Raises `Unreadable` for anything else."""
    try:
        return _adapter(kind).validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or kind.__name__
        raise Unreadable(f"{place} {what_is_wrong(first)}") from None


def duration_of(data: bytes) -> float | None:
    """Return the duration in the JSON of a `Transcript`, seconds, without reading the whole; None where it has none."""
    try:
        return float(pydantic_core.from_json(data[:BEGINNING], allow_partial=True)["duration"])
    except (ValueError, KeyError, TypeError):
        return None
