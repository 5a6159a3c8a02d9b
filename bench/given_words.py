"""Where words start when the words are known: AMI's own words, in turns that few talk over, timed in four ways.

`find_alignment` as faster-whisper has it, and this engine's word times from it (`pipeline/attention.py`); this engine's
forced alignment (`pipeline/align.py`) and `whisperx.align`, both with the same CTC model of phonemes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nltk
import numpy as np
import torch
import whisperx
from faster_whisper.tokenizer import Tokenizer
from whisperx.audio import N_SAMPLES, log_mel_spectrogram
from whisperx.vads import Pyannote

from bench.peer import CHUNK_SIZE
from bench.phonemes import PhonemeModel
from bench.punkt_tab import write_punkt_tab
from bench.references import Utterance, stm, words_ctm
from whisperx_api.options import Options
from whisperx_api.pipeline.align import Aligner
from whisperx_api.pipeline.attention import Chunk, joined, plausible
from whisperx_api.pipeline.decode import decode
from whisperx_api.pipeline.run import samples
from whisperx_api.transcript import SAMPLE_RATE, Segment, Transcription

MARGIN = 0.25
"""Seconds of sound before and after a turn: the edges of a chunk are never those of its words."""

OVERLAPPED = 0.5
"""Turns of which others talk over this much or more are left out."""

EXCERPTS = ("dev00", "dev01", "trn00", "trn03", "trn04", "trn05")

PLAIN, ATTENTION, ALIGNER, WHISPERX = "find_alignment", "engine, attention", "engine, CTC", "whisperx.align, CTC"

Offsets = Mapping[str, list[float]]
"""For each way of timing, by how many seconds each word starts too late."""


def start_offsets(folder: Path, starter: Path, phonemes: Path, threads: int = 2) -> Offsets:
    """Time the words of the AMI excerpts in `folder`; `phonemes` is the folder that `bench.phonemes.fetch` gave."""
    pipeline: Any = whisperx.load_model(
        str(starter / "whisper"), "cpu", compute_type="int8", threads=threads, language="en"
    )
    model = PhonemeModel(phonemes)
    found: dict[str, list[float]] = {PLAIN: [], ATTENTION: [], ALIGNER: [], WHISPERX: []}
    with tempfile.TemporaryDirectory() as scratch:
        write_punkt_tab(Path(scratch))
        nltk.data.path.insert(0, scratch)
        for name in EXCERPTS:
            audio = np.array(samples(decode(folder / f"{name}.flac", Path(scratch) / f"{name}.f32")))
            speech = _speech(pipeline, audio)
            for words in _turns(folder / f"{name}.stm"):
                start = max(0.0, words[0].start - MARGIN)
                chunk = Chunk(start, min(words[-1].end + MARGIN, len(audio) / SAMPLE_RATE), speech)
                for way, starts in _starts(pipeline.model, model, audio, words, chunk).items():
                    assert len(starts) == len(words), (way, words)
                    found[way].extend(at - word.start for at, word in zip(starts, words, strict=True))
        nltk.data.path.remove(scratch)
    return found


def _turns(path: Path) -> Iterator[list[Utterance]]:
    """Yield the words of each turn that is hardly talked over."""
    turns, words = stm(path), words_ctm(path.with_suffix(".words.ctm"))
    for turn in turns:
        others = [other for other in turns if other.speaker != turn.speaker]
        over = sum(max(0.0, min(turn.end, other.end) - max(turn.start, other.start)) for other in others)
        if over < OVERLAPPED * (turn.end - turn.start):
            mine = [word for word in words if word.speaker == turn.speaker]
            yield [word for word in mine if turn.start - 0.01 <= word.start and word.end <= turn.end + 0.01]


def _speech(pipeline: Any, audio: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Return the stretches of speech in a recording, as transcription sees them."""
    file = {"waveform": torch.from_numpy(audio)[None], "sample_rate": SAMPLE_RATE}
    scores = pipeline.vad_model.vad_pipeline._segmentation(file)
    merged = Pyannote.merge_chunks(scores, CHUNK_SIZE, onset=Options().vad_onset, offset=Options().vad_offset)
    return tuple(stretch for chunk in merged for stretch in chunk["segments"])


def _starts(
    whisper: Any, phonemes: PhonemeModel, audio: np.ndarray, words: Sequence[Utterance], chunk: Chunk
) -> dict[str, list[float]]:
    """Return the start of each word in each way."""
    sound = audio[int(chunk.start * SAMPLE_RATE) : int(chunk.end * SAMPLE_RATE)][:N_SAMPLES]
    mel = log_mel_spectrogram(torch.from_numpy(sound), whisper.model.n_mels, padding=N_SAMPLES - len(sound))
    tokenizer = Tokenizer(whisper.hf_tokenizer, True, "transcribe", "en")
    tokens = tokenizer.encode(" " + " ".join(word.text for word in words))
    frames = [round((chunk.end - chunk.start) * whisper.frames_per_second)]
    pieces = whisper.find_alignment(tokenizer, [tokens], whisper.encode(mel[None].numpy()), frames)[0]
    plain = joined(pieces, chunk.start, spaced=True)

    spelt = Segment(chunk.start, chunk.end, " ".join(phonemes.spell(word.text) for word in words))
    aligner = Aligner("phonemes", "en", phonemes, phonemes.classes, "cpu")
    ours = aligner(audio, Transcription("en", (spelt,), ""), report=lambda fraction: None)
    metadata = {"language": "en", "dictionary": phonemes.classes, "type": "huggingface"}
    segment: Any = {"start": spelt.start, "end": spelt.end, "text": spelt.text}
    theirs = whisperx.align([segment], phonemes, metadata, audio, "cpu")["word_segments"]
    return {
        PLAIN: [word.start for word in plain],
        ATTENTION: [word.start for word in plausible(plain, chunk)],
        ALIGNER: [word.start for sentence in ours.segments for word in sentence.words],
        WHISPERX: [word["start"] for word in theirs],
    }
