"""Whose voice words are in, where diarization may have them wrong.

Diarization tells speakers apart by windows of ten seconds. A short answer there is one of two or three local speakers,
and may be joined to the wrong one; the words say where it begins and ends, and so can be listened to alone. Words whose
voice is clearly another speaker's are that speaker's.
"""

from __future__ import annotations

import numpy as np

from whisperx_api.pipeline.attribution import SpeakerTimes
from whisperx_api.pipeline.subsegments import unpacked
from whisperx_api.transcript import Subsegments

CLEARER = 0.15
"""By how much the cosine to another speaker must exceed that to their own.

Measured with CAM++ and `bench.accuracy`, 720 words heard: 45 of them go to the wrong speaker at 0.10 and 0.15, 52 at
0.2, 57 at 0.05, and 56 by turns alone. The nine recordings of several speakers joined, ten speakers found, 458 words:
47 at 0.1, 51 at 0.15 and 0.2, and 72."""

SHORTEST_SECONDS = 0.5
"""Shorter words are left where they are: half of the second that is heard for them may be another's. At 0.3 s two fewer
of the 45 are wrong, which is no reason to trust so little of a voice."""

FEWEST_SECONDS = 0.5
"""How much of a speaker there must be beside the words in question for them to be compared at all."""


class Likeness:
    """Compares the voice of words with those of the speakers, each as the rest of their turns has it."""

    def __init__(self, times: SpeakerTimes, subsegments: Subsegments) -> None:
        """`times` are those of the speakers' turns, and in their order speakers are numbered below."""
        self._step = subsegments.step
        self._vectors = unpacked(subsegments)
        edges = np.arange(len(self._vectors) + 1) * self._step
        heard = self._vectors.any(axis=1, keepdims=True)
        self._talk = (times.seconds(edges[:-1], edges[1:]) * heard).astype(np.float32).T
        """Seconds for which each speaker has the floor in each step, (n_speakers, n_steps)."""
        self._sums = self._talk @ self._vectors
        self._totals = self._talk.sum(axis=1)

    def corrected(self, speaker: int, start: float, end: float) -> int:
        """Return whose the words from `start` to `end` are, in seconds, that turns give to `speaker`.

        Each speaker is heard without those words, or whoever has them would always be like them.
        """
        first, last = int(start / self._step), min(int(np.ceil(end / self._step)), len(self._vectors))
        if end - start < SHORTEST_SECONDS:
            return speaker
        steps = slice(first, last)
        left = self._totals - self._talk[:, steps].sum(axis=1)
        there = left >= FEWEST_SECONDS
        if not there[speaker]:
            return speaker
        edges = np.arange(first, last) * self._step
        shares = np.minimum(edges + self._step, end) - np.maximum(edges, start)
        voice = shares @ self._vectors[steps]
        others = self._sums - self._talk[:, steps] @ self._vectors[steps]
        cosines = np.full(len(left), -np.inf)
        cosines[there] = others[there] @ voice / _length(others[there], voice)
        best = int(cosines.argmax())
        return best if cosines[best] - cosines[speaker] > CLEARER else speaker


def _length(speakers: np.ndarray, voice: np.ndarray) -> np.ndarray:
    return np.linalg.norm(speakers, axis=1) * np.linalg.norm(voice) + np.finfo(np.float32).tiny
