"""A warm job over HTTP beside the same work called in Python: `python -m bench.job [--seconds N] [FOLDER]`.

The recordings `FOLDER/ami/*.flac`, or pyannote's sample, joined to N seconds (180). Ours is the whole way on a server
with warm models: upload, poll, the transcript with a speaker and times on each word. The peer is what a program would
call without us, warm too, on the same models: whisperx's transcription and pyannote's pipeline, which give neither word
times nor words a speaker.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import whisperx

from bench.figures import Figure, publish, timed
from whisperx_api.client import Client
from whisperx_api.demo import sample, serving
from whisperx_api.engine.device import cores
from whisperx_api.pipeline.diarizers import starter_pipeline
from whisperx_api.settings import load_settings
from whisperx_api.transcript import SAMPLE_RATE

BATCH = 16
RUNS = 2
MODELS = ("--whisper-model", "starter", "--diarization-model", "starter", "--align-model", "attention")


def joined(folder: Path | None, seconds: int) -> np.ndarray:
    """Return the recordings one after the other, (n_samples,) float32 at 16 kHz, repeated as often as it takes."""
    paths = [sample()] if folder is None else sorted((folder / "ami").glob("*.flac"))
    if not paths:
        raise SystemExit(f"There are no recordings in ami/ of {folder}.")
    pieces = [soundfile.read(path, dtype="float32")[0] for path in paths]
    return np.resize(np.concatenate(pieces), seconds * SAMPLE_RATE)


def over_http(recording: Path) -> tuple[float, dict[str, Any]]:
    """Return how long a warm job takes from upload to transcript, in seconds, and the transcript."""

    def job() -> dict[str, Any]:
        task = client.upload(recording).task_id
        client.wait(task)
        return dict(client.result(task))

    with (
        serving("--log-level", "warning", "--no-result-cache", *MODELS) as (url, key, _),
        Client(url, api_key=key) as client,
    ):
        job()
        return timed(job, RUNS)


def in_python(sound: np.ndarray) -> tuple[float, float]:
    """Return how long whisperx's transcription and pyannote's diarization take, warm, in seconds."""
    starter = load_settings().models / "starter"
    transcriber: Any = whisperx.load_model(str(starter / "whisper"), "cpu", compute_type="int8", threads=cores())
    diarizer: Any = starter_pipeline(starter)
    diarizer.segmentation_batch_size = diarizer.embedding_batch_size = BATCH
    file = {"waveform": torch.from_numpy(sound)[None], "sample_rate": SAMPLE_RATE}
    transcriber.transcribe(sound[: 30 * SAMPLE_RATE], batch_size=BATCH)
    return (
        timed(lambda: transcriber.transcribe(sound, batch_size=BATCH), RUNS)[0],
        timed(lambda: diarizer(file), RUNS)[0],
    )


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="recordings; pyannote's sample without it")
    parser.add_argument("--seconds", type=int, default=180)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    sound = joined(arguments.folder, arguments.seconds)
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "meeting.flac"
        soundfile.write(recording, sound, SAMPLE_RATE)
        ours, transcript = over_http(recording)
    transcribing, diarizing = in_python(sound)
    words = [word for segment in transcript["segments"] for word in segment["words"]]
    named = sum(word["speaker"] is not None for word in words)
    note = (
        f"{len(words)} words, {named} with a speaker; the peer {transcribing:.1f} s transcribing and {diarizing:.1f} s "
        "diarizing"
    )
    publish(
        "job",
        [Figure(f"a job of {arguments.seconds} s over HTTP", "s", ours, transcribing + diarizing,
                "whisperx and pyannote in Python", "2.5 times", note)],
    )  # fmt: skip


if __name__ == "__main__":
    main()
