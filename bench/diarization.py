"""How fast diarization is beside pyannote's own pipeline: `python -m bench.diarization [--seconds N] [FOLDER]`.

Exact: WeSpeaker's ResNet34, which community-1 and 3.1 use, with random weights (its work does not depend on them), on
pyannote's sample repeated to N seconds (120), with and without as much silence after it; the turns must be the same.
Fast: the starter models, beside exact and beside pyannote, on the recordings with known turns in FOLDER (`ami/*.flac`,
`katiesteve/katiesteve.flac`) and the sample: one by one, with the diarization error of each, and joined. All use every
core: pyannote by torch's threads, this project by threads that compute apart, as its engine does.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from pyannote.audio.models.embedding.wespeaker import WeSpeakerResNet34
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm
from pyannote.metrics.diarization import DiarizationErrorRate

from bench.figures import Figure, publish, threads, timed
from whisperx_api.demo import sample
from whisperx_api.engine.device import cores
from whisperx_api.options import DiarizationMode
from whisperx_api.pipeline.diarizers import load_diarizer, starter_pipeline
from whisperx_api.pipeline.embeddings import embed_once
from whisperx_api.pipeline.segmentation import window_by_window
from whisperx_api.settings import load_settings
from whisperx_api.transcript import SAMPLE_RATE

BATCH = 32
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Recording:
    """`sound` (n_samples,) float32 at 16 kHz, and who talks when in truth."""

    name: str
    sound: np.ndarray
    truth: Annotation


def recording(path: Path) -> Recording:
    """Read a recording, and its turns from the .rttm beside it."""
    sound, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE or sound.ndim != 1:
        raise SystemExit(f"{path} is not 16 kHz mono.")
    (truth,) = load_rttm(path.with_suffix(".rttm")).values()
    return Recording(path.stem, sound, truth)


def recordings(folder: Path | None) -> list[Recording]:
    """Read pyannote's sample, and the recordings of a folder."""
    paths = [sample()]
    if folder is not None:
        paths += [folder / "katiesteve" / "katiesteve.flac", *sorted((folder / "ami").glob("*.flac"))]
    return [recording(path) for path in paths]


def as_file(sound: np.ndarray) -> dict[str, Any]:
    """Return samples as pyannote's pipelines take them."""
    return {"waveform": torch.from_numpy(sound)[None], "sample_rate": SAMPLE_RATE}


def exact(starter: Path, seconds: int, device: torch.device = CPU) -> list[Figure]:
    """Measure stock and exact on the same random network."""
    sound = soundfile.read(sample(), dtype="float32")[0]
    speech = np.resize(sound, seconds * SAMPLE_RATE)
    figures: list[Figure] = []
    for what, heard in (("speech", speech), ("half silence", np.concatenate([speech, np.zeros_like(speech)]))):
        torch.manual_seed(0)
        network = WeSpeakerResNet34().eval()
        stock, ours = starter_pipeline(starter, network), starter_pipeline(starter, network)
        for pipeline in (stock, ours):
            pipeline.to(device)
            pipeline.segmentation_batch_size = pipeline.embedding_batch_size = BATCH
        assert window_by_window(ours._segmentation.model, cores()) == (device == CPU)
        assert embed_once(ours, cores())
        with threads(1):
            quick, found = timed(lambda ours=ours, heard=heard: turns(ours, heard))
        slow, expected = timed(lambda stock=stock, heard=heard: turns(stock, heard))
        note = f"the same {len(found)} turns" if found == expected else f"{differing(found, expected)} turns differ"
        figures.append(
            Figure(
                f"exact, ResNet34, {len(heard) / SAMPLE_RATE:.0f} s, {what}",
                "s",
                quick,
                slow,
                "pyannote",
                "3.5 times, the same turns",
                note,
            )
        )
    return figures


def turns(pipeline: Any, sound: np.ndarray) -> list[tuple[int, int, str]]:
    """Return turns in whole milliseconds."""
    output = pipeline(as_file(sound))
    return [
        (round(1000 * segment.start), round(1000 * segment.end), label)
        for segment, _, label in output.speaker_diarization.itertracks(yield_label=True)
    ]


def differing(found: Sequence[Any], expected: Sequence[Any]) -> int:
    """Return how many turns are in one of the two only."""
    return len(set(found) ^ set(expected))


def fast(starter: Path, given: Sequence[Recording], device: torch.device = CPU) -> list[Figure]:
    """Measure stock, exact and fast on the starter models: on each recording, with its error, and on all joined."""
    stock: Any = starter_pipeline(starter).to(device)
    stock.segmentation_batch_size = stock.embedding_batch_size = BATCH
    runs: dict[str, Callable[[np.ndarray], Any]] = {"pyannote": lambda sound: stock(as_file(sound))}
    runs |= {
        mode.value: load_diarizer(starter, device=device, batch_size=BATCH, workers=cores(), mode=mode)
        for mode in DiarizationMode
    }
    apart, joined = dict.fromkeys(runs, 0.0), dict.fromkeys(runs, 0.0)
    errors: dict[str, dict[str, Any]] = {name: {} for name in runs}
    for one in given:
        group = one.name if one.name in ("katiesteve", "sample") else "AMI"
        for name, call in runs.items():
            with threads(cores() if name == "pyannote" else 1):
                seconds, output = timed(functools.partial(call, one.sound), 2)
            apart[name] += seconds
            error = errors[name].setdefault(group, DiarizationErrorRate())  # no collar, overlap counted
            error(one.truth, annotation(output), uem=Timeline([Segment(0, len(one.sound) / SAMPLE_RATE)]))
    together = np.concatenate([one.sound for one in given])
    for name, call in runs.items():
        with threads(cores() if name == "pyannote" else 1):
            joined[name], _ = timed(functools.partial(call, together), 2)
    said = {
        name: ", ".join(f"{group} {100 * abs(error):.1f}" for group, error in groups.items())
        for name, groups in errors.items()
    }
    note = "; ".join(f"DER % {name}: {text}" for name, text in said.items())
    figures: list[Figure] = []
    for times, how in ((joined, "in one"), (apart, f"in {len(given)} recordings")):
        what = f"starter, {len(together) / SAMPLE_RATE:.0f} s {how}"
        figures += [
            Figure(f"fast, {what}", "s", times["fast"], times["exact"], "exact", "4 times", note),
            Figure(f"fast, {what}", "s", times["fast"], times["pyannote"], "pyannote"),
            Figure(f"exact, {what}", "s", times["exact"], times["pyannote"], "pyannote"),
        ]
        note = ""
    return figures


def annotation(output: Any) -> Annotation:
    """Return the turns of pyannote's output or of a `Diarization`."""
    if hasattr(output, "speaker_diarization"):
        return output.speaker_diarization
    heard = Annotation()
    for index, turn in enumerate(output.turns):
        heard[Segment(turn.start, turn.end), index] = turn.speaker
    return heard


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="recordings with known turns")
    parser.add_argument("--seconds", type=int, default=120, help="length of the exact comparison (%(default)s)")
    parser.add_argument("--only", choices=("exact", "fast"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    starter = load_settings().models / "starter"
    figures: list[Figure] = []
    if arguments.only != "fast":
        figures += exact(starter, arguments.seconds)
    if arguments.only != "exact":
        figures += fast(starter, recordings(arguments.folder))
    publish("diarization", figures)


if __name__ == "__main__":
    main()
