"""Whose each word is: the speakers of a sentence's words, from turns whose edges are never exact.

Edges of turns and of words are off by some 100 ms, so a word beside a change of speakers often lies in the wrong turn,
and where two talk at once a word lies in both. Taken one by one such words cut sentences apart ("Neither did", "I.").
People seldom hand over in the middle of a sentence without a pause: so the words of a sentence are given to speakers
together, by the path through them that lies most in its speakers' turns and pays for each change (Viterbi, "Error
bounds for convolutional codes", IEEE Transactions on Information Theory, 1967).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whisperx_api.transcript import Diarization, Turn, Word

NEAREST_TURN_SECONDS = 1.0
"""How far from a turn a word that is in none may be to be given to its speaker. Over 464 words with the starter models'
turns two were in none: one by 0.2 s and rightly the nearest's, one by 1.9 s and put at a wrong time. With limits from
0.3 to 5 s as many words go to the wrong speaker."""

CHANGE_SECONDS = 0.4
"""Seconds of speech and pause that must speak for a change of speakers inside a sentence.

Measured with `bench.accuracy` on recordings of several speakers, 458 words heard: with human turns 11 words go to the
wrong speaker, where each word alone takes its turn 13; with the edges of those turns moved at random by 0.2 s (standard
deviation, six times) 76 of 2748 and 114. From 0.3 to 0.7 the first figure stays, and beyond 1 real changes are lost."""

FLOOR_SHARE = 0.25
"""How much exclusive turns count, in which at most one speaker talks at a time; the rest is for all who talk meanwhile.

Who has the floor where two talk at once is a guess. With human turns any share does as well; with their edges moved as
above 83 words go to the wrong speaker where both count by half, and 99 where exclusive turns alone count."""


class SpeakerTimes:
    """How close stretches of time are to each speaker's turns."""

    def __init__(self, diarization: Diarization) -> None:
        self.speakers = sorted({turn.speaker for turn in diarization.exclusive})
        self._exclusive = [_Turns(diarization.exclusive, speaker) for speaker in self.speakers]
        self._overlapping = [_Turns(diarization.turns, speaker) for speaker in self.speakers]

    def exclusive(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return (n_stretches, n_speakers), seconds: how long each speaker has the floor in `starts`..`ends`.

        A speaker who never has it there gets minus the distance to their nearest turn, at the most
        `NEAREST_TURN_SECONDS`.
        """
        return _closeness(self._exclusive, starts, ends)

    def seconds(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return (n_stretches, n_speakers): for how many seconds each speaker has the floor in `starts`..`ends`."""
        return np.stack([of_speaker.seconds(starts, ends) for of_speaker in self._exclusive], axis=1)

    def of_words(self, words: Sequence[Word]) -> np.ndarray:
        """Return (n_words, n_speakers), seconds, as `exclusive`, where others who talk meanwhile count for most.

        What is guessed of them must not outweigh the sentence.
        """
        starts = np.array([word.start for word in words])
        ends = np.array([word.end for word in words])
        alone, overlapping = (_closeness(turns, starts, ends) for turns in (self._exclusive, self._overlapping))
        return FLOOR_SHARE * alone + (1 - FLOOR_SHARE) * overlapping


def attribute(words: Sequence[Word], closeness: np.ndarray) -> list[int | None]:
    """Return for each word of one sentence the column of its speaker in `closeness`; None where all are far.

    `closeness` is of shape (n_words, n_speakers). Takes time linear in the words.
    """
    near = np.flatnonzero((closeness > -NEAREST_TURN_SECONDS).any(axis=1)).tolist()
    found: list[int | None] = [None] * len(words)
    if not near:
        return found
    best = closeness[near].argmax(axis=1)
    if (best != best[0]).any():
        before = [words[index].end for index in near[:-1]]
        pauses = np.array([words[index].start for index in near[1:]]) - before
        best = _best_path(closeness[near], np.maximum(0.0, CHANGE_SECONDS - np.maximum(0.0, pauses)))
    for index, speaker in zip(near, best.tolist(), strict=True):
        found[index] = speaker
    return found


def _best_path(gains: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the columns, one a row of `gains`, with the highest sum less `costs[i]` for a change after row i."""
    value = gains[0].copy()
    came = np.empty(gains.shape, dtype=np.int64)
    stay = np.arange(gains.shape[1])
    for row in range(1, len(gains)):
        leader = int(value.argmax())
        changed = value[leader] - costs[row - 1]
        came[row] = np.where(value >= changed, stay, leader)
        value = np.maximum(value, changed) + gains[row]
    path = np.empty(len(gains), dtype=np.int64)
    path[-1] = value.argmax()
    for row in range(len(gains) - 1, 0, -1):
        path[row - 1] = came[row, path[row]]
    return path


def _closeness(turns: Sequence[_Turns], starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    if not turns:
        return np.zeros((len(starts), 0))
    return np.stack([of_speaker.closeness(starts, ends) for of_speaker in turns], axis=1)


class _Turns:
    """One speaker's turns, to be searched by time."""

    def __init__(self, turns: Sequence[Turn], speaker: str) -> None:
        edges: list[list[float]] = []
        for turn in sorted((turn for turn in turns if turn.speaker == speaker), key=lambda turn: turn.start):
            if edges and turn.start <= edges[-1][1]:
                edges[-1][1] = max(edges[-1][1], turn.end)
            else:
                edges.append([turn.start, turn.end])
        self._edges = np.array(edges).reshape(-1)
        """Start and end of each turn, in order and without overlap."""
        spoken = np.cumsum(self._edges[1::2] - self._edges[::2])
        self._spoken = np.concatenate([[0.0], np.repeat(spoken, 2)])[:-1]
        """Seconds spoken until each edge."""

    def seconds(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return for each stretch how many seconds of it are in turns."""
        return np.interp(ends, self._edges, self._spoken) - np.interp(starts, self._edges, self._spoken)

    def closeness(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return for each stretch the seconds of it in turns, or minus the distance to the nearest, at the most 1 s."""
        if not len(self._edges):
            return np.full(len(starts), -NEAREST_TURN_SECONDS)
        covered = self.seconds(starts, ends)
        padded = np.concatenate([[-np.inf], self._edges, [np.inf]])
        following = np.searchsorted(self._edges[::2], starts, side="right")  # the first turn that starts later
        distance = np.minimum(starts - padded[2 * following], padded[2 * following + 1] - ends)
        return np.where(covered > 0, covered, -np.clip(distance, 0.0, NEAREST_TURN_SECONDS))
