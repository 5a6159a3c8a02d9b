"""What our diarizer makes of community-1's segmentation and embeddings is what community-1 made of them, step by step.

The steps are pyannote's VBx clustering with community-1's own PLDA, and counting and placing of speakers. The record is
of the real pipeline, on two recordings of half a minute.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pyannote.audio import Model
from pyannote.audio.core.plda import PLDA
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.audio.pipelines import clustering as stock
from pyannote.audio.utils.vbx import cluster_vbx
from pyannote.core import SlidingWindow, SlidingWindowFeature

from whisperx_api.pipeline.campplus_model import CAMPPlusEmbedding
from whisperx_api.pipeline.clustering import cluster_sample
from whisperx_api.pipeline.diarize import Diarizer
from whisperx_api.pipeline.diarizers import STARTER_EMBEDDING, STARTER_SEGMENTATION
from whisperx_api.pipeline.reconstruct import reconstruct_in_blocks
from whisperx_api.transcript import Diarization

RECORDINGS = {"pipeline": "test.flac", "3speakers": "test_3speakers.flac"}


class Golden:
    """One recording's record."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self.name = folder, name
        self.audio, _ = soundfile.read(folder / RECORDINGS[name], dtype="float32")

    def array(self, step: str) -> np.ndarray:
        return np.load(self._folder / f"{self.name}_{step}.npy")

    def feature(self, step: str) -> SlidingWindowFeature:
        window = json.loads((self._folder / f"{self.name}_{step}_window.json").read_text())
        return SlidingWindowFeature(self.array(f"{step}_data"), SlidingWindow(**window))

    def turns(self) -> list[tuple[float, float, str]]:
        """Start and duration in seconds, and speaker."""
        lines = (self._folder / f"{self.name}_expected.rttm").read_text().splitlines()
        return [(float(f[3]), float(f[4]), f[7]) for f in map(str.split, lines) if f]


class Run:
    """What our diarizer made of a record's segmentation and embeddings, and what each step gave on the way."""

    def __init__(self, golden: Golden, pipeline: SpeakerDiarization, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: dict[str, tuple[Any, ...]] = {}
        segmentations = golden.feature("segmentation")
        segmentations.data = segmentations.data.astype(np.uint8)
        embeddings = golden.array("embeddings_data")
        self.train = pipeline.clustering.filter_embeddings(embeddings, segmentations=segmentations)
        replaced: Any = pipeline
        replaced.get_segmentations = lambda file, hook=None: segmentations
        replaced.get_embeddings = lambda file, windows, **options: embeddings
        cluster_sample(pipeline)
        reconstruct_in_blocks(pipeline)
        replaced.speaker_count = self._told("count", pipeline.speaker_count)
        replaced.reconstruct = self._told("reconstruct", pipeline.reconstruct)
        monkeypatch.setattr(stock, "cluster_vbx", self._told("vbx", cluster_vbx))
        self.diarization: Diarization = Diarizer("community-1", pipeline)(golden.audio)

    def _told(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            if step not in self.steps:  # `reconstruct` runs again for the exclusive turns
                self.steps[step] = (*args, copy.copy(result))  # the pipeline bounds a count where it stands
            return result

        return call


@pytest.fixture(params=RECORDINGS)
def golden(request: pytest.FixtureRequest, data_dir: Path) -> Golden:
    return Golden(data_dir / "community1_golden", request.param)


@pytest.fixture(scope="module")
def networks(starter_dir: Path) -> tuple[Model, Model]:
    """Networks that are asked for nothing but their frames: both steps are on record."""
    segmentation = Model.from_pretrained(starter_dir / STARTER_SEGMENTATION)
    assert segmentation is not None
    return segmentation, CAMPPlusEmbedding.from_checkpoint(starter_dir / STARTER_EMBEDDING)


@pytest.fixture
def run(golden: Golden, data_dir: Path, networks: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch) -> Run:
    folder = data_dir / "community1_golden"
    pipeline = SpeakerDiarization(
        segmentation=networks[0], embedding=networks[1], embedding_exclude_overlap=True, clustering="VBxClustering",
        plda=PLDA(folder / "xvec_transform.npz", folder / "plda.npz"),
    )  # fmt: skip
    # The published parameters, which are those in the first recording's record.
    pipeline.instantiate(
        {"segmentation": {"min_duration_off": 0.0}, "clustering": {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8}}
    )
    pipeline.to(torch.device("cpu"))
    return Run(golden, pipeline, monkeypatch)


def test_turns(golden: Golden, run: Run) -> None:
    """To a microsecond, as they are written."""
    found = [(turn.start, turn.end - turn.start, turn.speaker) for turn in run.diarization.turns]
    expected = golden.turns()
    assert [turn[2] for turn in found] == [turn[2] for turn in expected]
    np.testing.assert_allclose([turn[:2] for turn in found], [turn[:2] for turn in expected], rtol=0, atol=1e-6)


def test_number_of_speakers_in_each_frame(golden: Golden, run: Run) -> None:
    _, _, count = run.steps["count"]
    expected = golden.feature("speaker_counting")
    np.testing.assert_array_equal(count.data, expected.data)
    for name in ("start", "duration", "step"):
        assert getattr(count.sliding_window, name) == getattr(expected.sliding_window, name)


def test_who_talks_in_each_frame(golden: Golden, run: Run) -> None:
    *_, talks = run.steps["reconstruct"]
    np.testing.assert_array_equal(talks.data, golden.feature("discrete_diarization").data)


@pytest.mark.parametrize("golden", ["pipeline"], indirect=True)
def test_embeddings_that_are_clustered(golden: Golden, run: Run) -> None:
    for found, step in zip(run.train, ("train_embeddings", "train_chunk_idx", "train_speaker_idx"), strict=True):
        np.testing.assert_array_equal(found, golden.array(step))


@pytest.mark.parametrize("golden", ["pipeline"], indirect=True)
def test_clusters_of_each_step(golden: Golden, run: Run) -> None:
    ahc_clusters, features, phi, (gamma, pi) = run.steps["vbx"]
    np.testing.assert_allclose(phi, golden.array("plda_phi"), rtol=1e-9)
    np.testing.assert_allclose(features, golden.array("plda_features"), atol=1e-6)
    np.testing.assert_array_equal(ahc_clusters, golden.array("ahc_clusters"))
    np.testing.assert_allclose(gamma, golden.array("vbx_gamma"), atol=1e-9)
    np.testing.assert_allclose(pi, golden.array("vbx_pi"), atol=1e-9)
    np.testing.assert_array_equal(run.steps["reconstruct"][1], golden.array("hard_clusters"))
