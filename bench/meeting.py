"""Meetings made by chance, as the networks of a diarization pipeline would see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyannote.core import SlidingWindow, SlidingWindowFeature

WINDOW_SECONDS, STEP_SECONDS = 10.0, 1.0
WINDOW_FRAMES, FRAME_SECONDS = 589, 0.016875
LOCAL_SPEAKERS = 3


@dataclass(frozen=True)
class Meeting:
    """What segmentation and embedding give for a meeting, and the truth.

    segmentations: (n_windows, 589, 3) uint8 of 0 and 1.
    embeddings: (n_windows, 3, dimension) float32; those of silent local speakers are all the same.
    speakers: (n_windows, 3) int, who each local speaker is; -1 where silent.
    """

    segmentations: SlidingWindowFeature
    embeddings: np.ndarray
    speakers: np.ndarray


def make_meeting(hours: float, shares: tuple[float, ...], dimension: int = 192, seed: int = 0) -> Meeting:
    """Make a meeting whose turns last some 5 s, with short pauses and some overlap between them.

    shares: each speaker's chance of the next turn; they add up to 1.
    """
    random = np.random.default_rng(seed)
    n_windows = round(hours * 3600 / STEP_SECONDS)
    talks = _turns(random, n_windows, shares)
    voices = random.standard_normal((len(shares), dimension)) / np.sqrt(dimension)
    drift = np.zeros_like(voices)
    segmentations = np.zeros((n_windows, WINDOW_FRAMES, LOCAL_SPEAKERS), np.uint8)
    speakers = np.full((n_windows, LOCAL_SPEAKERS), -1)
    embeddings = np.empty((n_windows, LOCAL_SPEAKERS, dimension), np.float32)
    embeddings[:] = random.standard_normal(dimension)
    for window in range(n_windows):
        first = round(window * STEP_SECONDS / FRAME_SECONDS)
        heard = talks[first : first + WINDOW_FRAMES]
        # Neighbouring windows hear nearly the same, so what a voice sounds like changes slowly.
        drift = 0.9 * drift + np.sqrt(1 - 0.9**2) * random.standard_normal(voices.shape) / np.sqrt(dimension)
        most = np.argsort(-heard.sum(axis=0), kind="stable")[:LOCAL_SPEAKERS]
        for local, speaker in enumerate(random.permutation(most[heard[:, most].any(axis=0)])):
            segmentations[window, :, local] = heard[:, speaker]
            speakers[window, local] = speaker
            noise = 0.5 + 0.5 / np.sqrt(1 + heard[:, speaker].sum() * FRAME_SECONDS)
            embeddings[window, local] = voices[speaker] + noise * drift[speaker]
    slide = SlidingWindow(start=0.0, duration=WINDOW_SECONDS, step=STEP_SECONDS)
    return Meeting(SlidingWindowFeature(segmentations, slide), embeddings, speakers)


def _turns(random: np.random.Generator, n_windows: int, shares: tuple[float, ...]) -> np.ndarray:
    """Return who talks when, (n_frames, n_speakers) bool."""
    n_frames = round((n_windows * STEP_SECONDS + WINDOW_SECONDS) / FRAME_SECONDS)
    talks = np.zeros((n_frames, len(shares)), bool)
    now = 0.0
    while now < n_frames * FRAME_SECONDS:
        end = now + 0.5 + random.exponential(4.5)
        talks[round(now / FRAME_SECONDS) : round(end / FRAME_SECONDS), random.choice(len(shares), p=shares)] = True
        now = max(0.0, end + random.normal(0.2, 0.6))
    return talks
