"""A long recording stays in its file, and what segmentation finds of it is small."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.diarizers import load_diarizer, starter_pipeline
from whisperx_api.transcript import SAMPLE_RATE

HOURS = 1


@pytest.fixture(scope="module")
def diarizer(starter_dir: Path) -> Diarizer:
    return load_diarizer(starter_dir, device=torch.device("cpu"), batch_size=32)


def anonymous_megabytes() -> float:
    found = re.search(r"^RssAnon:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def test_segmentation_is_that_of_pyannote_in_bytes(diarizer: Diarizer, starter_dir: Path, sample_dir: Path) -> None:
    sound, rate = soundfile.read(sample_dir / "sample.wav", dtype="float32", start=160_000, frames=100_000)
    file = {"waveform": torch.from_numpy(sound)[None], "sample_rate": rate}
    stock: Any = starter_pipeline(starter_dir)
    stock.segmentation_batch_size = 32  # sums are rounded by the batch
    found, expected = (pipeline.get_segmentations(file).data for pipeline in (diarizer._pipeline, stock))
    assert found.dtype == np.uint8 and expected.any(axis=(0, 1)).sum() > 1
    np.testing.assert_array_equal(found, expected)


def test_recording_is_not_copied(diarizer: Diarizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is left out: it answers at once that nobody talks."""
    pipeline: Any = diarizer._pipeline
    nobody = torch.nn.functional.one_hot(torch.zeros(32, 589, dtype=torch.int64), 7).float()
    monkeypatch.setattr(pipeline._segmentation.model, "forward", lambda waveforms: nobody[: len(waveforms)])
    path = tmp_path / "sound.f32"
    with path.open("wb") as file:
        file.truncate(HOURS * 3600 * SAMPLE_RATE * 4)
    held: list[float] = []
    result = diarizer(
        np.memmap(path, dtype=np.float32, mode="r"), report=lambda fraction: held.append(anonymous_megabytes())
    )
    assert result.turns == () and len(held) > 100
    recording, bytes_found = path.stat().st_size / 2**20, HOURS * 3600 * 589 * 3 / 2**20
    assert max(held) - held[0] < 2 * bytes_found + 30 < recording / 4
