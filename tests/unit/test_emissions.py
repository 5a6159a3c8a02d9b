"""A padded batch of segments gives each segment the probabilities that it has alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torchaudio
from torchaudio.pipelines._wav2vec2.utils import _extend_model
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from whisperx_api.pipeline.emissions import MIN_SAMPLES, Emissions
from whisperx_api.pipeline.out_of_memory import on_halved
from whisperx_api.transcript import SAMPLE_RATE


def torchaudio_model(norm: str) -> torch.nn.Module:
    layer_norm_first = norm == "layer_norm"
    return torchaudio.models.wav2vec2_model(
        norm, [(32, 10, 5)] + [(32, 3, 2)] * 4 + [(32, 2, 2)] * 2, False, 32, 0.0, 16, 4, 2, 2, 0.0, 64, 0.0, 0.0,
        layer_norm_first, 0.0, 30,
    )  # fmt: skip


def transformers_model(norm: str) -> torch.nn.Module:
    return Wav2Vec2ForCTC(
        Wav2Vec2Config(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_dim=(32,) * 7,
            num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, vocab_size=30, feat_extract_norm=norm,
            do_stable_layer_norm=norm == "layer", conv_bias=norm == "layer",
        )
    )  # fmt: skip


class Foreign(torch.nn.Module):
    """A model whose parts are not known."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv1d(1, 30, 400, stride=320)

    def forward(self, wave: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.convolution(wave[:, None]).transpose(1, 2), None


MODELS = {
    "torchaudio, group norm": lambda: torchaudio_model("group_norm"),
    "torchaudio, layer norm": lambda: torchaudio_model("layer_norm"),
    "torchaudio, normalised waves": lambda: _extend_model(  # as the large bundles are
        torchaudio_model("layer_norm"), normalize_waveform=True
    ),
    "transformers, group norm": lambda: transformers_model("group"),
    "transformers, layer norm": lambda: transformers_model("layer"),
    "foreign": Foreign,
}


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    random = np.random.default_rng(0)
    lengths = [3.0, 0.4, 9.7, 0.01, 2.2, 9.69]
    sounds = [random.standard_normal(int(seconds * SAMPLE_RATE)).astype(np.float32) for seconds in lengths]
    emissions = Emissions(model, torch.device("cpu"))
    found = {index: emission for batch in emissions(sounds) for index, emission in batch}
    assert sorted(found) == list(range(len(sounds)))
    for index, sound in enumerate(sounds):
        wave = torch.from_numpy(np.pad(sound, (0, max(0, MIN_SAMPLES - len(sound)))))[None]
        with torch.inference_mode():
            output = model(wave)
        alone = torch.log_softmax(output[0] if isinstance(output, tuple) else output.logits, dim=-1)[0].numpy()
        assert found[index].shape == alone.shape
        np.testing.assert_allclose(found[index], alone, atol=2e-5)


def test_batches_hold_what_they_may_with_the_longest_first() -> None:
    emissions = Emissions(torchaudio_model("group_norm").eval(), torch.device("cpu"))
    emissions.padded_frames = 100
    sounds = [np.zeros(int(seconds * SAMPLE_RATE), np.float32) for seconds in (0.5, 3.0, 0.9, 0.9)]
    assert [[index for index, _ in batch] for batch in emissions(sounds)] == [[1], [2, 3], [0]]


@pytest.fixture
def one_thread_each() -> Iterator[None]:
    """Have the library compute with one thread, as it does in an engine: more would share each sum out anew."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_threads_compute_the_same(one_thread_each) -> None:
    random = np.random.default_rng(3)
    sounds = [
        0.1 * random.standard_normal(int(random.uniform(0.3, 2.0) * SAMPLE_RATE)).astype(np.float32) for _ in range(9)
    ]
    model = torchaudio_model("layer_norm").eval()
    found: list[list] = []
    for workers in (1, 3):
        emissions = Emissions(model, torch.device("cpu"), workers)
        emissions.padded_frames = 150
        found.append([pair for batch in emissions(sounds) for pair in batch])
    assert [index for index, _ in found[0]] == [index for index, _ in found[1]]
    for (_, one), (_, other) in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batch_that_does_not_fit_the_device_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    sounds = [np.full(SAMPLE_RATE, value, np.float32) for value in (0.1, 0.2, 0.3, 0.4, 0.5)]
    model = torchaudio_model("layer_norm").eval()
    whole = {index: emission for batch in Emissions(model, torch.device("cpu"))(sounds) for index, emission in batch}
    tried: list[int] = []
    batch = Emissions._batch

    def small_device(emissions: Emissions, waves: list[np.ndarray]) -> list[np.ndarray]:
        tried.append(len(waves))
        if len(waves) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return batch(emissions, waves)

    monkeypatch.setattr(Emissions, "_batch", small_device)
    halvings: list[str] = []
    on_halved.set(lambda: halvings.append("halved"))
    found = {index: emission for part in Emissions(model, torch.device("cpu"))(sounds) for index, emission in part}
    assert tried == [5, 2, 1, 1, 1, 1, 1] and len(halvings) == 2
    for index, emission in whole.items():
        np.testing.assert_allclose(found[index], emission, atol=2e-5)


def test_segment_that_does_not_fit_alone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_device(emissions: Emissions, waves: list[np.ndarray]) -> list[np.ndarray]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Emissions, "_batch", no_device)
    with pytest.raises(torch.OutOfMemoryError):
        list(Emissions(torchaudio_model("layer_norm"), torch.device("cpu"))([np.zeros(SAMPLE_RATE, np.float32)] * 3))


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(emissions: Emissions, waves: list[np.ndarray]) -> list[np.ndarray]:
        raise RuntimeError("shapes can't be multiplied")

    monkeypatch.setattr(Emissions, "_batch", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        list(Emissions(torchaudio_model("layer_norm"), torch.device("cpu"))([np.zeros(SAMPLE_RATE, np.float32)] * 3))
