"""Speech to text: voice activity, language detection and batched Whisper decoding.

Chunks and decoding are those of whisperx (Bain et al., "WhisperX: Time-Accurate Speech Transcription of Long-Form
Audio", Interspeech 2023, arXiv 2303.00747): beam 5, temperature 0, no timestamps, no text carried from chunk to chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ctranslate2
import numpy as np
import torch
import whisperx
from faster_whisper.tokenizer import Tokenizer
from whisperx.asr import WhisperModel, find_numeral_symbol_tokens
from whisperx.audio import N_SAMPLES, log_mel_spectrogram
from whisperx.vads import Pyannote

from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.options import Options, Task
from whisperx_api.pipeline.attention import Chunk
from whisperx_api.pipeline.attention import word_times as attention_word_times
from whisperx_api.transcript import SAMPLE_RATE, Segment, Transcription, Word

BEAM_SIZE = 5
VAD_ONSET, VAD_OFFSET = 0.500, 0.363
VAD_SHARE = 0.1
"""Share of the stage's time that voice activity detection takes: an estimate, for the progress only."""

MIN_SAMPLES = SAMPLE_RATE // 10
"""Shorter recordings hold no word, and voice activity detection needs some frames."""

NO_SPEECH_LANGUAGE = "en"
"""Language of a recording without speech, where none was given: what Whisper hears in noise is any of its hundred."""

NO_SPEECH = "No speech was found in the recording."

ENGLISH = "en"


def _ignore(_: Segment) -> None:
    """Let a segment pass unseen."""


@dataclass(frozen=True)
class _Decoding:
    """How the chunks of one request are decoded."""

    tokenizer: Tokenizer
    prompt: list[int]
    suppressed: list[int]
    word_times: bool


class Transcriber:
    """A loaded Whisper with its voice activity model. It keeps nothing of a request, so threads may share it."""

    def __init__(self, name: str, model: WhisperModel, vad: Pyannote) -> None:
        self.name = name
        self._model = model
        self._vad = vad

    def __call__(
        self,
        audio: np.ndarray,
        options: Options,
        *,
        word_times: Callable[[str], bool],
        report: Callable[[float], None],
        batch_size: int,
        chunk_size: float,
        on_segment: Callable[[Segment], None] = _ignore,
    ) -> Transcription:
        """Return what is said in `audio`, one segment a chunk of at most `chunk_size` seconds (30 or less).

        `audio` has shape (n_samples,), float32 at 16 kHz, and may be a read-only memory map: it is never copied whole.
        `word_times(language)` says whether words are to get their times from cross-attention; it is not asked for a
        translation, whose words are not in the audio. `report` is told the fraction done, 0..1 and never falling; what
        it raises stops the work and reaches the caller. Batches grow 1, 2, 4 … `batch_size` chunks, so that the first
        text comes early; `on_segment` gets each segment as it is final. A recording without speech has no segments.
        """
        given, warnings = self._given_language(options)
        chunks = self._chunks(audio, min(chunk_size, N_SAMPLES / SAMPLE_RATE), report)
        language = given or self._language(audio, chunks)
        segments: list[Segment] = []
        if chunks:
            decoding = self._decoding(options, language, word_times, warnings)
            ends = np.cumsum([chunk.end - chunk.start for chunk in chunks])
            done = 0
            for batch in batches(chunks, batch_size):
                for segment in self._decode(audio, batch, decoding):
                    segments.append(segment)
                    on_segment(segment)
                done += len(batch)
                report(VAD_SHARE + (1.0 - VAD_SHARE) * float(ends[done - 1] / ends[-1]))
        else:
            warnings.append(NO_SPEECH)
            report(1.0)
        return Transcription(language, tuple(segments), self.name, warnings=tuple(warnings))

    def _given_language(self, options: Options) -> tuple[str | None, list[str]]:
        """Return the language to decode in, None to detect it, and what this model can't do of what is asked."""
        model, language = self._model, options.language
        if not model.model.is_multilingual:
            return ENGLISH, english_only(self.name, options)
        if language is not None and model.hf_tokenizer.token_to_id(f"<|{language}|>") is None:
            return None, [f"The model {self.name} does not know language {language}: it was detected."]
        return language, []

    def _chunks(self, audio: np.ndarray, chunk_size: float, report: Callable[[float], None]) -> list[Chunk]:
        """Find the speech, merged into chunks of at most `chunk_size` seconds."""
        if len(audio) < MIN_SAMPLES:
            return []

        def hook(completed: int, total: int) -> None:
            report(VAD_SHARE * min(1.0, float(completed) / total))

        file = {"waveform": as_tensor(audio)[None], "sample_rate": SAMPLE_RATE}
        # whisperx's VAD pipeline does no more than call this, and hands no hook on
        scores = self._vad.vad_pipeline._segmentation(file, hook=hook)
        merged = Pyannote.merge_chunks(scores, chunk_size, onset=VAD_ONSET, offset=VAD_OFFSET)
        end = len(audio) / SAMPLE_RATE  # the last frame may reach over it
        return [
            Chunk(
                start=chunk["start"],
                end=min(chunk["end"], end),
                speech=tuple((first, min(last, end)) for first, last in chunk["segments"] if first < end),
            )
            for chunk in merged
            if chunk["start"] < end
        ]

    def _language(self, audio: np.ndarray, chunks: Sequence[Chunk]) -> str:
        """Detect the language in the first 30 s of speech.

        whisperx takes the first 30 s of the recording, which may be silence or music.
        """
        if not chunks:
            return NO_SPEECH_LANGUAGE
        pieces: list[np.ndarray] = []
        for start, end in (span for chunk in chunks for span in chunk.speech):
            pieces.append(_cut(audio, start, end))
            if sum(map(len, pieces)) >= N_SAMPLES:
                break
        token, _ = self._model.model.detect_language(self._encode([np.concatenate(pieces)]))[0][0]
        return token[2:-2]

    def _decoding(
        self, options: Options, language: str, word_times: Callable[[str], bool], warnings: list[str]
    ) -> _Decoding:
        """Make the prompt and the choices that all chunks share; what had to be left out goes to `warnings`."""
        model = self._model
        tokenizer = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, options.task.value, language)
        room = model.max_length // 2 - 1  # Whisper's prompt is half of its context, the other half is the answer
        hotwords = tokenizer.encode(" " + options.hotwords.strip()) if options.hotwords else []
        previous = tokenizer.encode(" " + options.prompt.strip()) if options.prompt else []
        if len(hotwords) + len(previous) > room:
            warnings.append(f"Prompt and hotwords are longer than the {room} tokens that Whisper reads: they were cut.")
        kept = room - min(room, len(hotwords))
        prompt = model.get_prompt(
            tokenizer, previous[-kept:] if kept else [], without_timestamps=True, hotwords=options.hotwords
        )
        suppressed = sorted({-1, *(self._numerals if options.suppress_numerals else ())})
        timed = options.task is Task.TRANSCRIBE and word_times(language)
        return _Decoding(tokenizer, prompt, suppressed, timed)

    @cached_property
    def _numerals(self) -> list[int]:
        """Tokens that hold a digit or a sign of money or per cent: a fact of the model, found once."""
        return find_numeral_symbol_tokens(Tokenizer(self._model.hf_tokenizer, multilingual=False))

    def _encode(self, pieces: Sequence[np.ndarray]) -> ctranslate2.StorageView:
        """Encode stretches of sound, each padded or cut to 30 s; shape = (n_pieces, 1500, n_state)."""
        features = [
            log_mel_spectrogram(
                torch.from_numpy(np.array(piece[:N_SAMPLES])),  # a copy of 2 MB: the map may be read-only
                n_mels=self._model.model.n_mels,
                padding=N_SAMPLES - min(len(piece), N_SAMPLES),
            )
            for piece in pieces
        ]
        return self._model.encode(torch.stack(features).numpy())

    def _decode(self, audio: np.ndarray, chunks: Sequence[Chunk], decoding: _Decoding) -> list[Segment]:
        """Decode one batch as whisperx's `generate_segment_batched` does; chunks without text are left out."""
        encoder_output = self._encode([_cut(audio, chunk.start, chunk.end) for chunk in chunks])
        results = self._model.model.generate(
            encoder_output,
            [decoding.prompt] * len(chunks),
            beam_size=BEAM_SIZE,
            max_length=self._model.max_length,
            suppress_tokens=decoding.suppressed,
            return_scores=True,
        )
        tokens = [result.sequences_ids[0] for result in results]
        words: list[tuple[Word, ...]] = [()] * len(chunks)
        if decoding.word_times:
            words = attention_word_times(self._model, decoding.tokenizer, encoder_output, tokens, chunks)
        segments = [
            Segment(
                start=round(chunk.start, 3),
                end=round(chunk.end, 3),
                text=decoding.tokenizer.decode(ids).strip(),
                words=chunk_words,
                avg_logprob=result.scores[0] * len(ids) / (len(ids) + 1),  # the mean counts the end of text
            )
            for chunk, chunk_words, ids, result in zip(chunks, words, tokens, results, strict=True)
        ]
        return [segment for segment in segments if segment.text]


