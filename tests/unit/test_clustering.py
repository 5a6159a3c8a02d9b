"""Speakers found from a bounded number of embeddings: pyannote's own up to the bound, and as good beyond it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyannote.audio.core.plda import PLDA
from pyannote.audio.pipelines import clustering as stock
from pyannote.audio.utils.vbx import cluster_vbx
from pyannote.core import SlidingWindowFeature
from scipy.cluster.hierarchy import linkage
from scipy.optimize import linear_sum_assignment

from bench.meeting import Meeting, make_meeting
from whisperx_api.pipeline.clustering import SampledClustering, evenly_spread, of_sample

DIMENSION = 32
SHARES = (0.5, 0.3, 0.18, 0.02)
ANY_NUMBER: dict[str, Any] = {"num_clusters": None, "min_clusters": 1, "max_clusters": np.inf}


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    """A quarter of an hour of four, one of whom says very little."""
    return make_meeting(0.25, SHARES, DIMENSION)


@pytest.fixture(scope="module")
def plda(tmp_path_factory: pytest.TempPathFactory) -> PLDA:
    """A PLDA whose speakers differ more from each other than from themselves, in every direction."""
    folder = tmp_path_factory.mktemp("plda")
    zeros, unit = np.zeros(DIMENSION), np.eye(DIMENSION)
    np.savez(folder / "xvec_transform.npz", mean1=zeros, mean2=zeros, lda=unit)
    np.savez(folder / "plda.npz", mu=zeros, tr=np.sqrt(2) * unit, psi=np.linspace(4.0, 1.0, DIMENSION))
    return PLDA(folder / "xvec_transform.npz", folder / "plda.npz", lda_dimension=DIMENSION)


@pytest.fixture(params=["agglomerative", "vbx"])
def clustering(request: pytest.FixtureRequest, plda: PLDA) -> stock.BaseClustering:
    if request.param == "vbx":
        vbx = stock.VBxClustering(plda)
        vbx.instantiate({"threshold": 0.6, "Fa": 0.07, "Fb": 0.8})
        return vbx
    agglomerative = stock.AgglomerativeClustering()
    agglomerative.instantiate({"method": "centroid", "threshold": 0.7, "min_cluster_size": 12})
    return agglomerative


def wrongly_assigned(meeting: Meeting, clusters: np.ndarray) -> float:
    """Return which part of the local speakers who talk was given to another speaker than the one they are."""
    talks = meeting.speakers >= 0
    table = np.zeros((len(SHARES), clusters.max() + 1))
    np.add.at(table, (meeting.speakers[talks], np.maximum(clusters[talks], 0)), 1)
    return 1 - table[linear_sum_assignment(table, maximize=True)].sum() / talks.sum()


@pytest.mark.parametrize("bounds", [{}, {"min_clusters": 6}, {"max_clusters": 2}, {"num_clusters": 3}])
def test_up_to_the_bound_speakers_are_those_of_pyannote(
    clustering: stock.BaseClustering, meeting: Meeting, bounds: dict[str, int]
) -> None:
    options = ANY_NUMBER | bounds
    part = meeting.embeddings[:300]
    windows = SlidingWindowFeature(meeting.segmentations.data[:300], meeting.segmentations.sliding_window)
    expected = clustering(embeddings=part.copy(), segmentations=windows, **options)
    n_reliable = len(clustering.filter_embeddings(part, segmentations=windows)[0])
    found = SampledClustering(clustering, n_reliable)(embeddings=part, segmentations=windows, **options)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_beyond_the_bound_speakers_are_as_right(
    clustering: stock.BaseClustering, meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(stock, "linkage", lambda x, **options: sizes.append(len(x)) or linkage(x, **options))
    everything = {"embeddings": meeting.embeddings, "segmentations": meeting.segmentations, **ANY_NUMBER}
    all_of_them, _, _ = clustering(**everything)
    sampled, _, _ = SampledClustering(clustering, 500)(**everything)
    assert sizes[0] > 1200 and 450 < sizes[1] <= 500
    assert wrongly_assigned(meeting, sampled) <= wrongly_assigned(meeting, all_of_them) + 0.005


def test_whoever_says_little_is_found_in_a_sample_too(meeting: Meeting) -> None:
    clustering = stock.AgglomerativeClustering()
    clustering.instantiate({"method": "centroid", "threshold": 0.7, "min_cluster_size": 12})
    clusters, _, centroids = SampledClustering(clustering, 500)(
        embeddings=meeting.embeddings, segmentations=meeting.segmentations, **ANY_NUMBER
    )
    assert len(centroids) == len(SHARES)
    assert wrongly_assigned(meeting, clusters) < 0.001


def test_each_embedding_of_a_sample_counts_for_those_left_out(plda: PLDA, meeting: Meeting) -> None:
    clustering = stock.VBxClustering(plda)
    clustering.instantiate({"threshold": 0.6, "Fa": 0.07, "Fb": 0.8})
    features = plda(meeting.embeddings[::9, 0])
    start = np.arange(len(features)) % 7
    repeated, _ = cluster_vbx(
        np.repeat(start, 5), np.repeat(features, 5, axis=0), plda.phi, clustering.Fa, clustering.Fb
    )
    sample: Any = of_sample(clustering, 1 / 5)
    once, _ = cluster_vbx(start, features, plda.phi, sample.Fa, sample.Fb)
    np.testing.assert_allclose(once, repeated[::5], atol=1e-4)


def test_parameters_are_those_of_the_pipeline_afterwards(clustering: stock.BaseClustering, meeting: Meeting) -> None:
    before = clustering.parameters(instantiated=True)
    SampledClustering(clustering, 200)(embeddings=meeting.embeddings, segmentations=meeting.segmentations, **ANY_NUMBER)
    assert clustering.parameters(instantiated=True) == before
    assert len(clustering.filter_embeddings(meeting.embeddings, segmentations=meeting.segmentations)[0]) > 1200


def test_nobody_long_enough_to_be_recognised(clustering: stock.BaseClustering, meeting: Meeting) -> None:
    windows = SlidingWindowFeature(meeting.segmentations.data[:3].copy(), meeting.segmentations.sliding_window)
    windows.data[:, 50:] = 0
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        clusters, _, _ = SampledClustering(clustering, 200)(
            embeddings=meeting.embeddings[:3], segmentations=windows, **ANY_NUMBER
        )
    assert not clusters.any()


def test_sample_is_of_whole_windows_spread_evenly() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        windows = np.sort(random.integers(0, random.integers(1, 500), random.integers(1, 900)))
        most = int(random.integers(20, 900))
        kept = evenly_spread(windows, most)
        assert len(kept) <= most and (np.diff(kept) > 0).all()
        if len(windows) <= most:
            assert len(kept) == len(windows)
            continue
        chosen = np.unique(windows[kept])
        assert np.isin(windows, chosen).sum() == len(kept)
        gaps = np.diff(np.searchsorted(np.unique(windows), chosen))
        assert gaps.max(initial=1) - gaps.min(initial=gaps.max(initial=1)) <= 1
