"""Memory and time of diarization after its networks, pyannote's and ours: `python -m bench.clustering [HOURS …]`.

Each length (1 and 4 hours, if none is named) is a made-up meeting of six. Every figure comes from a process of its own,
whose anonymous memory is read from outside, for clustering lets no other thread of its process run. Memory is the most
that the input and the work add to the loaded models; the input is 0/1 in float32 for pyannote and in bytes for ours, as
each keeps it. The difference of turns is the diarization error of ours with pyannote's for reference.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import time
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyannote.core import Annotation, Segment
from pyannote.metrics.diarization import DiarizationErrorRate
from rich.console import Console
from rich.table import Table

from bench.meeting import make_meeting
from whisperx_api.pipeline.clustering import cluster_sample
from whisperx_api.pipeline.diarizers import starter_pipeline
from whisperx_api.pipeline.reconstruct import reconstruct_in_blocks
from whisperx_api.settings import load_settings
from whisperx_api.transcript import SAMPLE_RATE

SHARES = (0.35, 0.25, 0.2, 0.12, 0.06, 0.02)
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Run:
    """What one process measured: seconds of processor time, for they do not depend on what else runs."""

    seconds: float
    megabytes: float
    turns: list[tuple[float, float, Any]]


def work(pipe: Connection, hours: float, ours: bool) -> None:
    """Diarize a made-up meeting, and send "loaded", how long it took, and the turns."""
    warnings.simplefilter("ignore")
    pipeline: Any = starter_pipeline(load_settings().models / "starter")
    if ours:
        cluster_sample(pipeline)
        reconstruct_in_blocks(pipeline)
    pipe.send("loaded")
    pipe.recv()
    meeting = make_meeting(hours, SHARES)
    segmentations = meeting.segmentations
    if not ours:
        segmentations.data = segmentations.data.astype(np.float32)
    pipeline.get_segmentations = lambda *args, **options: segmentations
    pipeline.get_embeddings = lambda *args, **options: meeting.embeddings
    silence = torch.zeros(1, 1).expand(1, round(hours * 3600) * SAMPLE_RATE)  # one number, for nothing reads it
    began = time.process_time()
    found = pipeline({"waveform": silence, "sample_rate": SAMPLE_RATE})
    pipe.send(time.process_time() - began)
    turns = found.speaker_diarization.itertracks(yield_label=True)
    pipe.send([(turn.start, turn.end, speaker) for turn, _, speaker in turns])


def anonymous_megabytes(pid: int) -> float:
    """Return the memory of a process that no file stands behind."""
    found = re.search(r"^RssAnon:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def measure(hours: float, ours: bool) -> Run:
    """Run one length in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=work, args=(there, hours, ours))
    process.start()
    there.close()
    here.recv()
    pid = process.pid or 0
    loaded = most = anonymous_megabytes(pid)
    here.send("go")
    while not here.poll(POLL_SECONDS):
        most = max(most, anonymous_megabytes(pid))
    result = Run(here.recv(), most - loaded, here.recv())
    process.join()
    return result


def difference(run: Run, reference: Run) -> float:
    """Return the diarization error of `run`, if `reference` were the truth."""
    annotations = []
    for turns in (reference.turns, run.turns):
        annotation = Annotation()
        for i, (start, end, speaker) in enumerate(turns):
            annotation[Segment(start, end), i] = speaker
        annotations.append(annotation)
    metric = DiarizationErrorRate()
    metric(*annotations)
    return abs(metric)


def main(lengths: list[float]) -> None:
    """Measure every length and print a table."""
    table = Table("hours", "", "CPU seconds", "MB", "speakers", "turns", "difference of turns")
    for hours in lengths:
        stock, ours = measure(hours, ours=False), measure(hours, ours=True)
        for name, run in (("pyannote", stock), ("ours", ours)):
            speakers = {speaker for _, _, speaker in run.turns}
            figures = f"{run.seconds:.1f}", f"{run.megabytes:.0f}", f"{len(speakers)}", f"{len(run.turns)}"
            apart = f"{difference(run, stock):.2%}" if run is ours else ""
            table.add_row(f"{hours:g}", name, *figures, apart)
    Console().print(table)


if __name__ == "__main__":
    main([float(hours) for hours in sys.argv[1:]] or [1.0, 4.0])
