"""Letter probabilities of many segments at once, the same as of one at a time.

wav2vec2's convolutions normalise over a whole segment, so each segment passes through them alone; its transformer takes
the lot as one padded batch, where a mask keeps the padding out. torchaudio's and transformers' models have their parts
under different names; a model with neither's parts is run a segment at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torchaudio.models import Wav2Vec2Model

from whisperx_api.pipeline.crew import in_order
from whisperx_api.pipeline.out_of_memory import in_fitting_batches, make_room

if TYPE_CHECKING:
    from transformers import Wav2Vec2ForCTC

MIN_SAMPLES = 400
"""Shortest sound that wav2vec2's convolutions take: 25 ms."""

PADDED_FRAMES = {"cpu": 1500, "cuda": 24_000}
"""Frames of a padded batch, 20 ms each: half a minute on a CPU, where more is no faster and a cancel must be heard."""


class Emissions:
    """Runs a CTC model over segments."""

    def __init__(self, model: torch.nn.Module, device: torch.device, workers: int = 1) -> None:
        """On a CPU `workers` threads take a batch each."""
        self.padded_frames = PADDED_FRAMES[device.type]
        self._model = model
        self._device = device
        self._workers = workers if device.type == "cpu" else 1
        self._parts = _parts(model)

    def __call__(self, sounds: Sequence[np.ndarray]) -> Generator[list[tuple[int, np.ndarray]], None, None]:
        """Yield batches of (index, log-probabilities) of `sounds`, each of shape (n_samples,), float32, at 16 kHz.

        Log-probabilities have shape (n_frames, n_classes), float32. Segments of about one length go together, the
        longest first, so that a batch that does not fit the device is met at once; it is halved, and stays so.
        """

        def compute(batch: list[int]) -> list[tuple[int, np.ndarray]]:
            def halved(size: int) -> None:
                self.padded_frames = _frames(sounds[batch[0]]) * size
                make_room("Emissions", self.padded_frames)

            found = in_fitting_batches(self._batch, [sounds[index] for index in batch], len(batch), halved)
            return list(zip(batch, found, strict=True))

        yield from in_order(compute, self._batches(sounds), self._workers)

    def _batches(self, sounds: Sequence[np.ndarray]) -> Iterator[list[int]]:
        order = sorted(range(len(sounds)), key=lambda index: -len(sounds[index]))
        while order:
            frames = _frames(sounds[order[0]])
            size = max(1, self.padded_frames // frames) if self._parts else 1
            yield order[:size]
            order = order[size:]

    @torch.inference_mode()
    def _batch(self, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
        waves = [torch.from_numpy(np.array(sound))[None] for sound in sounds]
        waves = [torch.nn.functional.pad(wave, (0, max(0, MIN_SAMPLES - wave.shape[1]))) for wave in waves]
        waves = [wave.to(self._device) for wave in waves]
        if self._parts is None:
            return [_log_softmax(self._whole(wave))[0] for wave in waves]
        extract, classify = self._parts
        features = [extract(wave)[0] for wave in waves]
        lengths = torch.tensor([len(feature) for feature in features], device=self._device)
        logits = classify(pad_sequence(features, batch_first=True), lengths if len(features) > 1 else None)
        found = _log_softmax(logits)
        return [emission[:length] for emission, length in zip(found, lengths.tolist(), strict=True)]

    def _whole(self, wave: torch.Tensor) -> torch.Tensor:
        output = self._model(wave)
        return output[0] if isinstance(output, tuple) else output.logits  # torchaudio's or transformers'


def _frames(sound: np.ndarray) -> int:
    return max(1, len(sound) // 320)


def _log_softmax(logits: torch.Tensor) -> np.ndarray:
    return torch.log_softmax(logits, dim=-1).cpu().numpy()


Features = Callable[[torch.Tensor], torch.Tensor]
Classify = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


def _parts(model: torch.nn.Module) -> tuple[Features, Classify] | None:
    """Return what makes features of one wave, and logits of a padded batch; None for a model that is not known.

    Features: (1, n_samples) -> (1, n_frames, n_features). Logits: (batch, frames, features) and the number of frames of
    each, None where there is no padding -> (batch, frames, n_classes).
    """
    normalize = bool(getattr(model, "normalize_waveform", False))
    inner = getattr(model, "model", model)
    if isinstance(inner, Wav2Vec2Model) and inner.aux is not None and not getattr(model, "append_star", False):
        return _torchaudio(inner, inner.aux, normalize)
    from transformers import Wav2Vec2ForCTC  # takes seconds, so only where a model is not torchaudio's

    if isinstance(model, Wav2Vec2ForCTC) and model.wav2vec2.adapter is None:
        return _transformers(model)
    return None


def _torchaudio(model: Wav2Vec2Model, aux: torch.nn.Module, normalize: bool) -> tuple[Features, Classify]:
    def features(wave: torch.Tensor) -> torch.Tensor:
        wave = torch.nn.functional.layer_norm(wave, wave.shape) if normalize else wave
        return model.feature_extractor(wave, None)[0]

    def classify(padded: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return aux(model.encoder(padded, lengths))

    return features, classify


def _transformers(model: Wav2Vec2ForCTC) -> tuple[Features, Classify]:
    parts = model.wav2vec2

    def features(wave: torch.Tensor) -> torch.Tensor:
        return parts.feature_extractor(wave).transpose(1, 2)

    def classify(padded: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        mask = None
        if lengths is not None:
            mask = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
        hidden, _ = parts.feature_projection(padded)
        return model.lm_head(parts.encoder(hidden, attention_mask=mask)[0])

    return features, classify
