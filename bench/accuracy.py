"""How right the transcripts are, beside WhisperX on the same models: `python -m bench.accuracy [FOLDER]`.

FOLDER holds recordings with human truth, as `bench/references.py` knows them; without it only pyannote's sample is
scored. Prints a table, and writes the same figures to `build/bench/accuracy.json` (`--out FOLDER`).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from bench import given_words, phonemes
from bench.figures import machine
from bench.peer import WhisperX, assigned
from bench.references import Reference, Utterance, references
from bench.scoring import (
    Heard,
    Pair,
    Rate,
    annotation,
    diarization_error,
    pairs,
    speaker_word_error,
    start_offsets,
    word_diarization_error,
    word_error,
)
from whisperx_api.models import starter_set
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.options import Options
from whisperx_api.pipeline import run
from whisperx_api.pipeline.align import Aligner
from whisperx_api.pipeline.attribution import SpeakerTimes
from whisperx_api.pipeline.decode import decode
from whisperx_api.pipeline.diarize import Diarizer, exclusive_turns, turns_of
from whisperx_api.pipeline.diarizers import load_diarizer
from whisperx_api.pipeline.transcribe import Transcriber
from whisperx_api.pipeline.transcribers import load_transcriber
from whisperx_api.settings import load_settings
from whisperx_api.transcript import Alignment, Audio, Diarization, Segment, Transcription, Turn

RATES = ("WER", "cpWER", "DER", "DER 0.25", "WDER", "WDER, human turns", "WDER, moved edges")
EDGES_MOVED = 0.2
"""Seconds, standard deviation, by which the edges of human turns are moved to be as wrong as those that are found."""
TIMES_MOVED = 6
ENGINE, PEER, ALONE = "engine", "whisperx", "each word alone"
"""This engine; WhisperX; and this engine's words, each given to the nearest exclusive turn whatever its sentence."""

NOTES = f"""\
WER, cpWER: word error, and with the wrong speaker an error too. DER: of the turns, overlap counted; 0.25: that much
left out on each side of an edge. WDER: words given to the wrong speaker, of those heard; "human turns": the same words
given to the reference's turns; "moved edges": to those with edges moved at random by {EDGES_MOVED} s (standard
deviation), {TIMES_MOVED} times. Starts: how far a rightly heard word's start is from the reference's.
{PEER}: its own transcription, pyannote's own pipeline, its own assignment of speakers; its words have the engine's
times, for no alignment model comes without a hub. {ALONE!r}: the engine without regard to sentences."""


@dataclass
class Score:
    """Figures of one system: of one recording, or pooled over all."""

    rates: dict[str, Rate] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Pool another recording's figures."""
        for name, rate in other.rates.items():
            self.rates[name] = self.rates.get(name, Rate()) + rate
        self.starts.extend(other.starts)

    def json(self) -> dict[str, object]:
        """Return the figures as plain values."""
        figures: dict[str, object] = {
            name: {"rate": round(float(rate), 4), "errors": round(rate.errors, 3), "of": round(rate.total, 3)}
            for name, rate in self.rates.items()
        }
        return figures | ({"starts": starts_json(self.starts)} if self.starts else {})


def starts_json(offsets: Sequence[float]) -> dict[str, float]:
    """Return how far starts are off, in seconds, and which share of them is near."""
    off = np.abs(offsets)
    return {
        "words": len(off), "median_seconds": round(float(np.median(off)), 3),
        "within_0.1": round(float(np.mean(off <= 0.1)), 4), "within_0.2": round(float(np.mean(off <= 0.2)), 4),
    }  # fmt: skip


