"""WhisperX beside this engine: the same models, called as its own command line calls them.

Its alignment has no model without a hub, so its words get the times that this engine found for them, and its own
assignment of speakers then works on the same timed words: only the assignment differs. Its word without a speaker is
given that of its segment, as users of its output do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import whisperx
from whisperx.diarize import DiarizationPipeline

from bench.scoring import Heard
from whisperx_api.pipeline.align import Span, interpolated
from whisperx_api.pipeline.diarizers import starter_pipeline
from whisperx_api.pipeline.sentences import split_sentences
from whisperx_api.transcript import Segment, Turn, Word

BATCH_SIZE, CHUNK_SIZE = 8, 30
"""Defaults of its command line."""


@dataclass(frozen=True)
class Result:
    """What it made of one recording: sentences with timed words, and turns that may overlap."""

    language: str
    sentences: tuple[Segment, ...]
    turns: tuple[Turn, ...]

    @property
    def text(self) -> str:
        """The whole text."""
        return " ".join(sentence.text for sentence in self.sentences)


class WhisperX:
    """WhisperX with the starter models, loaded."""

    def __init__(self, starter: Path, threads: int) -> None:
        self._asr: Any = whisperx.load_model(str(starter / "whisper"), "cpu", compute_type="int8", threads=threads)
        self._diarize = DiarizationPipeline.__new__(DiarizationPipeline)  # its constructor asks the hub
        self._diarize.model = starter_pipeline(starter)

    def __call__(self, audio: np.ndarray, words: Sequence[Word]) -> Result:
        """Transcribe and diarize `audio`, shape = (n_samples,), float32 at 16 kHz; `words` lend their times."""
        heard = self._asr.transcribe(np.array(audio), batch_size=BATCH_SIZE, chunk_size=CHUNK_SIZE)
        frame: Any = self._diarize(np.array(audio))
        turns = tuple(Turn(row["start"], row["end"], row["speaker"]) for _, row in frame.iterrows())
        sentences: list[Segment] = []
        for chunk in timed(heard["segments"], words):
            sentences.extend(split_sentences(chunk, heard["language"]))
        return Result(heard["language"], tuple(sentences), turns)


def timed(chunks: Sequence[dict[str, Any]], words: Sequence[Word]) -> list[Segment]:
    """Return chunks with their words, each with the times of the same word in `words`; others share what is between."""
    written = [text for chunk in chunks for text in chunk["text"].split()]
    spans: list[Span | None] = [None] * len(written)
    for block in SequenceMatcher(None, written, [word.word for word in words], autojunk=False).get_matching_blocks():
        for index in range(block.size):
            word = words[block.b + index]
            spans[block.a + index] = (word.start, word.end, word.score or 0.0)
    found: list[Segment] = []
    first = 0
    for chunk in chunks:
        own = chunk["text"].split()
        times = interpolated(own, spans[first : first + len(own)], chunk["start"], chunk["end"])
        found.append(Segment(chunk["start"], chunk["end"], " ".join(own), times))
        first += len(own)
    return found


def assigned(sentences: Sequence[Segment], turns: Sequence[Turn]) -> list[Heard]:
    """Return the words with the speakers that `whisperx.assign_word_speakers` gives them."""
    frame = pandas.DataFrame([{"start": turn.start, "end": turn.end, "speaker": turn.speaker} for turn in turns])
    transcript: Any = {
        "segments": [
            {
                "start": sentence.start, "end": sentence.end, "text": sentence.text,
                "words": [{"word": word.word, "start": word.start, "end": word.end} for word in sentence.words],
            }
            for sentence in sentences
        ]
    }  # fmt: skip
    labelled: Any = whisperx.assign_word_speakers(frame, transcript)
    return [
        Heard(word["word"], word["start"], word["end"], word.get("speaker", segment.get("speaker")))
        for segment in labelled["segments"]
        for word in segment["words"]
    ]
