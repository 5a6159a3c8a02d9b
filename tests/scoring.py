"""How good a transcript is: word error, diarization error, and both at once, against a reference's files."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import jiwer
import meeteval
from meeteval.io import SegLST
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate


def normal(text: str) -> str:
    """Small letters and digits; hyphens part words, apostrophes and accents go."""
    letters = unicodedata.normalize("NFD", text.lower()).replace("'", "").replace("’", "")
    letters = "".join(character for character in letters if not unicodedata.combining(character))
    return " ".join(re.sub(r"[^\w]+", " ", letters).split())


def stm(path: Path) -> list[dict[str, Any]]:
    """Return a reference's turns in order: speaker, start_time, end_time and words."""
    turns = []
    for line in path.read_text().splitlines():
        session, _, speaker, start, end, words = line.split(maxsplit=5)
        turns.append({
            "session_id": session, "speaker": speaker, "start_time": float(start), "end_time": float(end),
            "words": normal(words),
        })  # fmt: skip
    return sorted(turns, key=lambda turn: turn["start_time"])


def word_error(reference: Path, transcript: dict[str, Any]) -> float:
    """Return the word error rate over all speakers together, against an STM file."""
    said = " ".join(turn["words"] for turn in stm(reference))
    return jiwer.wer(said, normal(transcript["text"]))


def speaker_word_error(reference: Path, transcript: dict[str, Any]) -> float:
    """Return cpWER (Watanabe et al., CHiME-6): a word given to the wrong speaker counts as wrong twice."""
    turns: Any = stm(reference)
    heard: Any = [
        {
            "session_id": turns[0]["session_id"], "speaker": segment["speaker"], "start_time": segment["start"],
            "end_time": segment["end"], "words": normal(segment["text"]),
        }
        for segment in transcript["segments"]
    ]  # fmt: skip
    (rate,) = meeteval.wer.cpwer(SegLST(turns), SegLST(heard)).values()
    assert rate.error_rate is not None
    return float(rate.error_rate)


def rttm(path: Path) -> Annotation:
    """Return a reference's turns."""
    turns = Annotation()
    for index, line in enumerate(path.read_text().splitlines()):
        fields = line.split()
        turns[Segment(float(fields[3]), float(fields[3]) + float(fields[4])), index] = fields[7]
    return turns


def diarization_error(reference: Path, transcript: dict[str, Any], collar: float) -> float:
    """Return the diarization error rate of the labelled segments; `collar` is the seconds left out on each side."""
    heard = Annotation()
    for index, segment in enumerate(transcript["segments"]):
        heard[Segment(segment["start"], segment["end"]), index] = segment["speaker"]
    metric: Any = DiarizationErrorRate(collar=2 * collar)  # pyannote counts both sides together
    return abs(metric(rttm(reference), heard, uem=Timeline([Segment(0, transcript["duration"])])))
