"""Speech to text: voice activity, language detection and batched Whisper decoding.

Chunks and decoding are those of whisperx (Bain et al., "WhisperX: Time-Accurate Speech Transcription of Long-Form
Audio", Interspeech 2023, arXiv 2303.00747): beam 5, temperature 0, no timestamps, no text carried from chunk to chunk.
What that fails at is decoded again (`fallback`), and repeats that nobody said are left out (`repeats`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from whisperx.audio import N_SAMPLES
from whisperx.vads import Pyannote

from whisperx_api.options import Options, Task
from whisperx_api.pipeline import fallback, language, repeats
from whisperx_api.pipeline.attention import Chunk
from whisperx_api.pipeline.batching import batches
from whisperx_api.pipeline.crew import Crew
from whisperx_api.pipeline.language import Ballot
from whisperx_api.pipeline.out_of_memory import in_fitting_batches, make_room
from whisperx_api.pipeline.segments import ENGLISH, segments_of
from whisperx_api.pipeline.speech import Thresholds
from whisperx_api.pipeline.spread import sections, speech_in
from whisperx_api.pipeline.voice_activity import speech_chunks
from whisperx_api.pipeline.whisper import EncodedBatch, Hypothesis, Prompt, encode
from whisperx_api.transcript import SAMPLE_RATE, Segment, Transcription

VAD_SHARE = 0.25
"""Share of the stage's time that voice activity detection takes with Whisper base on a CPU; larger models and GPUs have
less. An estimate, for the progress only."""

NO_SPEECH_LANGUAGE = "en"
"""Language of a recording without speech, where none was given: what Whisper hears in noise is any of its hundred."""

NUMERALS = frozenset("0123456789%$£")
"""What no token may hold where numbers are to be written as words, as in whisperx."""

NO_SPEECH = "No speech was found in the recording."


def _ignore(_: Segment) -> None:
    """Let a segment pass unseen."""


class _Progress:
    """Tells the fraction of a recording that is transcribed: voice activity and decoding go on in turns."""

    def __init__(self, seconds: float, report: Callable[[float], None]) -> None:
        self._seconds = seconds
        self._report = report
        self._listened = 0.0
        self._decoded = 0.0

    def listened(self, fraction: float) -> None:
        """So much of the recording has been looked through for speech, 0..1."""
        self._listened = fraction
        self.tell()

    def decoded(self, end: float) -> None:
        """Speech is text up to `end`, in seconds."""
        self._decoded = min(1.0, end / self._seconds)
        self.tell()

    def tell(self) -> None:
        """Tell how far it is, again where that is as far as before: whoever listens may stop the work."""
        self._report(VAD_SHARE * self._listened + (1.0 - VAD_SHARE) * self._decoded)


@dataclass(frozen=True)
class _Request:
    """How the chunks of one recording are decoded.

    `language` is the main one. There is a prompt for each language that a chunk may be in; if there are several, each
    chunk is decoded in its own. `timed` are the languages whose words get their times from cross-attention;
    `logprobs`, whether the tokens get their log-probabilities; `translates`, whether the text is to be English.
    """

    language: str
    prompts: dict[str, Prompt]
    suppressed: list[int]
    temperature: float
    timed: frozenset[str]
    logprobs: bool
    translates: bool


@dataclass(frozen=True)
class _Guess:
    """The first chunk, decoded in the language that it seems to be in."""

    language: str
    batch: EncodedBatch
    hypotheses: Sequence[Hypothesis]


class Transcriber:
    """A loaded Whisper with its voice activity model. It keeps nothing of a request, so threads may share it."""

    def __init__(self, name: str, model: WhisperModel, vad: Pyannote, workers: int = 1, side_by_side: int = 1) -> None:
        """`workers` threads take a batch each, and compute `side_by_side` of them at once.

        Others wait for the device, with the features of their batch made.
        """
        self.name = name
        self._model = model
        self._vad = vad
        self._workers = workers
        self._side_by_side = side_by_side
        self._largest: int | None = None  # the batch that fits the device, once one has not

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
        `word_times(language)` says whether words are to get their times from cross-attention; it is asked for the main
        language alone, and not for a translation, whose words are not in the audio. Segments in another language than
        the main one say so, and have words with times, as the main one's alignment model can't align them. `report` is
        told the fraction done, 0..1 and never falling; what it raises stops the work and reaches the caller. Batches
        grow 1, 2, 4 … `batch_size` chunks, so that the first text comes early; `on_segment` gets each segment as it is
        final, with its language. A recording without speech has no segments.

        What beam search does well comes out the same each time. What is sampled may not: ctranslate2 draws from one
        sequence of random numbers a loaded model, so it depends on what the model has sampled before.
        """
        with Crew(self._workers) as crew:
            return self._transcribe(audio, options, crew, word_times, report, batch_size, chunk_size, on_segment)

    def _transcribe(
        self,
        audio: np.ndarray,
        options: Options,
        crew: Crew,
        word_times: Callable[[str], bool],
        report: Callable[[float], None],
        batch_size: int,
        chunk_size: float,
        on_segment: Callable[[Segment], None],
    ) -> Transcription:
        """Look for speech and decode what is found: the workers of the crew take either as it comes."""
        languages, warnings = self._languages(options)
        thresholds = Thresholds(options.vad_onset, options.vad_offset, options.vad_pad, options.vad_min_silence)
        progress = _Progress(len(audio) / SAMPLE_RATE, report)
        found = speech_chunks(
            self._vad, audio, thresholds, crew, chunk_size=min(chunk_size, N_SAMPLES / SAMPLE_RATE),
            report=progress.listened,
        )  # fmt: skip
        first = next(filter(None, found), None)
        if first is None:
            report(1.0)
            spoken = languages[0] if languages else NO_SPEECH_LANGUAGE
            return Transcription(spoken, (), self.name, warnings=(*warnings, NO_SPEECH))
        main, poll, guess = ENGLISH, language.Poll(languages), None
        ballots: list[Future[Ballot]] = []
        if len(languages) == 1:
            main = languages[0]
        else:
            begun = crew.submit(partial(self._begin, audio, options, languages), first[0])
            listen = partial(self._listen, audio, thresholds)
            ballots = [crew.submit(listen, section) for section in sections(len(audio))[1:]]
            ballot, guess = begun.result()
            poll.add(ballot)
            while not poll.is_decided(len(ballots)):
                poll.add(ballots.pop(0).result())
                progress.tell()
            main = poll.vote.language
        request = self._request(options, main, languages or (main,), word_times, warnings)

        def decode(batch: Sequence[Chunk]) -> tuple[float, list[Segment]]:
            if guess is not None and guess.language == main and batch[0] is first[0]:
                return batch[-1].end, _segments(request, guess.batch, guess.hypotheses)
            size = min(len(batch), self._largest or len(batch))
            segments = in_fitting_batches(partial(self._decode, audio, request), batch, size, self._halved)
            return batch[-1].end, segments

        segments: list[Segment] = []
        due = batches(chain([first], found), batch_size, self._side_by_side)
        for end, heard in crew.in_order(decode, due):
            for segment in heard:
                if not segments or not repeats.is_echo(segment, segments[-1]):
                    segments.append(segment)
                    on_segment(replace(segment, language=segment.language or main))
            progress.decoded(end)
        for ballot in ballots:  # heard meanwhile: the language can't be another for them
            poll.add(ballot.result())
        if not languages and poll.vote.others:
            warnings.append(language.disagreement(poll.vote))
        report(1.0)
        return Transcription(main, tuple(segments), self.name, warnings=tuple(warnings))

    def _languages(self, options: Options) -> tuple[tuple[str, ...], list[str]]:
        """Return the languages to decode in, none to detect it, and what this model can't do of what is asked."""
        model = self._model
        if not model.model.is_multilingual:
            return (ENGLISH,), english_only(self.name, options)
        asked = (options.language,) if options.language is not None else options.languages
        known = tuple(code for code in asked if model.hf_tokenizer.token_to_id(f"<|{code}|>") is not None)
        instead = "it was left out" if known else "it was detected"
        return known, [
            f"The model {self.name} does not know language {code}: {instead}." for code in asked if code not in known
        ]

    def _begin(
        self, audio: np.ndarray, options: Options, languages: Sequence[str], first: Chunk
    ) -> tuple[Ballot, _Guess | None]:
        """Hear which language the first chunk is in. Where that is clear, decode it at once, before all have voted."""
        speech = [audio[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] for start, end in first.speech]
        ballot = language.listen(self._model, np.concatenate(speech)[:N_SAMPLES])
        code = ballot.clear(languages)
        if code is None:
            return ballot, None
        request = self._request(options, code, languages or (code,), lambda main: False, [])
        return ballot, _Guess(code, *self._hear(audio, request, [first]))

    def _listen(self, audio: np.ndarray, thresholds: Thresholds, section: list[slice]) -> Ballot:
        """Hear which language is spoken in a section of the recording."""
        speech = speech_in(self._vad.vad_pipeline._segmentation, audio, section, thresholds)
        return language.listen(self._model, speech)

    def _request(
        self,
        options: Options,
        main: str,
        languages: Sequence[str],
        word_times: Callable[[str], bool],
        warnings: list[str],
    ) -> _Request:
        """Make the prompts and the choices that all chunks share; what had to be left out goes to `warnings`."""
        model = self._model
        tokenizers = [
            Tokenizer(model.hf_tokenizer, model.model.is_multilingual, options.task.value, code) for code in languages
        ]
        room = model.max_length // 2 - 1  # Whisper's prompt is half of its context, the other half is the answer
        hotwords = tokenizers[0].encode(" " + options.hotwords.strip()) if options.hotwords else []
        previous = tokenizers[0].encode(" " + options.prompt.strip()) if options.prompt else []
        if len(hotwords) + len(previous) > room:
            warnings.append(f"Prompt and hotwords are longer than the {room} tokens that Whisper reads: they were cut.")
        kept = room - min(room, len(hotwords))
        previous = previous[-kept:] if kept else []
        prompts: dict[str, Prompt] = {}
        for code, tokenizer in zip(languages, tokenizers, strict=True):
            tokens = model.get_prompt(tokenizer, previous, without_timestamps=True, hotwords=options.hotwords)
            prompts[code] = Prompt(tokenizer, tuple(tokens))
        timed: frozenset[str] = frozenset()
        if options.task is Task.TRANSCRIBE:
            timed = frozenset(code for code in languages if code != main or word_times(main))
        suppressed = sorted({-1, *(self._numerals if options.suppress_numerals else ())})
        translates = options.task is Task.TRANSLATE and model.model.is_multilingual
        return _Request(main, prompts, suppressed, options.temperature, timed, options.token_logprobs, translates)

    @cached_property
    def _numerals(self) -> list[int]:
        """Tokens that hold a digit or a sign of money or per cent: a fact of the model, found once."""
        tokenizer = Tokenizer(self._model.hf_tokenizer, multilingual=False)
        return [token for token in range(tokenizer.eot) if not NUMERALS.isdisjoint(tokenizer.decode([token]))]

    def _halved(self, size: int) -> None:
        self._largest = size
        make_room("Transcription's batch", size)

    def _decode(self, audio: np.ndarray, request: _Request, chunks: Sequence[Chunk]) -> list[Segment]:
        """Decode one batch; chunks without text are left out."""
        return _segments(request, *self._hear(audio, request, chunks))

    def _hear(
        self, audio: np.ndarray, request: _Request, chunks: Sequence[Chunk]
    ) -> tuple[EncodedBatch, list[Hypothesis]]:
        """Encode and decode one batch."""
        batch = self._encode(audio, chunks, request)
        hypotheses = batch.decode(range(len(chunks)), request.temperature)
        if not request.temperature:
            hypotheses = fallback.fall_back(hypotheses, batch.decode, lambda some: _said(batch, some))
        return batch, hypotheses

    def _encode(self, audio: np.ndarray, chunks: Sequence[Chunk], request: _Request) -> EncodedBatch:
        """Encode a batch and find the prompt of each chunk."""
        sounds = [audio[int(chunk.start * SAMPLE_RATE) : int(chunk.end * SAMPLE_RATE)] for chunk in chunks]
        encoder_output = encode(self._model, sounds)
        prompts = [request.prompts[request.language]] * len(chunks)
        if len(request.prompts) > 1:
            found = language.probabilities(self._model, encoder_output)
            prompts = [request.prompts[language.likeliest(some, tuple(request.prompts))] for some in found]
        return EncodedBatch(self._model, encoder_output, chunks, prompts, request.suppressed)


def _said(batch: EncodedBatch, repetitive: Mapping[int, Hypothesis]) -> set[int]:
    """Return where text that repeats itself is spread over the sound as speech is."""
    return {place for place, words in batch.words(repetitive).items() if repeats.have_times(words)}


def _segments(request: _Request, batch: EncodedBatch, hypotheses: Sequence[Hypothesis]) -> list[Segment]:
    """Return what was heard in a batch, as a request wants it."""
    return segments_of(
        batch, hypotheses, request.language, request.timed, logprobs=request.logprobs, translates=request.translates
    )


def english_only(name: str, options: Options) -> list[str]:
    """Return what a model that knows only English can't do of what is asked."""
    warnings: list[str] = []
    if options.language not in (None, ENGLISH):
        warnings.append(f"The model {name} knows only English: language {options.language} was ignored.")
    if options.task is Task.TRANSLATE:
        warnings.append(f"The model {name} can't translate: the text is a transcription.")
    return warnings
