"""The engine on a GPU beside its peers: `python -m bench.gpu [--device cuda] [--seconds N] [FOLDER]`.

It needs no network: Whisper and diarization are the starter models, alignment and exact diarization networks of the
true shapes (wav2vec2 base, WeSpeaker ResNet34) on random weights, whose work does not depend on them. Then the device's
memory, before each model is loaded and after it is let go.
"""

from __future__ import annotations

import argparse
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
import whisperx

from bench import alignment, diarization
from bench.figures import Figure, publish, timed
from bench.job import joined
from whisperx_api.engine.device import choose_device, cores
from whisperx_api.engine.memory import DeviceMemory
from whisperx_api.engine.pool import ModelPool
from whisperx_api.options import Options
from whisperx_api.pipeline.align import Aligner
from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.diarizers import load_diarizer
from whisperx_api.pipeline.transcribe import Transcriber
from whisperx_api.pipeline.transcribers import load_transcriber
from whisperx_api.settings import load_settings
from whisperx_api.transcript import Segment, Transcription

BATCH, CHUNK_SECONDS = 16, 30
RUNS = 3
CLASSES = {letter: index for index, letter in enumerate(alignment.LETTERS)}


def compute_type(device: str) -> str:
    """Return what ctranslate2 computes in by default here."""
    return "int8" if device == "cpu" else "float16"


def wav2vec2() -> torch.nn.Module:
    """Return wav2vec2's base network with random weights."""
    torch.manual_seed(0)
    base: Callable[..., torch.nn.Module] = torchaudio.models.wav2vec2_base
    return base(aux_num_out=len(alignment.LETTERS)).eval()


def hear(transcriber: Transcriber, sound: np.ndarray) -> Transcription:
    """Transcribe English, without word times."""
    return transcriber(
        sound, Options(language="en"), word_times=lambda language: False, report=lambda fraction: None,
        batch_size=BATCH, chunk_size=CHUNK_SECONDS,
    )  # fmt: skip


def transcription(starter: Path, sound: np.ndarray, device: str) -> list[Figure]:
    """Measure transcription beside whisperx's, and both stages at once beside one after the other."""
    ours = load_transcriber(
        starter / "whisper", name="starter", device=device, compute_type=compute_type(device), workers=cores()
    )
    diarizer = load_diarizer(starter, device=torch.device(device), batch_size=BATCH, workers=cores())
    theirs: Any = whisperx.load_model(
        str(starter / "whisper"), device.partition(":")[0], compute_type=compute_type(device), language="en"
    )
    for warm in (
        lambda: hear(ours, sound),
        lambda: diarizer(sound),
        lambda: theirs.transcribe(sound, batch_size=BATCH),
    ):
        warm()

    def together() -> None:
        speakers = threading.Thread(target=lambda: diarizer(sound))
        speakers.start()
        hear(ours, sound)
        speakers.join()

    words, found = timed(lambda: hear(ours, sound), RUNS)
    speakers, _ = timed(lambda: diarizer(sound), RUNS)
    both, _ = timed(together, RUNS)
    slow, expected = timed(lambda: theirs.transcribe(sound, batch_size=BATCH), RUNS)
    same = sum(
        ours.text == one["text"].strip() for ours, one in zip(found.segments, expected["segments"], strict=False)
    )
    what = f"{len(sound) / 16000:.0f} s, starter"
    return [
        Figure(
            f"transcription, {what}", "s", words, slow, "whisperx", "",
            f"{same} of {len(expected['segments'])} chunks the same",
        ),
        Figure(f"transcription and diarization at once, {what}", "s", both, words + speakers, "one after the other"),
    ]  # fmt: skip


def memory(starter: Path, sound: np.ndarray, device: str) -> list[Figure]:
    """Measure what is left on the device of each model once it is let go."""
    device_memory = DeviceMemory(device)
    pool = ModelPool("release", device_memory, lambda names, used: None, lambda name: None)
    segments = (Segment(0.0, 28.0, " ".join(alignment.VOCABULARY)),)

    def transcribe() -> None:
        model: Transcriber = pool.get(
            "transcribe",
            lambda: load_transcriber(
                starter / "whisper", name="starter", device=device, compute_type=compute_type(device), workers=cores()
            ),
            0,
        )
        hear(model, sound)

    def align() -> None:
        model: Aligner = pool.get("align", lambda: Aligner("bench", "en", wav2vec2(), CLASSES, device), 0)
        model(sound, Transcription("en", segments, "bench"), report=lambda fraction: None)

    def diarize() -> None:
        model: Diarizer = pool.get(
            "diarize", lambda: load_diarizer(starter, device=torch.device(device), batch_size=BATCH), 0
        )
        model(sound)

    figures: list[Figure] = []
    for stage in (transcribe, align, diarize):
        stage()  # libraries keep some memory for good once they have been used: that is not the model's
        pool.settle()
        before = device_memory.used()
        stage()
        at_work = device_memory.used()
        pool.settle()
        left = (device_memory.used() - before) / 1e6
        note = f"{(at_work - before) / 1e6:.0f} MB while it was loaded"
        figures.append(Figure(f"memory left after {stage.__name__}", "MB", left, reach="50 MB", note=note))
    return figures


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, help="recordings with known turns; pyannote's sample without it"
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try this out (%(default)s)")
    parser.add_argument("--seconds", type=int, default=600, help="length of the recording (%(default)s)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    starter = load_settings().models / "starter"
    device = choose_device(arguments.device)
    sound = joined(arguments.folder, arguments.seconds)
    minutes = arguments.seconds / 60
    figures = transcription(starter, sound, device)
    with alignment.sentences_at_hand():
        figures.append(alignment.compare("alignment, wav2vec2 base", wav2vec2().to(device), minutes, "", device))
    figures += diarization.exact(starter, arguments.seconds, torch.device(device))
    figures += diarization.fast(starter, diarization.recordings(arguments.folder), torch.device(device))
    figures += memory(starter, sound, device)
    publish("gpu", figures)


if __name__ == "__main__":
    main()
