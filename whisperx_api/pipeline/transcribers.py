"""Where transcription models come from, and how they share the machine."""

from __future__ import annotations

from pathlib import Path

import ctranslate2
import torch
from faster_whisper import WhisperModel
from whisperx.vads import Pyannote

from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.options import Options
from whisperx_api.pipeline import segmentation
from whisperx_api.pipeline.building import building
from whisperx_api.pipeline.damage import of_the_files, reason
from whisperx_api.pipeline.transcribe import Transcriber

FEATURES_AHEAD = 2
"""Threads that share a GPU: one decodes, the other makes the features of its next batch."""

SEED = 0
"""Of the samples that are drawn at a temperature above 0."""


def load_transcriber(folder: Path, *, name: str, device: str, compute_type: str, workers: int) -> Transcriber:
    """Load the CTranslate2 Whisper model in `folder`, and whisperx's own voice activity model.

    `device` is cpu, cuda or cuda:N; `compute_type` one of CTranslate2's; `workers` how many threads compute side by
    side on a CPU. Raises `ModelUnavailable`.
    """
    if not (folder / "model.bin").is_file() or not (folder / "tokenizer.json").is_file():
        raise ModelUnavailable(f"The model {name} is not complete in {folder}: run `whisperx-api models pull {name}`.")
    kind, _, index = device.partition(":")
    try:
        model = WhisperModel(
            str(folder), device=kind, device_index=int(index or 0), compute_type=compute_type, cpu_threads=1,
            num_workers=workers if kind == "cpu" else 1,
        )  # fmt: skip
    except ValueError as error:  # what ctranslate2 says of a device or compute type that it lacks
        raise ModelUnavailable(f"The model {name} can't be loaded: {error}") from error
    except Exception as error:
        if not of_the_files(error):
            raise
        mend = "copy it there again" if Path(name).expanduser().is_dir() else f"run `whisperx-api models pull {name}`"
        raise ModelUnavailable(f"The model {name} in {folder} is damaged ({reason(error)}): {mend}.") from error
    with building:
        vad = Pyannote(torch.device(device), token=None, vad_onset=Options.vad_onset, vad_offset=Options.vad_offset)
    if kind == "cpu":
        scores = vad.vad_pipeline._segmentation
        scores.batch_size = segmentation.BATCH  # a worker takes a batch
        segmentation.window_by_window(scores.model)
    # Global, but read only when a loaded model first draws a sample: from then on it has its own sequence.
    ctranslate2.set_random_seed(SEED)
    return Transcriber(name, model, vad, *((workers, workers) if kind == "cpu" else (FEATURES_AHEAD, 1)))
