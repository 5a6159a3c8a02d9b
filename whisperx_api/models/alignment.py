"""Alignment models: torchaudio's bundles, which are one file of weights each, and wav2vec2 models of the hub.

Bundles are kept in MODEL_DIR/torchaudio, models of the hub in its cache in MODEL_DIR/hub.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import httpx

from whisperx_api.models import hub
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.models.progress import Progress, Report, silent

BUNDLES: Mapping[str, str] = MappingProxyType(
    {
        "HUBERT_ASR_LARGE": "hubert_fairseq_large_ll60k_asr_ls960.pth",
        "HUBERT_ASR_XLARGE": "hubert_fairseq_xlarge_ll60k_asr_ls960.pth",
        "VOXPOPULI_ASR_BASE_10K_DE": "wav2vec2_voxpopuli_base_10k_asr_de.pt",
        "VOXPOPULI_ASR_BASE_10K_EN": "wav2vec2_voxpopuli_base_10k_asr_en.pt",
        "VOXPOPULI_ASR_BASE_10K_ES": "wav2vec2_voxpopuli_base_10k_asr_es.pt",
        "VOXPOPULI_ASR_BASE_10K_FR": "wav2vec2_voxpopuli_base_10k_asr_fr.pt",
        "VOXPOPULI_ASR_BASE_10K_IT": "wav2vec2_voxpopuli_base_10k_asr_it.pt",
        "WAV2VEC2_ASR_BASE_100H": "wav2vec2_fairseq_base_ls960_asr_ls100.pth",
        "WAV2VEC2_ASR_BASE_10M": "wav2vec2_fairseq_base_ls960_asr_ll10m.pth",
        "WAV2VEC2_ASR_BASE_960H": "wav2vec2_fairseq_base_ls960_asr_ls960.pth",
        "WAV2VEC2_ASR_LARGE_100H": "wav2vec2_fairseq_large_ls960_asr_ls100.pth",
        "WAV2VEC2_ASR_LARGE_10M": "wav2vec2_fairseq_large_ls960_asr_ll10m.pth",
        "WAV2VEC2_ASR_LARGE_960H": "wav2vec2_fairseq_large_ls960_asr_ls960.pth",
        "WAV2VEC2_ASR_LARGE_LV60K_100H": "wav2vec2_fairseq_large_lv60k_asr_ls100.pth",
        "WAV2VEC2_ASR_LARGE_LV60K_10M": "wav2vec2_fairseq_large_lv60k_asr_ll10m.pth",
        "WAV2VEC2_ASR_LARGE_LV60K_960H": "wav2vec2_fairseq_large_lv60k_asr_ls960.pth",
    }
)
"""File of each of torchaudio's bundles that tell letters, written out so that no torch is needed to fetch one."""

BUNDLE_URL = "https://download.pytorch.org/torchaudio/models/"
HUB_FILES = ("*.json", "model.safetensors", "pytorch_model.bin")
WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json")


def bundle_file(name: str, model_dir: Path) -> Path:
    """Return where the weights of a bundle are, or would be."""
    return model_dir / "torchaudio" / BUNDLES[name]


def folder(name: str, model_dir: Path) -> Path | None:
    """Return the folder of a model that is no bundle: a local one, or that of a Hugging Face id. Asks no network."""
    return Path(name) if Path(name).is_dir() else hub.find(name, model_dir)


def at_hand(name: str, model_dir: Path) -> bool:
    """Whether the model is on this machine: a bundle, a Hugging Face id or a folder. Asks no network."""
    if name in BUNDLES:
        return bundle_file(name, model_dir).is_file()
    found = folder(name, model_dir)
    return found is not None and any((found / file).is_file() for file in WEIGHTS)


def pull(name: str, model_dir: Path, token: str | None = None, report: Report = silent) -> Path:
    """Fetch an alignment model unless it is here; return its file or folder.

    Raises `ModelUnavailable`; where there is no network, within seconds.
    """
    if name in BUNDLES:
        return _pull_bundle(name, model_dir, report)
    return hub.pull(name, model_dir, token, HUB_FILES, report)


def _pull_bundle(name: str, model_dir: Path, report: Report) -> Path:
    file, url = bundle_file(name, model_dir), BUNDLE_URL + BUNDLES[name]
    if file.is_file():
        return file
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        timeout = httpx.Timeout(30.0, connect=5.0)  # torchaudio itself would wait for a silent network without an end
        with httpx.stream("GET", url, follow_redirects=True, timeout=timeout) as response, part.open("wb") as stream:
            response.raise_for_status()
            total = int(response.headers.get("content-length", 0))
            for block in response.iter_bytes(1 << 20):
                stream.write(block)
                report(Progress(name, stream.tell(), total))
        part.replace(file)
    except (httpx.HTTPError, OSError) as error:
        part.unlink(missing_ok=True)
        raise ModelUnavailable(
            f"The alignment model {name} can't be fetched ({' '.join(str(error).split())}): check the network, or copy "
            f"{url} to {file.parent}."
        ) from error
    return file
