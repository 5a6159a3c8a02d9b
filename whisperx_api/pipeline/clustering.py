"""A bound on how many embeddings are clustered, so that a recording's length costs neither memory nor time squared.

Both of pyannote.audio 4's clusterings, agglomerative and VBx (Landini et al., Computer Speech & Language 2022,
arXiv 2012.14952), begin with the distances of all pairs of embeddings, kept twice in float64: 290 MB and a few seconds
for 6,000 embeddings, and sixteen times as much for four times the length. What follows is linear: each embedding is
given to the nearest speaker.

Up to `MAX_EMBEDDINGS` everything is pyannote's own, and so are the turns. Beyond it pyannote's own clustering finds the
speakers in the embeddings of windows spread evenly over the recording, with its parameters scaled to mean the same
(`of_sample`), and every embedding is then assigned as before. Windows follow each other by a tenth of their length, so
neighbours hear nearly the same, and up to ten times the bound the sample still hears every second of the recording. A
random sample would leave gaps by chance, in which a speaker of few words is lost. Windows are taken with all their
speakers: every n-th embedding could miss the same one of two each time.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.audio.pipelines.clustering import AgglomerativeClustering, BaseClustering, OracleClustering, VBxClustering
from pyannote.core import SlidingWindowFeature

MAX_EMBEDDINGS = 6_000
"""Most embeddings that are clustered: those of 65 minutes of lively talk (1.5 a second), of 95 of calmer (1.05)."""

BLOCK_WINDOWS = 1_000
"""Windows whose embeddings are looked through at once."""


def cluster_sample(pipeline: SpeakerDiarization, max_embeddings: int = MAX_EMBEDDINGS) -> bool:
    """Have `pipeline` cluster no more than `max_embeddings` at once; return whether its clustering can be bounded.

    The pipeline's parameters can still be set: they are read at every call.
    """
    clustering = pipeline.clustering
    if not isinstance(clustering, BaseClustering) or isinstance(clustering, OracleClustering):
        return False
    changed: Any = pipeline
    changed.clustering = SampledClustering(clustering, max_embeddings)
    return True


class SampledClustering:
    """A clustering of pyannote's that looks for speakers in no more than `max_embeddings`."""

    def __init__(self, clustering: BaseClustering, max_embeddings: int) -> None:
        self._clustering = clustering
        self._max_embeddings = max_embeddings

    def __call__(
        self, embeddings: np.ndarray, segmentations: SlidingWindowFeature, **options: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Assign speakers: `BaseClustering.__call__`, from a sample of the embeddings where there are too many.

        embeddings: (n_windows, n_local_speakers, dimension) float32.
        segmentations: (n_windows, n_frames, n_local_speakers) of 0 and 1.
        options: bounds of the number of speakers, by pyannote's names.
        Returns speakers (n_windows, n_local_speakers) int, their scores (…, n_speakers), and their centroids
        (n_speakers, dimension).
        """
        windows, speakers = self._reliable(embeddings, segmentations)
        kept = evenly_spread(windows, self._max_embeddings)
        clustering: Any = of_sample(self._clustering, len(kept) / len(windows) if len(windows) else 1.0)
        windows, speakers = windows[kept], speakers[kept]
        train = embeddings[windows, speakers], windows, speakers
        clustering.filter_embeddings = lambda *args, **kwargs: train
        return clustering(embeddings=embeddings, segmentations=segmentations, **options)

    def _reliable(self, embeddings: np.ndarray, segmentations: SlidingWindowFeature) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows and local speakers whose embeddings pyannote clusters, (n_embeddings,) int each.

        They are in time order. pyannote's filter makes 64-bit copies of what it gets, so it gets a block at a time.
        """
        found = []
        for start in range(0, len(embeddings), BLOCK_WINDOWS):
            block = slice(start, start + BLOCK_WINDOWS)
            part = SlidingWindowFeature(segmentations.data[block], segmentations.sliding_window)
            _, windows, speakers = self._clustering.filter_embeddings(embeddings[block], segmentations=part)
            found.append((start + windows, speakers))
        windows, speakers = (np.concatenate(part) for part in zip(*found, strict=True))
        return windows, speakers


def evenly_spread(windows: np.ndarray, most: int) -> np.ndarray:
    """Choose embeddings of whole windows, spread evenly over those that have any.

    windows: (n_embeddings,) int, the window of each, in order.
    Returns which to take, (n_chosen,) int in order: all where there are no more than `most`.
    """
    _, starts = np.unique(windows, return_index=True)
    counts = np.diff(starts, append=len(windows))
    n_chosen, chosen = len(counts), np.arange(len(counts))
    while (excess := counts[chosen].sum() - most) > 0:
        n_chosen -= math.ceil(excess / counts.max())
        chosen = np.arange(n_chosen) * len(counts) // n_chosen
    return np.flatnonzero(np.isin(np.repeat(np.arange(len(counts)), counts), chosen))


def of_sample(clustering: BaseClustering, share: float) -> BaseClustering:
    """Return a copy of `clustering` whose parameters mean for a sample what they meant for all.

    share: how many of all embeddings the sample has, 0..1.
    """
    sample: Any = copy.deepcopy(clustering)
    if isinstance(clustering, VBxClustering):
        # VBx weighs Fb, the cost of a speaker, against the evidence of all embeddings (eq. 17 and 25): this is the
        # same as counting each embedding of the sample 1 / share times.
        sample.Fb *= share
    elif isinstance(clustering, AgglomerativeClustering):
        # How many of a speaker's few are in a sample is chance: so this is rounded up, and one alone is no speaker.
        sample.min_cluster_size = min(sample.min_cluster_size, max(2, math.ceil(sample.min_cluster_size * share)))
    return sample
