"""Who spoke when: a pyannote pipeline as a function from samples to turns.

The pipeline is the one of pyannote.audio 4 (Bredin, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech
2023): segmentation of 10 s windows, an embedding for each local speaker, clustering.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from whisperx_api.pipeline.out_of_memory import is_out_of_memory, make_room
from whisperx_api.pipeline.subsegments import SUBSEGMENTS, packed
from whisperx_api.transcript import SAMPLE_RATE, Diarization, Subsegments, Turn

with warnings.catch_warnings():
    # Audio always comes in decoded, so the decoder that pyannote may lack is of no consequence.
    warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly", category=UserWarning)
    from pyannote.audio import Pipeline
    from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
    from pyannote.core import Annotation

    from whisperx_api.pipeline.known_speakers import recognise

BATCH_SIZES = ("segmentation_batch_size", "embedding_batch_size")
"""What pyannote's pipelines call the sizes of their batches."""

Steps = dict[str, tuple[float, float]]
"""From which to which fraction of the work each step of pyannote goes."""

EXACT_STEPS: Steps = {"segmentation": (0.0, 0.15), "embeddings": (0.15, 0.98)}
FAST_STEPS: Steps = {"segmentation": (0.0, 0.65), "embeddings": (0.65, 0.98)}
"""Both measured with the starter models on a CPU."""

NOISE = (
    r"\s*TensorFloat-32 \(TF32\) has been disabled",
    r"\s*The detected number of speakers",
    r"std\(\): degrees of freedom is <= 0",
    r"Mean of empty slice",
    r"invalid value encountered in (scalar )?divide",
)
"""Warnings that say nothing a user can act on, or that a `Diarization` says itself."""


class _Progress:
    """pyannote's hook as one fraction that never falls; keeps the embeddings of every half second, where told of."""

    def __init__(self, steps: Steps, report: Callable[[float], None]) -> None:
        self._steps = steps
        self._report = report
        self._fraction = 0.0
        self.subsegments: Subsegments | None = None

    def __call__(
        self, step: str, artifact: Any, file: Any = None, total: int | None = None, completed: int | None = None
    ) -> None:
        """Called before and after every batch, with counts, and once a finished step, without."""
        if step == SUBSEGMENTS:
            self.subsegments = packed(artifact)
        if step not in self._steps:
            return
        start, end = self._steps[step]
        done = 1.0 if completed is None or not total else min(1.0, completed / total)
        self._fraction = max(self._fraction, float(start + (end - start) * done))
        self._report(self._fraction)


