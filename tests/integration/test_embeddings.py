"""Speaker embeddings computed once a window are pyannote's own; from frames computed once they are nearly those."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pyannote.audio.models.embedding.wespeaker import WeSpeakerResNet34
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.core import Segment, SlidingWindow, SlidingWindowFeature, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from whisperx_api.pipeline import frames as frames_module
from whisperx_api.pipeline.campplus_model import CAMPPlusEmbedding
from whisperx_api.pipeline.diarize import turns_of
from whisperx_api.pipeline.diarizers import starter_pipeline
from whisperx_api.pipeline.embeddings import embed_once
from whisperx_api.pipeline.frames import Blocks, FrameNetwork, embed_frames_once, has_bfloat16

FRAMES = 589


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def windows(seed: int, n_windows: int = 3, seconds: float = 10.0) -> SlidingWindowFeature:
    """Make local speakers: some silent, some overlapping, some with hardly a frame of their own; one window silent."""
    random = np.random.default_rng(seed)
    data = np.zeros((n_windows, FRAMES, 3))
    for window in data[1:]:
        for speaker in range(int(random.integers(1, 4))):
            start = int(random.integers(0, FRAMES - 10))
            window[start : start + int(random.integers(5, 300)), speaker] = 1.0
    return SlidingWindowFeature(data, SlidingWindow(start=0.0, duration=seconds, step=1.0))


@pytest.fixture(scope="module", params=["resnet", "campplus"])
def pipeline(request: pytest.FixtureRequest, starter_dir: Path) -> SpeakerDiarization:
    """The starter's pipeline, with its own embedding and with community-1's network on random weights."""
    torch.manual_seed(0)
    network = WeSpeakerResNet34().eval() if request.param == "resnet" else None
    pipeline = starter_pipeline(starter_dir) if network is None else starter_pipeline(starter_dir, network)
    pipeline.embedding_batch_size = 2
    return pipeline


@pytest.mark.parametrize("exclude_overlap", [False, True])
def test_embeddings_are_those_of_pyannote(pipeline: SpeakerDiarization, exclude_overlap: bool) -> None:
    random = np.random.default_rng(1)
    file = {"waveform": torch.from_numpy(random.standard_normal((1, 6 * 16000)).astype(np.float32)) / 10,
            "sample_rate": 16000}  # fmt: skip
    talk, told = windows(2, seconds=4.0), []
    stock = SpeakerDiarization.get_embeddings(pipeline, file, talk, exclude_overlap=exclude_overlap)
    assert embed_once(pipeline)
    once = pipeline.get_embeddings(
        file, talk, exclude_overlap=exclude_overlap, hook=lambda *_, total, completed: told.append(completed / total)
    )
    assert once.shape == stock.shape == (3, 3, stock.shape[2])
    np.testing.assert_allclose(once, stock, atol=1e-4, rtol=1e-4, equal_nan=True)
    assert told == sorted(told) and told[-1] == 1.0


@pytest.fixture(scope="module")
def call(sample_dir: Path) -> dict[str, Any]:
    """The sample as pyannote takes it."""
    sound, rate = soundfile.read(sample_dir / "sample.wav", dtype="float32")
    return {"waveform": torch.from_numpy(sound)[None], "sample_rate": rate}


@pytest.fixture(scope="module")
def expected(starter_dir: Path, call: dict[str, Any]) -> Any:
    """What pyannote finds in the sample."""
    return starter_pipeline(starter_dir)(call)


def test_turns_are_those_of_pyannote(starter_dir: Path, call: dict[str, Any], expected: Any) -> None:
    once = starter_pipeline(starter_dir)
    assert embed_once(once)
    found: Any = once(call)
    assert turns_of(found.speaker_diarization) == turns_of(expected.speaker_diarization)
    np.testing.assert_allclose(found.speaker_embeddings, expected.speaker_embeddings, atol=1e-5)


def test_unknown_network_is_left_as_it_is(starter_dir: Path) -> None:
    pipeline: Any = starter_pipeline(starter_dir)
    pipeline._embedding.model_ = torch.nn.Identity()
    assert not embed_once(pipeline) and not embed_frames_once(pipeline)


def test_frames_of_a_window_that_is_a_block_make_the_embeddings_of_pyannote(
    pipeline: SpeakerDiarization, sample_dir: Path
) -> None:
    sound, rate = soundfile.read(sample_dir / "sample.wav", dtype="float32")
    file = {"waveform": torch.from_numpy(sound[: 11 * rate])[None], "sample_rate": rate}
    talk = windows(2, 2)
    talk.data[0] = [1.0, 0.0, 0.0]  # all of the first block, then nobody
    talk.data[1] = 0.0
    stock = SpeakerDiarization.get_embeddings(pipeline, file, talk)
    assert embed_frames_once(pipeline)
    once = pipeline.get_embeddings(file, talk)
    assert cosine(once[0, 0], stock[0, 0]) > 0.999
    np.testing.assert_allclose(once[1], stock[1], atol=1e-5, equal_nan=True)


def test_silence_after_the_end_shifts_no_frames(starter_dir: Path, sample_dir: Path) -> None:
    pipeline = starter_pipeline(starter_dir)
    sound, rate = soundfile.read(sample_dir / "sample.wav", dtype="float32")
    file = {"waveform": torch.from_numpy(sound[: 12 * rate])[None], "sample_rate": rate}
    talk = SlidingWindowFeature(np.zeros((1, FRAMES, 1)), SlidingWindow(start=2.0, duration=10.0, step=1.0))
    talk.data[0, 8 * FRAMES // 10 :] = 1.0  # the last two seconds of twelve
    stock = SpeakerDiarization.get_embeddings(pipeline, file, talk)
    assert embed_frames_once(pipeline)
    assert cosine(pipeline.get_embeddings(file, talk)[0, 0], stock[0, 0]) > 0.9


def test_speakers_are_pooled_from_the_frames_in_which_they_talk(
    starter_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mean(frames: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return (frames * weights).sum(-1, keepdim=True) / weights.sum(-1, keepdim=True)

    network = FrameNetwork(hop=320, frames=lambda sound: sound[..., :-240:320], pool=mean)  # a frame is its time
    monkeypatch.setattr(frames_module, "frame_network", lambda model: network)
    pipeline, talk, told = starter_pipeline(starter_dir), windows(4, 40), []
    seconds = torch.arange(49 * 16000, dtype=torch.float64)[None].float() / 16000
    file = {"waveform": seconds, "sample_rate": 16000}
    assert embed_frames_once(pipeline)
    found = pipeline.get_embeddings(
        file, talk, hook=lambda *_, total, completed: told.append(completed / total)
    )[..., 0]  # fmt: skip
    window, speaker = np.nonzero(talk.data.sum(axis=1))
    expected = [
        start + np.flatnonzero(talk.data[start, :, local]).mean() * 10 / FRAMES
        for start, local in zip(window, speaker, strict=True)
    ]
    assert len(expected) > 50
    np.testing.assert_allclose(found[window, speaker], expected, atol=0.02)
    assert told == sorted(told) and told[-1] == 1.0


def test_every_half_second_of_a_block_with_talk_has_the_embedding_of_its_second(
    starter_dir: Path, sample_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "has_bfloat16", lambda: False)
    sound, rate = soundfile.read(sample_dir / "sample.wav", dtype="float32")
    file = {"waveform": torch.from_numpy(sound[: 29 * rate])[None], "sample_rate": rate}
    talk = SlidingWindowFeature(np.zeros((20, FRAMES, 3)), SlidingWindow(start=0.0, duration=10.0, step=1.0))
    talk.data[0, :, 0] = talk.data[19, FRAMES // 10 + 1 :, 1] = 1.0  # the first block, and the last, of 9 s
    pipeline: Any = starter_pipeline(starter_dir)
    told: dict[str, np.ndarray] = {}
    assert embed_frames_once(pipeline, workers=2)
    pipeline.get_embeddings(file, talk, hook=lambda step, found, **counts: told.update({step: found}))
    found = told["subsegments"]
    assert found.shape == (58, 192) and np.isfinite(found).all()
    assert found.any(axis=1).tolist() == [True] * 20 + [False] * 20 + [True] * 18
    network = pipeline._embedding.model_
    with torch.inference_mode():
        frames = network.frames(file["waveform"][None, ..., : 10 * rate + 240])
        second = torch.zeros(1, 1, 500)
        second[..., 263:312] = 1.0  # 5.25 to 6.25 s, around the half second from 5.5 s
        expected = network.pool(frames, second)[0, 0].numpy()
    assert cosine(found[11], expected) > 0.9999 and cosine(found[7], expected) < 0.95


@dataclass(frozen=True)
class Fast:
    """What is found in the sample from frames that are computed once: with the sound and the frames of each block."""

    found: Any
    network: CAMPPlusEmbedding
    blocks: list[tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module")
def fast(starter_dir: Path, call: dict[str, Any]) -> Callable[[bool], Fast]:
    """Diarize the sample, in bfloat16 or not."""

    @functools.cache
    def run(bfloat16: bool) -> Fast:
        pipeline: Any = starter_pipeline(starter_dir)
        network, blocks = pipeline._embedding.model_, []
        compute = network.frames

        def frames(sound: torch.Tensor, **given: Any) -> torch.Tensor:
            made = compute(sound, **given)
            blocks.append((sound, made))
            return made

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(frames_module, "has_bfloat16", lambda: bfloat16)
            patch.setattr(network, "frames", frames)
            assert embed_frames_once(pipeline)
            found = pipeline(call)
        _silence, *of_the_call = blocks
        return Fast(found, network, of_the_call)

    return run


@torch.inference_mode()
def test_frames_in_bfloat16_make_embeddings_of_the_same_direction(fast: Callable[[bool], Fast]) -> None:
    rough = fast(True)
    assert len(rough.blocks) == 3
    for sound, frames in rough.blocks:
        exact = rough.network.frames(sound)
        assert 0.001 < float((frames - exact).norm() / exact.norm()) < 0.03
        everything = torch.ones(1, 1, exact.shape[-1])
        embeddings = (rough.network.pool(some, everything)[0, 0].numpy() for some in (exact, frames))
        assert cosine(*embeddings) > 0.9995


@pytest.mark.parametrize(
    ("flags", "has"),
    [("fpu amx_tile amx_bf16", True), ("avx512f avx512_bf16 sse", True), ("avx2 avx512f", False), (None, False)],
)
def test_cpu_that_computes_in_bfloat16_is_known(tmp_path: Path, flags: str | None, has: bool) -> None:
    if flags:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: amx_bf16 Xeon\nflags\t\t: {flags}\nbugs\t:\n")
    assert has_bfloat16(tmp_path / "cpuinfo") is has


@pytest.mark.parametrize("bfloat16", [False, True])
def test_turns_do_not_depend_on_what_frames_are_computed_in(
    fast: Callable[[bool], Fast], expected: Any, bfloat16: bool
) -> None:
    found = fast(bfloat16).found
    error: Any = DiarizationErrorRate()
    assert abs(error(expected.speaker_diarization, found.speaker_diarization, uem=Timeline([Segment(0, 30)]))) < 0.01


def test_frames_are_computed_once_and_only_where_somebody_talks(starter_dir: Path) -> None:
    pipeline: Any = starter_pipeline(starter_dir)
    network, lengths = pipeline._embedding.model_, []

    def frames(sound: torch.Tensor, **_: Any) -> torch.Tensor:
        lengths.append(sound.shape[-1] / 16000)
        return sound[..., : -frames_module.TAIL : 320].expand(-1, 512, -1)

    network.frames = frames
    assert embed_frames_once(pipeline)
    random = np.random.default_rng(1)
    file = {
        "waveform": torch.from_numpy(random.standard_normal((1, 60 * 16000)).astype(np.float32)),
        "sample_rate": 16000,
    }
    talk = SlidingWindowFeature(np.zeros((51, FRAMES, 3)), SlidingWindow(start=0.0, duration=10.0, step=1.0))
    talk.data[:10, :, 0] = 1.0  # the first 19 s, and after half a minute without a word the last 11 s
    talk.data[49:, :, 1] = 1.0
    pipeline.get_embeddings(file, talk)
    silence, *blocks = lengths
    assert silence < 1.0
    assert [round(length) for length in blocks] == [10, 10, 10, 10]


def test_blocks_that_are_behind_are_forgotten(starter_dir: Path) -> None:
    pipeline: Any = starter_pipeline(starter_dir)
    network = FrameNetwork(hop=320, frames=lambda sound: sound[..., :-240:320], pool=lambda frames, weights: frames)
    sound = torch.arange(60 * 16000, dtype=torch.float32)[None]
    blocks = Blocks(pipeline, network, {"waveform": sound, "sample_rate": 16000}, range(6))
    for first in range(0, 2500, 50):
        blocks.forget(first)
        assert (
            blocks.cut(first, first + 500)[0, 0].tolist() == sound[0, first * 320 : (first + 500) * 320 : 320].tolist()
        )
        assert len(blocks.kept) <= 2


@pytest.mark.parametrize("embed", [embed_once, embed_frames_once])
def test_threads_embed_the_same_but_for_rounding(starter_dir: Path, embed: Callable[..., bool]) -> None:
    random = np.random.default_rng(2)
    sound = torch.from_numpy(0.1 * random.standard_normal((1, 31 * 16000)).astype(np.float32))
    talk = windows(2, n_windows=22)
    talk.data[4:19] = 0.0  # three windows at the start and at the end, in a block each and two
    found: list[np.ndarray] = []
    for workers in (1, 3):
        pipeline: Any = starter_pipeline(starter_dir)
        assert embed(pipeline, workers)
        found.append(pipeline.get_embeddings({"waveform": sound, "sample_rate": 16000}, talk))
    # how a processor rounds may depend on the size of a batch
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-4)
