"""Speaker embeddings from frames that are computed once: the fast way, which is not quite the same as pyannote's.

A speaker embedding network turns sound into frames, and pools the frames of a speaker to one vector. pyannote runs it
on windows of which ten overlap at every moment. Here the frames come from blocks that do not overlap, each computed
once, and every local speaker of every window is pooled from them. A frame so sees the sound of its block, whoever
talks in it, instead of its window (WeSpeaker's ResNets) or its speaker's part of the window (CAM++).
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pyannote.audio.models.embedding.wespeaker import BaseWeSpeakerResNet
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.core import Segment, SlidingWindowFeature

from whisperx_api.pipeline.campplus import quickened
from whisperx_api.pipeline.campplus_model import CAMPPlusEmbedding
from whisperx_api.pipeline.crew import in_order
from whisperx_api.pipeline.embeddings import Hook, embed_with, embedding_network, fewest_frames, speaker_weights
from whisperx_api.pipeline.subsegments import STEP_SECONDS, SUBSEGMENTS, joined, spans

BLOCK_SECONDS = 10.0
"""Length of a block: that of pyannote's windows, which is what the pipelines' thresholds were found with."""

TAIL = 240
"""Samples that the last frame of a block needs beyond it: its features look at 25 ms in steps of 10 ms."""

POOLED_SILENCE = 8
"""Frames of silence that make the embedding of a local speaker who says nothing; any number makes the same."""

BFLOAT16 = frozenset({"amx_bf16", "avx512_bf16"})
"""What Linux calls the instructions of a CPU that computes in bfloat16. CAM++'s convolutions take a third of the
time in it. Embeddings of ten seconds then have a cosine above 0.9995 to those in float32."""

FEWEST_SAMPLES = 16_000
"""Samples of the recording's last block that are looked at, even if there are fewer left: a second."""

PROGRESS_WINDOWS = 5
"""Windows between two reports of progress."""


@dataclass(frozen=True)
class FrameNetwork:
    """A network in two halves.

    `frames`: (batch, 1, n_samples + TAIL) -> (batch, ..., n_samples // hop), where `TAIL` samples more are in.
    `pool`: frames (1, ..., n_frames) and weights (1, n_speakers, n_frames) -> (1, n_speakers, dimension).
    """

    hop: int
    frames: Callable[[torch.Tensor], torch.Tensor]
    pool: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    normalises: bool = False
    """Whether its frames are relative to the mean of all sound it is given."""
    subsegments: bool = False
    """Whether it is known how well its embeddings of half a second tell speakers apart, so that they are of use."""


def frame_network(model: object) -> FrameNetwork | None:
    """Return `model`'s two halves; None for a network that is not known here."""
    if isinstance(model, BaseWeSpeakerResNet):
        return FrameNetwork(hop=8 * 160, frames=model.forward_frames, pool=model.forward_embedding)
    if isinstance(model, CAMPPlusEmbedding):
        frames = model.frames
        if model.device.type == "cpu":
            quick = quickened(model.network, torch.bfloat16 if has_bfloat16() else torch.float32)
            frames = functools.partial(model.frames, forward=quick)
        return FrameNetwork(hop=2 * 160, frames=frames, pool=model.pool, normalises=True, subsegments=True)
    return None


def embed_frames_once(pipeline: SpeakerDiarization, workers: int = 1) -> bool:
    """Have `pipeline` compute each frame once, where its network is known here; return whether it is.

    On a CPU `workers` threads take a block each.
    """
    model = embedding_network(pipeline)
    network = frame_network(model)
    if network is None:
        return False
    embed_with(pipeline, functools.partial(_embeddings, pipeline, network, workers))
    return True


class Blocks:
    """The frames of a recording, block by block: computed a few ahead of what is asked for, kept until behind it."""

    def __init__(
        self, pipeline: SpeakerDiarization, network: FrameNetwork, file: Any, wanted: Iterable[int], workers: int = 1
    ) -> None:
        """`wanted` are the numbers of the blocks that will be asked for, in rising order."""
        self._pipeline = pipeline
        self._network = network
        self._file = file
        self._length = block_frames(pipeline, network)
        self._computed = in_order(self._compute, wanted, workers)
        self.kept: dict[int, torch.Tensor] = {}
        self.subsegments: dict[int, np.ndarray] = {}
        """The embeddings of every half second of the blocks so far, (n_steps, dimension) by block."""

    def cut(self, first: int, last: int) -> torch.Tensor:
        """Return frames `first` to `last` of the recording, (1, ..., last - first)."""
        blocks = blocks_of(first, last, self._length)
        while not self.kept or max(self.kept) < blocks[-1]:
            block, frames, vectors = next(self._computed)
            self.kept[block] = frames
            if vectors is not None:
                self.subsegments[block] = vectors
        start = blocks.start * self._length
        return torch.cat([self.kept[block] for block in blocks], dim=-1)[..., first - start : last - start]

    def forget(self, before: int) -> None:
        """Drop the blocks that end before frame `before`."""
        self.kept = {block: frames for block, frames in self.kept.items() if (block + 1) * self._length > before}

    def close(self) -> None:
        """Compute no further blocks."""
        self._computed.close()

    @torch.inference_mode()
    def _compute(self, block: int) -> tuple[int, torch.Tensor, np.ndarray | None]:
        embedding: Any = self._pipeline._embedding
        n_samples = self._length * self._network.hop
        start, end = block * n_samples, (block + 1) * n_samples + TAIL
        span = Segment(start / embedding.sample_rate, end / embedding.sample_rate)
        waveform, _ = self._pipeline._audio.crop(self._file, span, mode="pad")
        n_frames = self._length
        if self._network.normalises:  # silence that fills the last block would shift what it takes for usual
            there = max(self._file["waveform"].shape[-1] - start, FEWEST_SAMPLES)
            n_frames = min(n_frames, math.ceil(there / self._network.hop))
        frames = self._network.frames(waveform[None, ..., : n_frames * self._network.hop + TAIL].to(embedding.device))
        vectors = None
        if self._network.subsegments:
            weights = spans(n_frames, embedding.sample_rate / self._network.hop)
            vectors = self._network.pool(frames, weights.to(embedding.device))[0].cpu().numpy()
        return block, F.pad(frames, (0, self._length - n_frames)), vectors