class Starter:
    """The engine's stages with the starter models, as `pipeline.run` wants them."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._transcriber = load_transcriber(
            folder / "whisper", name="starter", device="cpu", compute_type="int8", workers=workers
        )
        self._diarizer = load_diarizer(folder, device=torch.device("cpu"), batch_size=8, workers=workers)

    def transcriber(self, name: str | None) -> Transcriber:
        return self._transcriber

    def diarizer(self) -> Diarizer:
        return self._diarizer

    def choose_aligner(self, language: str) -> run.AlignerChoice:
        return run.AlignerChoice(None)

    def aligner(self, name: str, language: str) -> Aligner:
        raise ModelUnavailable("Word times come from cross-attention here.")


def score(reference: Reference, engine: Starter, peer: WhisperX, scratch: Path) -> dict[str, Score]:
    """Run both systems over one recording and compare each with the truth."""
    audio = decode(reference.recording, scratch / f"{reference.name}.f32")
    options, ignore = Options(), lambda fraction: None
    transcription = run.transcribe(audio, options, engine, run.Decoding(), ignore)
    alignment = run.align(audio, transcription, engine, ignore)
    diarization = run.diarize(audio, options, engine, ignore)
    theirs = peer(run.samples(audio), [word for sentence in alignment.segments for word in sentence.words])

    def ours(turns: Diarization) -> list[Heard]:
        return _heard(run.assign(audio, options, transcription, alignment, turns).segments)

    def stock(turns: Diarization) -> list[Heard]:
        return assigned(theirs.sentences, turns.turns)

    def alone(turns: Diarization) -> list[Heard]:
        return _word_by_word(alignment, turns)

    stock_turns = Diarization(theirs.turns, theirs.turns)
    return {
        ENGINE: _score(reference, audio, _text(transcription), ours, diarization),
        PEER: _score(reference, audio, theirs.text, stock, stock_turns),
        ALONE: _score(reference, audio, _text(transcription), alone, diarization),
    }


def _score(
    reference: Reference, audio: Audio, text: str, assign: Callable[[Diarization], list[Heard]], found: Diarization
) -> Score:
    result = Score()
    if reference.utterances is not None:
        said = [replace(one, end=min(one.end, audio.duration)) for one in reference.utterances]
        heard = assign(found)
        matched = pairs(said, heard)
        result.rates["WER"] = word_error(said, text)
        result.rates["cpWER"] = speaker_word_error(said, heard)
        result.rates["WDER"] = word_diarization_error(matched)
        if reference.turns is not None:
            human = turns_of(reference.turns)
            result.rates["WDER, human turns"] = _with_turns(human, said, assign)
            result.rates["WDER, moved edges"] = _with_moved_edges(human, said, assign)
        result.starts = start_offsets(matched) if reference.timed else []
    if reference.turns is not None:
        turns = annotation((turn.start, turn.end, turn.speaker) for turn in found.turns)
        for name, collar in (("DER", 0.0), ("DER 0.25", 0.25)):
            result.rates[name] = diarization_error(reference.turns, turns, audio.duration, collar)
    return result


def _with_turns(
    turns: tuple[Turn, ...], said: Sequence[Utterance], assign: Callable[[Diarization], list[Heard]]
) -> Rate:
    matched: list[Pair] = pairs(said, assign(Diarization(turns, exclusive_turns(turns))))
    return word_diarization_error(matched)


def _with_moved_edges(
    turns: Sequence[Turn], said: Sequence[Utterance], assign: Callable[[Diarization], list[Heard]]
) -> Rate:
    chance = np.random.default_rng(0)
    rate = Rate()
    for _ in range(TIMES_MOVED):
        edges = np.array([(turn.start, turn.end) for turn in turns])
        edges = np.maximum(edges + chance.normal(0.0, EDGES_MOVED, edges.shape), 0.0).tolist()
        moved = [Turn(start, end, turn.speaker) for (start, end), turn in zip(edges, turns, strict=True) if end > start]
        rate = rate + _with_turns(tuple(moved), said, assign)
    return rate


def _text(transcription: Transcription) -> str:
    return " ".join(segment.text for segment in transcription.segments)


def _heard(segments: Iterable[Segment]) -> list[Heard]:
    return [Heard(word.word, word.start, word.end, word.speaker) for segment in segments for word in segment.words]


def _word_by_word(alignment: Alignment, diarization: Diarization) -> list[Heard]:
    """Give each word to the exclusive turn that it overlaps most, else to the nearest, as if it had no sentence."""
    heard = _heard(alignment.segments)
    times = SpeakerTimes(diarization)
    if not heard or not times.speakers:
        return heard
    closeness = times.exclusive(np.array([word.start for word in heard]), np.array([word.end for word in heard]))
    found = closeness.argmax(axis=1).tolist()
    return [replace(word, speaker=times.speakers[index]) for word, index in zip(heard, found, strict=True)]


def _row(name: str, system: str, result: Score) -> str:
    cells = [f"{float(result.rates[rate]):7.1%}" if rate in result.rates else f"{'':7}" for rate in RATES]
    if result.starts and system == ENGINE:
        starts = starts_json(result.starts)
        cells.append(f"{starts['median_seconds']:5.3f} s {starts['within_0.1']:6.1%} {starts['within_0.2']:6.1%}")
    return f"{name:38.38} {system:15} " + "  ".join(cells)


def measure(folder: Path | None, models: Path, out: Path) -> dict[str, object]:
    """Score every recording, print as it goes, and return all figures."""
    threads = min(4, os.cpu_count() or 1)
    starter = starter_set.folder(models)
    engine, peer = Starter(starter, threads), WhisperX(starter, threads)
    pooled = {system: Score() for system in (ENGINE, PEER, ALONE)}
    recordings: dict[str, object] = {}
    print(f"{'':54} WER      cpWER    DER      DER.25   WDER   human    moved    start off, within 0.1 s, 0.2 s")
    with tempfile.TemporaryDirectory() as scratch:
        for reference in references(folder):
            scores = score(reference, engine, peer, Path(scratch))
            recordings[reference.name] = {system: one.json() for system, one in scores.items()}
            for system, one in scores.items():
                pooled[system].add(one)
                if system != ALONE:
                    print(_row(reference.name, system, one), flush=True)
    for system, one in pooled.items():
        print(_row("pooled", system, one))
    figures: dict[str, object] = {
        "machine": machine(),
        "notes": NOTES,
        "pooled": {system: one.json() for system, one in pooled.items()},
        "recordings": recordings,
    }
    if folder is not None and (folder / "ami").is_dir():
        files = phonemes.fetch(out)
        offsets = given_words.start_offsets(folder / "ami", starter, files, threads)
        figures["given_words"] = {way: starts_json(found) for way, found in offsets.items()}
        print("\nStarts of AMI's own words: median off, within 0.1 s, 0.2 s")
        for way, found in offsets.items():
            one = starts_json(found)
            near = f"{one['within_0.1']:6.1%} {one['within_0.2']:6.1%}"
            print(f"{way:22} {one['median_seconds']:5.3f} s {near}  of {one['words']} words")
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="recordings with human truth")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where the figures go")
    parser.add_argument("--models", type=Path, default=None, help="folder of the starter models (MODEL_DIR)")
    chosen = parser.parse_args(arguments)
    if chosen.folder is not None and not chosen.folder.is_dir():
        parser.error(f"there is no folder {chosen.folder}")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    chosen.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    figures = measure(chosen.folder, chosen.models or load_settings().models, chosen.out)
    (chosen.out / "accuracy.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\n{NOTES}\n{time.monotonic() - began:.0f} s; figures in {chosen.out / 'accuracy.json'}")


if __name__ == "__main__":
    main()
