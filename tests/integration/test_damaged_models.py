"""Models whose files are cut short: a task fails at once, with the model's name and what mends it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fake_hub import ask, serve
from whisperx_api.models import hub
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.pipeline.damage import of_the_files
from whisperx_api.pipeline.diarizers import STARTER_EMBEDDING, STARTER_SEGMENTATION, load_diarizer
from whisperx_api.pipeline.transcribers import load_transcriber


def cut(folder: Path, target: Path, name: str) -> Path:
    """Copy a folder of a model, of one of its files the first half."""
    for file in folder.rglob("*"):
        if file.is_file():
            copy = target / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if str(file.relative_to(folder)) == name:
                with file.open("rb") as stream:
                    copy.write_bytes(stream.read(min(file.stat().st_size // 2, 10**6)))
            else:
                copy.symlink_to(file)
    return target


@pytest.mark.parametrize("name", ["model.bin", "config.json", "vocabulary.json", "tokenizer.json"])
def test_transcription_model_that_is_cut_short_is_named_with_what_mends_it(
    tmp_path: Path, starter_dir: Path, name: str
) -> None:
    folder = cut(starter_dir / "whisper", tmp_path / "model", name)
    with pytest.raises(ModelUnavailable) as caught:
        load_transcriber(folder, name="large-v2", device="cpu", compute_type="int8", workers=1)
    assert str(caught.value).startswith(f"The model large-v2 in {folder} is damaged (")
    assert str(caught.value).endswith("): run `whisperx-api models pull large-v2`.")
    with pytest.raises(ModelUnavailable, match="copy it there again"):
        load_transcriber(folder, name=str(folder), device="cpu", compute_type="int8", workers=1)


@pytest.mark.parametrize("name", [STARTER_SEGMENTATION, STARTER_EMBEDDING])
def test_starter_s_diarization_model_that_is_cut_short_is_named_with_what_mends_it(
    tmp_path: Path, starter_dir: Path, name: Path
) -> None:
    folder = cut(starter_dir, tmp_path / "starter", str(name))
    with pytest.raises(ModelUnavailable, match=r"starter models in .* are damaged .*models pull starter"):
        load_diarizer(folder, device=torch.device("cpu"), batch_size=1)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUDA failed with error"), MemoryError()]
)
def test_device_that_fails_is_no_damage_of_the_model(error: Exception) -> None:
    assert not of_the_files(error)
    assert of_the_files(RuntimeError("File model.bin is incomplete: failed to read a buffer"))


def test_pull_mends_a_file_that_is_cut_short(tmp_path: Path) -> None:
    models = tmp_path / "models"
    with serve({"org/whisper": {"model.bin": b"weights" * 100, "config.json": b"{}"}}) as endpoint:
        ask(endpoint, tmp_path, "hub.pull('org/whisper', models, None)")
        found = hub.find("org/whisper", models)
        assert found is not None
        (found / "model.bin").resolve().write_bytes(b"weights")
        assert hub.discard_damaged("org/whisper", models) == ["model.bin"]
        ask(endpoint, tmp_path, "hub.pull('org/whisper', models, None)")
    assert (found / "model.bin").read_bytes() == b"weights" * 100
    assert hub.discard_damaged("org/whisper", models) == []