class Diarizer:
    """A loaded diarization pipeline."""

    def __init__(self, name: str, pipeline: Pipeline, steps: Steps = EXACT_STEPS) -> None:
        self.name = name
        self._pipeline = pipeline
        self._steps = steps

    def __call__(
        self,
        audio: np.ndarray,
        *,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        voices: Mapping[str, np.ndarray] | None = None,
        report: Callable[[float], None] = lambda fraction: None,
    ) -> Diarization:
        """Find the turns of each speaker, SPEAKER_00 being the first to talk.

        audio: (n_samples,) float32 in -1..1 at `SAMPLE_RATE`; only read, so a read-only memory map will do.
        num_speakers: how many there are, where known; `min_speakers` and `max_speakers` bound the number otherwise.
        voices: for each known speaker's name some seconds of their voice, (n_samples,) as `audio`; speakers who have
            one of them are named.
        report: called between batches with the fraction of the work that is done, 0..1; whatever it raises ends the
            work and comes out of this call.

        Speakers too short to be recognised (about 2 s alone in no 10 s window) have turns but no embedding. A
        batch that does not fit the device is halved, for good. Raises `ValueError` for other audio or bounds that
        contradict each other, and `MemoryError` or `torch.OutOfMemoryError` where one window is too large.
        """
        if audio.ndim != 1 or audio.dtype != np.float32:
            raise ValueError(f"audio must be one-dimensional float32, not {audio.ndim}-dimensional {audio.dtype}")
        report(0.0)
        if not audio.size:
            report(1.0)
            return Diarization(turns=(), exclusive=(), model=self.name)
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            for message in NOISE:
                warnings.filterwarnings("ignore", message=message)
            bounds: dict[str, Any] = {
                "num_speakers": num_speakers,
                "min_speakers": min_speakers,
                "max_speakers": max_speakers,
            }
            progress = _Progress(self._steps, report)
            while (output := self._fitting(audio, bounds, progress)) is None:
                make_room("Diarization's batch", self._halve())
            result = _diarization(output, self.name, num_speakers or min_speakers, num_speakers or max_speakers)
            if voices:
                known = recognise(self._pipeline, voices, result.embeddings, SAMPLE_RATE)
                result = replace(result, names=known.names, warnings=(*result.warnings, *known.warnings))
        report(1.0)
        return replace(result, subsegments=progress.subsegments)

    def _fitting(self, audio: np.ndarray, bounds: dict[str, Any], progress: _Progress) -> Any:
        """Return the pipeline's output, None where its batches are too large for the device; raises that at one."""
        try:
            return self._pipeline(
                {"waveform": _tensor(audio)[None], "sample_rate": SAMPLE_RATE}, **bounds, hook=progress
            )
        except Exception as error:
            if not is_out_of_memory(error) or max(self._batches().values(), default=1) == 1:
                raise
            return None

    def _batches(self) -> dict[str, int]:
        return {name: getattr(self._pipeline, name) for name in BATCH_SIZES if hasattr(self._pipeline, name)}

    def _halve(self) -> int:
        """Halve the batches of the networks, for good, and return the larger one."""
        for name, size in self._batches().items():
            setattr(self._pipeline, name, max(1, size // 2))
        return max(self._batches().values())


def _tensor(audio: np.ndarray) -> torch.Tensor:
    """Return `audio` as a tensor on the same memory, which nothing here writes to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(audio))


def _diarization(output: DiarizeOutput | Annotation, name: str, fewest: int | None, most: int | None) -> Diarization:
    """Return what pyannote found. Pipelines of before pyannote.audio 4 give bare turns, with neither more."""
    labels: list[Any] = []
    vectors = None
    if isinstance(output, Annotation):
        turns = turns_of(output)
        exclusive = exclusive_turns(turns)
    else:
        turns = turns_of(output.speaker_diarization)
        exclusive = turns_of(output.exclusive_speaker_diarization)
        labels, vectors = output.speaker_diarization.labels(), output.speaker_embeddings
    names: dict[Any, str] = {}
    for turn in (*turns, *exclusive):
        names.setdefault(turn.speaker, f"SPEAKER_{len(names):02d}")
    embeddings = {
        names[label]: tuple(float(value) for value in vector)
        for label, vector in zip(labels, vectors if vectors is not None else (), strict=False)
        if np.isfinite(vector).all() and vector.any()
    }
    found, notes = len(names), ()
    if (fewest is not None and found < fewest) or (most is not None and found > most):
        asked = fewest if fewest == most else f"{fewest or 1} to {most}" if most else f"at least {fewest}"
        notes = (f"{asked} speakers were asked for and {found} found.",)
    return Diarization(
        turns=tuple(Turn(turn.start, turn.end, names[turn.speaker]) for turn in turns),
        exclusive=tuple(Turn(turn.start, turn.end, names[turn.speaker]) for turn in exclusive),
        embeddings=dict(sorted(embeddings.items())),
        model=name,
        warnings=notes,
    )


def turns_of(annotation: Annotation) -> tuple[Turn, ...]:
    """Return turns in time order, with pyannote's labels."""
    tracks: Any = annotation.itertracks(yield_label=True)  # typed for both of its forms at once
    return tuple(Turn(float(segment.start), float(segment.end), label) for segment, _, label in tracks)


def exclusive_turns(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Return turns of which no two overlap: whoever talks keeps the floor, the next gets what is left of their turn."""
    exclusive: list[Turn] = []
    floor = 0.0
    for turn in sorted(turns, key=lambda turn: (turn.start, turn.end)):
        if turn.end > floor:
            exclusive.append(Turn(max(turn.start, floor), turn.end, turn.speaker))
            floor = turn.end
    return tuple(exclusive)
