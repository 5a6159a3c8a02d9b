"""Word times from Whisper's own cross-attention, for languages that have no alignment model.

The decoder's attention over the encoder's frames becomes one path by dynamic time warping, as in `timing.py` of
openai/whisper; ctranslate2 computes it from the encoder output that decoding used, so nothing is encoded twice.

On that path a word ends where the next one begins, so one that follows a pause swallows the pause: its end is right and
its start is far too early. What is done about it here (`plausible`) brought the starts from 64 % to 82 % within 100 ms
of AMI's reference words, given those words (`bench.accuracy`); of the words that Whisper base itself hears there, 81 %.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer

from whisperx_api.transcript import Word
from whisperx_api.words import LANGUAGES_WITHOUT_SPACES

LAG = 0.04
"""Seconds by which attention leads the sound: the median of Whisper base over AMI's words, and over read sentences."""

PACE_MARGIN = 1.25
"""How much longer than the chunk's median pace a word may be."""

EXTRA_LETTERS = 2
"""Added to a word's letters when its length is expected: short words take more time a letter."""

MIN_WORD = 0.02
"""Shortest word in seconds: one frame of the encoder."""

OPENING = frozenset("\"'“‘¿([{「『（《〈【")
"""Punctuation that belongs to the word after it, where no space tells; all other belongs to the word before."""

SPOKEN_MARKS = frozenset("%&@#")
"""Punctuation, says Unicode, that is read aloud and so takes time."""


@dataclass(frozen=True)
class Chunk:
    """A stretch of the recording that is decoded in one go, with the speech that voice activity detection saw in it.

    All times are seconds from the start of the recording; `speech` is in order, and inside `start`..`end`.
    """

    start: float
    end: float
    speech: tuple[tuple[float, float], ...]


def word_times(
    model: WhisperModel,
    tokenizer: Tokenizer,
    encoder_output: ctranslate2.StorageView,
    tokens: Sequence[Sequence[int]],
    chunks: Sequence[Chunk],
) -> list[tuple[Word, ...]]:
    """Return the words of each decoded chunk as they are written, with their times in the recording (seconds).

    `encoder_output` has shape (n_chunks, n_frames, n_state), `tokens` the ids decoded from each chunk. `score` is the
    mean probability of the word's tokens. In languages without spaces a word is the shortest run of tokens that
    decodes to whole characters.
    """
    text_tokens: list[list[int]] = [[token for token in ids if token < tokenizer.eot] for ids in tokens]
    frames = [max(2, round((chunk.end - chunk.start) * model.frames_per_second)) for chunk in chunks]
    # its annotations speak of one chunk and of one word: it takes a batch, and returns a list of words for each
    find_alignment: Any = model.find_alignment
    found = find_alignment(tokenizer, text_tokens, encoder_output, frames)
    spaced = tokenizer.language_code not in LANGUAGES_WITHOUT_SPACES
    return [
        plausible(joined(alignment, chunk.start, spaced), chunk) for chunk, alignment in zip(chunks, found, strict=True)
    ]


def joined(alignment: Sequence[dict[str, Any]], offset: float, spaced: bool) -> list[Word]:
    """Join the pieces that `find_alignment` found to words as they are written; times become those of the recording.

    It parts a word at each mark inside it ("real", "-time"; "l", "'équipe"). In languages with spaces a word ends at a
    space and nowhere else; in others marks join the word before or after. Silent marks add no time to a word.
    """
    groups: list[list[dict[str, Any]]] = []
    for piece in alignment:
        if groups and _continues(groups[-1][-1]["word"], piece["word"], spaced):
            groups[-1].append(piece)
        elif piece["word"]:
            groups.append([piece])
    words: list[Word] = []
    for pieces in groups:
        heard = [piece for piece in pieces if not _is_silent(piece["word"])] or pieces
        scores = [piece["probability"] for piece in heard]
        weights = [len(piece["tokens"]) for piece in heard]
        words.append(
            Word(
                word="".join(piece["word"] for piece in pieces).strip(),
                start=offset + float(heard[0]["start"]),
                end=offset + float(heard[-1]["end"]),
                score=round(float(np.average(scores, weights=weights)), 3),
            )
        )
    return [word for word in words if word.word]


def _continues(before: str, text: str, spaced: bool) -> bool:
    """Whether the piece `text` is of the same word as the piece `before` it."""
    if text.startswith(" "):
        return False
    if spaced or not text or before.strip() in OPENING or unicodedata.category(text[0]).startswith("M"):
        return True
    return _is_silent(text) and text.strip() not in OPENING


def _is_silent(text: str) -> bool:
    """Whether a piece is punctuation alone."""
    return all(
        mark.isspace() or (unicodedata.category(mark).startswith("P") and mark not in SPOKEN_MARKS) for mark in text
    )


def plausible(words: Sequence[Word], chunk: Chunk) -> tuple[Word, ...]:
    """Return words as attention gave them with times that speech can have.

    Attention's lead is taken back. A word much longer than its letters need at the pace of its chunk keeps its end and
    starts later. One that reaches over a silence keeps the stretch of speech it has most of. In the end words are in
    order, do not overlap, last `MIN_WORD` or longer where the chunk has room for that, and lie inside the chunk.
    """
    letters = np.array([max(1, sum(map(str.isalnum, word.word))) + EXTRA_LETTERS for word in words])
    lengths = np.array([word.end - word.start for word in words])
    longest = PACE_MARGIN * letters * (np.median(lengths / letters) if words else 0.0)
    latest_end = chunk.end - MIN_WORD * np.arange(len(words))[::-1]  # leaves room for the words that follow
    timed: list[Word] = []
    previous = chunk.start
    for word, most, limit in zip(words, longest.tolist(), latest_end.tolist(), strict=True):
        end = word.end + LAG
        start = max(word.start + LAG, end - most)
        start, end = _in_speech(start, end, chunk)
        start = max(previous, min(start, limit - MIN_WORD))
        end = max(start, min(max(end, start + MIN_WORD), limit))
        timed.append(Word(word.word, round(start, 3), round(end, 3), word.score))
        previous = end
    return tuple(timed)


def _in_speech(start: float, end: float, chunk: Chunk) -> tuple[float, float]:
    """Return the part of `start`..`end` in the stretch of speech that holds most of it; all of it if none does."""
    overlaps = [(min(end, last) - max(start, first), first, last) for first, last in chunk.speech]
    overlap, first, last = max(overlaps, default=(0.0, start, end))
    return (max(start, first), min(end, last)) if overlap > 0 else (start, end)
