"""Where alignment models come from: whisperx's choice for each language, torchaudio's bundles, any folder."""

from __future__ import annotations

import pickle  # nosec B403  # for the name of an error
from pathlib import Path
from typing import Any

import torch
import torchaudio

from whisperx_api.models import alignment
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.pipeline.align import Aligner
from whisperx_api.pipeline.building import building


def default_align_model(language: str) -> str | None:
    """Return the name of whisperx's alignment model for one of Whisper's language codes; None where it has none."""
    # It brings NLTK with it, which takes a second: not for an engine that aligns by cross-attention.
    from whisperx.alignment import DEFAULT_ALIGN_MODELS_HF, DEFAULT_ALIGN_MODELS_TORCH

    return DEFAULT_ALIGN_MODELS_TORCH.get(language) or DEFAULT_ALIGN_MODELS_HF.get(language)


def load_aligner(
    name: str,
    language: str,
    *,
    device: str,
    model_dir: Path,
    workers: int = 1,
    allow_download: bool = True,
    token: str | None = None,
) -> Aligner:
    """Load an alignment model: a torchaudio bundle, a Hugging Face id or a folder; what is not here may be fetched.

    `device` is cpu, cuda or cuda:N, `token` the hub's; on a CPU `workers` threads compute side by side. Raises
    `ModelUnavailable`; where there is no network, within seconds.
    """
    fetch_aligner(name, model_dir, allow_download=allow_download, token=token)
    load = _load_bundle if name in alignment.BUNDLES else _load_folder
    try:
        with building:
            model, labels = load(name, model_dir)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())
        raise ModelUnavailable(
            f"The alignment model {name} can't be loaded ({reason}): remove it and run `whisperx-api models pull "
            f"{name}`, or set ALIGN_MODEL=attention."
        ) from error
    return Aligner(name, language, model, {label.lower(): index for label, index in labels.items()}, device, workers)


def fetch_aligner(name: str, model_dir: Path, *, allow_download: bool = True, token: str | None = None) -> None:
    """Have an alignment model on this machine. Raises `ModelUnavailable` where it can't be, as `load_aligner` does."""
    if alignment.at_hand(name, model_dir):
        return
    if not allow_download or Path(name).is_dir() or Path(name).is_absolute():
        raise ModelUnavailable(
            f"The alignment model {name} is not on this machine: run `whisperx-api models pull {name}`, correct "
            "ALIGN_MODEL, or set ALIGN_MODEL=attention."
        )
    alignment.pull(name, model_dir, token)


def _load_bundle(name: str, model_dir: Path) -> tuple[torch.nn.Module, dict[str, int]]:
    bundle = getattr(torchaudio.pipelines, name)
    folder = str(alignment.bundle_file(name, model_dir).parent)
    model = bundle.get_model(dl_kwargs={"model_dir": folder, "map_location": "cpu", "weights_only": True})
    return model, {label: index for index, label in enumerate(bundle.get_labels())}


def _load_folder(name: str, model_dir: Path) -> tuple[torch.nn.Module, dict[str, int]]:
    from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor  # takes seconds, so only for such a model

    folder = alignment.folder(name, model_dir)
    processor = Wav2Vec2Processor.from_pretrained(folder, local_files_only=True)
    loaded: Any = Wav2Vec2ForCTC.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    model, loading = loaded
    if lost := [key for key in loading["missing_keys"] if key.startswith("lm_head")]:
        raise ValueError(f"it is no CTC model, it lacks {lost[0]}")
    return model, processor.tokenizer.get_vocab()  # type: ignore[attr-defined]  # transformers types it as the mixin