def has_bfloat16(cpu: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this machine's CPU computes in bfloat16 itself: on others that would be slower than float32."""
    flags = re.search(r"^flags\s*:(.*)$", cpu.read_text(), re.MULTILINE) if cpu.is_file() else None
    return flags is not None and not BFLOAT16.isdisjoint(flags[1].split())


def block_frames(pipeline: SpeakerDiarization, network: FrameNetwork) -> int:
    """Return how many frames a block has."""
    return round(BLOCK_SECONDS * pipeline._embedding.sample_rate / network.hop)


def blocks_of(first: int, last: int, length: int) -> range:
    """Return the blocks of `length` frames that frames `first` to `last` lie in."""
    return range(first // length, math.ceil(last / length))


class Talk:
    """Who talks when in each window, at the rate of a network's frames."""

    def __init__(self, windows: SlidingWindowFeature, rate: float, exclude_overlap: bool, fewest: int) -> None:
        """`rate` is in frames a second; `exclude_overlap` and `fewest` are as for `speaker_weights`."""
        self._windows = windows
        self._rate = rate
        self._exclude_overlap = exclude_overlap
        self._fewest = fewest
        self._n_frames = round(windows.sliding_window.duration * rate)

    def first(self, index: int) -> int:
        """Return the frame of the recording that a window begins with."""
        return round(self._windows.sliding_window[index].start * self._rate)

    def __call__(self, index: int) -> tuple[int, torch.Tensor] | None:
        """Return a window's talk without the silence around it, None where nobody talks.

        That is its first frame in the recording, and each speaker's weights from there on, (1, n_speakers, n_frames).
        """
        window = self._windows.data[index : index + 1]
        weights = torch.from_numpy(speaker_weights(window, self._exclude_overlap, self._fewest))
        resampled = F.interpolate(weights, size=self._n_frames, mode="nearest")
        talk = torch.nonzero(resampled.any(dim=1)[0]).flatten()
        if not len(talk):
            return None
        start, end = int(talk[0]), int(talk[-1]) + 1
        return self.first(index) + start, resampled[..., start:end]

    def blocks(self, length: int) -> list[int]:
        """Return the blocks of `length` frames in which somebody talks, in rising order."""
        wanted: set[int] = set()
        for index in range(len(self._windows.data)):
            if (talk := self(index)) is not None:
                first, weights = talk
                wanted.update(blocks_of(first, first + weights.shape[-1], length))
        return sorted(wanted)


@torch.inference_mode()
def _embeddings(
    pipeline: SpeakerDiarization,
    network: FrameNetwork,
    workers: int,
    file: Any,
    windows: SlidingWindowFeature,
    exclude_overlap: bool,
    hook: Hook | None,
) -> np.ndarray:
    """Return (n_windows, n_speakers, dimension), in the place of `SpeakerDiarization.get_embeddings`."""
    embedding: Any = pipeline._embedding
    talk = Talk(windows, embedding.sample_rate / network.hop, exclude_overlap, fewest_frames(embedding, windows))
    total, _, n_speakers = windows.data.shape
    found = np.empty((total, n_speakers, embedding.dimension), np.float32)
    silence = torch.zeros(1, 1, POOLED_SILENCE * network.hop + TAIL, device=embedding.device)
    nobody = torch.zeros(1, 1, POOLED_SILENCE, device=embedding.device)
    found[:] = network.pool(network.frames(silence), nobody)[0].cpu().numpy()
    wanted = talk.blocks(block_frames(pipeline, network))
    with closing(Blocks(pipeline, network, file, wanted, workers if embedding.device.type == "cpu" else 1)) as blocks:
        for index in range(total):
            blocks.forget(talk.first(index))
            if hook is not None and index % PROGRESS_WINDOWS == 0:
                hook("embeddings", None, total=total, completed=index)
            if (spoken := talk(index)) is not None:
                first, weights = spoken
                frames = blocks.cut(first, first + weights.shape[-1])
                found[index] = network.pool(frames, weights.to(embedding.device))[0].cpu().numpy()
    if hook is not None:
        hook("embeddings", None, total=total, completed=total)
        if network.subsegments:
            hook(SUBSEGMENTS, joined(blocks.subsegments, round(BLOCK_SECONDS / STEP_SECONDS)))
    return found
