"""What a caller asks for with one recording: the request, as it is stored with the job and sent to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Task(str, Enum):
    """Whisper's two tasks."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class Channels(str, Enum):
    """What becomes of a recording's channels: one sound, or each a speaker's own."""

    MIX = "mix"
    SEPARATE = "separate"


class DiarizationMode(str, Enum):
    """How a diarization pipeline works: with pyannote's own results, or with less work and nearly the same."""

    EXACT = "exact"
    FAST = "fast"


@dataclass(frozen=True)
class KnownSpeaker:
    """A speaker to be named where their voice is heard; `sha256` is that of the recording of it, as it was sent."""

    name: str
    sha256: str

    @property
    def file(self) -> str:
        """Name of the file that holds the voice, decoded, among those of the job."""
        return f"voice.{self.sha256}.f32"


@dataclass(frozen=True)
class Options:
    """The options of one job. The defaults are those of the HTTP contract."""

    language: str | None = None
    """Whisper's code for the language spoken; None to detect it."""
    languages: tuple[str, ...] = ()
    """Codes of the languages that may be spoken, where `language` is None; of several, each chunk is in its own."""
    model: str | None = None
    """Name of the transcription model; None for the configured one."""
    task: Task = Task.TRANSCRIBE
    enable_diarization: bool = True
    num_speakers: int | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None
    channels: Channels = Channels.MIX
    known_speakers: tuple[KnownSpeaker, ...] = ()
    prompt: str | None = None
    hotwords: str | None = None
    temperature: float = 0.0
    """0 for beam search, with Whisper's fallback to higher ones; above it, samples at this one."""
    suppress_numerals: bool = False
    word_timestamps: bool = True
    speaker_embeddings: bool = False
    token_logprobs: bool = False
    """Keep the log-probability of each token."""
    vad_onset: float = 0.500
    """Probability of speech above which it begins, 0..1; whisperx's own."""
    vad_offset: float = 0.363
    """Probability of speech below which it ends."""
    vad_pad: float = 0.0
    """Seconds before speech that are taken for speech too."""
    vad_min_silence: float = 0.0
    """Seconds; pauses shorter than this do not end speech."""