def load_transcriber(folder: Path, *, name: str, device: str, compute_type: str, threads: int) -> Transcriber:
    """Load the CTranslate2 Whisper model in `folder`, and whisperx's own voice activity model.

    `device` is cpu, cuda or cuda:N; `compute_type` one of CTranslate2's. Raises `ModelUnavailable`.
    """
    if not (folder / "model.bin").is_file() or not (folder / "tokenizer.json").is_file():
        raise ModelUnavailable(f"The model {name} is not complete in {folder}: run `whisperx-api models pull {name}`.")
    kind, _, index = device.partition(":")
    try:
        pipeline = whisperx.load_model(
            str(folder), kind, device_index=int(index or 0), compute_type=compute_type, threads=threads
        )
    except ValueError as error:  # what ctranslate2 says of a device or compute type that it lacks
        raise ModelUnavailable(f"The model {name} can't be loaded: {error}") from error
    return Transcriber(name, pipeline.model, pipeline.vad_model)


def batches(chunks: Sequence[Chunk], batch_size: int) -> Iterator[Sequence[Chunk]]:
    """Yield chunks in batches of 1, 2, 4 … up to `batch_size`."""
    first, size = 0, 1
    while first < len(chunks):
        yield chunks[first : first + size]
        first, size = first + size, min(2 * size, max(1, batch_size))


def english_only(name: str, options: Options) -> list[str]:
    """Return what a model that knows only English can't do of what is asked."""
    warnings: list[str] = []
    if options.language not in (None, ENGLISH):
        warnings.append(f"The model {name} knows only English: language {options.language} was ignored.")
    if options.task is Task.TRANSLATE:
        warnings.append(f"The model {name} can't translate: the text is a transcription.")
    return warnings


class _Writable:
    """An array's memory, said to be writable: torch warns of any other, though nothing here writes to it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array  # keeps the memory alive
        interface = array.__array_interface__
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}


def as_tensor(audio: np.ndarray) -> torch.Tensor:
    """Return a tensor over the samples themselves, without a copy. Nothing may write to it."""
    return torch.from_numpy(np.asarray(audio if audio.flags.writeable else _Writable(audio)))


def _cut(audio: np.ndarray, start: float, end: float) -> np.ndarray:
    return audio[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
