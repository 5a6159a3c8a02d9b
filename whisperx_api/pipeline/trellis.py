"""The best path of letters through CTC emissions, for many segments at once.

Trellis and path are those of whisperx (`get_trellis`, `backtrack`, `merge_repeats`; Bain et al., arXiv 2303.00747),
value for value. Theirs takes a Python step a frame and segment, and one a frame of the path; here a step a frame serves
all segments of a batch, and of the trellis only one row and the decisions are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

CELLS = 32_000_000
"""Most decisions kept at once, one byte each: (segments, frames, letters) of a batch."""

Spans = np.ndarray
"""shape = (n_letters, 3), float64: first frame, frame after the last, mean probability."""


def letter_spans(emissions: Sequence[np.ndarray], tokens: Sequence[Sequence[int]], blank: int) -> list[Spans | None]:
    """Return where each letter lies, for each segment; None where its text has more letters than its sound has frames.

    `emissions` have shape (n_frames, n_classes), float32, log-probabilities; `tokens` are classes, one a letter.
    Segments may come in any order and length.
    """
    order = sorted(range(len(emissions)), key=lambda index: (len(emissions[index]), len(tokens[index])))
    spans: list[Spans | None] = [None] * len(emissions)
    for batch in _batches(order, emissions, tokens):
        found = _align([emissions[index] for index in batch], [tokens[index] for index in batch], blank)
        for index, path in zip(batch, found, strict=True):
            spans[index] = path
    return spans


def _batches(order: Sequence[int], emissions: Sequence[np.ndarray], tokens: Sequence[Sequence[int]]) -> list[list[int]]:
    """Cut segments, sorted by length, into batches of at most `CELLS`, a segment that is larger alone."""
    batches: list[list[int]] = []
    letters = 0
    for index in order:
        letters = max(letters, len(tokens[index]))
        if not batches or (len(batches[-1]) + 1) * len(emissions[index]) * letters > CELLS:
            batches.append([])
            letters = len(tokens[index])
        batches[-1].append(index)
    return batches


def _align(emissions: Sequence[np.ndarray], tokens: Sequence[Sequence[int]], blank: int) -> list[Spans | None]:
    frames = np.array([len(emission) for emission in emissions])
    letters = np.array([len(letter) for letter in tokens])
    segments, most_frames, most_letters = len(emissions), int(frames.max()), int(letters.max())
    scores = np.zeros((most_frames, segments, most_letters), np.float32)
    blanks = np.zeros((most_frames, segments), np.float32)
    for index, (emission, letter) in enumerate(zip(emissions, tokens, strict=True)):
        scores[: len(emission), index, : len(letter)] = emission[:, letter]
        blanks[: len(emission), index] = emission[:, blank]
    changed, ends = _decide(scores, blanks, frames, letters)
    return _walk(changed, ends, scores, blanks, letters)


def _decide(
    scores: np.ndarray, blanks: np.ndarray, frames: np.ndarray, letters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fill the trellis row by row; return where its best way comes from the letter before, and in which row it ends.

    `scores` has shape (frames, segments, letters), `blanks` (frames, segments). Returned are (frames, segments,
    letters), bool, and (segments,).
    """
    most_frames, segments, most_letters = scores.shape
    start = np.zeros((most_frames + 1, segments), np.float32)  # the column before the first letter
    start[1:] = torch.cumsum(torch.from_numpy(blanks), 0).numpy()
    rows = np.arange(most_frames + 1)[:, None]
    start[rows > (frames - letters)[None]] = np.inf  # too late to begin
    row = np.full((segments, most_letters), -np.inf, np.float32)
    stayed, came = np.empty_like(row), np.empty_like(row)
    changed = np.empty(scores.shape, bool)
    last = letters - 1
    every = np.arange(segments)
    best, ends = row[every, last].copy(), np.zeros(segments, np.int64)
    with np.errstate(invalid="ignore"):
        for frame in range(most_frames):
            np.add(row, blanks[frame][:, None], out=stayed)
            np.add(row[:, :-1], scores[frame][:, 1:], out=came[:, 1:])
            np.add(start[frame], scores[frame][:, 0], out=came[:, 0])
            np.greater(came, stayed, out=changed[frame])
            np.maximum(stayed, came, out=row)
            value = row[every, last]
            better = (value > best) & (frame < frames)
            best[better], ends[better] = value[better], frame + 1
    return changed, ends


def _walk(
    changed: np.ndarray, ends: np.ndarray, scores: np.ndarray, blanks: np.ndarray, letters: np.ndarray
) -> list[Spans | None]:
    """Walk each segment's way back from its end, and join the frames of a letter."""
    segments, most_letters = len(letters), int(letters.max())
    every = np.arange(segments)
    letter = letters - 1
    first = np.zeros((segments, most_letters), np.int64)
    after = np.zeros((segments, most_letters), np.int64)
    total = np.zeros((segments, most_letters))
    for frame in range(int(ends.max()) - 1, -1, -1):
        walking = (letter >= 0) & (frame < ends)
        who, at = every[walking], letter[walking]
        step = changed[frame, who, at]
        value = np.where(step, scores[frame, who, at], blanks[frame, who])
        total[who, at] += np.exp(value)
        np.maximum.at(after, (who, at), frame + 1)
        first[who, at] = frame
        letter[who] -= step
    return [
        np.stack([first[i, :n], after[i, :n], total[i, :n] / np.maximum(after[i, :n] - first[i, :n], 1)], axis=1)
        if letter[i] < 0
        else None
        for i, n in enumerate(letters)
    ]
