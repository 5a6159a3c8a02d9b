"""The best paths of many segments at once are those that whisperx finds one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from whisperx.alignment import backtrack, get_trellis, merge_repeats

from whisperx_api.pipeline import trellis
from whisperx_api.pipeline.trellis import letter_spans


def one_by_one(emission: np.ndarray, tokens: list[int], blank: int) -> np.ndarray | None:
    """Return what whisperx makes of one segment."""
    scores = torch.from_numpy(emission)
    path = backtrack(get_trellis(scores, tokens, blank), scores, tokens, blank)
    if path is None:
        return None
    return np.array([[letter.start, letter.end, letter.score] for letter in merge_repeats(path, "x" * len(tokens))])


def segments(seed: int, peak: float) -> tuple[list[np.ndarray], list[list[int]], int]:
    """Make segments of all lengths; the larger `peak` the surer the emissions, and 0 makes every path as good."""
    random = np.random.default_rng(seed)
    classes = int(random.integers(3, 40))
    emissions, tokens = [], []
    for _ in range(int(random.integers(1, 9))):
        frames = int(random.integers(1, 120))
        noise = torch.from_numpy((peak * random.standard_normal((frames, classes))).astype(np.float32))
        emissions.append(torch.log_softmax(noise, dim=-1).numpy())
        letters = int(random.integers(1, min(frames + 4, 60)))  # some texts are too long for their sound
        tokens.append([int(token) for token in random.integers(0, classes, letters)])
    return emissions, tokens, int(random.integers(0, classes))


@pytest.mark.parametrize("peak", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("cells", [trellis.CELLS, 2000])
def test_letters_lie_where_whisperx_puts_them(seed: int, peak: float, cells: int, monkeypatch) -> None:
    monkeypatch.setattr(trellis, "CELLS", cells)
    emissions, tokens, blank = segments(seed, peak)
    for emission, letters, found in zip(emissions, tokens, letter_spans(emissions, tokens, blank), strict=True):
        expected = one_by_one(emission, letters, blank)
        if expected is None or found is None:
            assert expected is None and found is None
        else:
            np.testing.assert_array_equal(found[:, :2], expected[:, :2])
            np.testing.assert_allclose(found[:, 2], expected[:, 2], atol=1e-6)


def test_text_longer_than_its_sound_has_no_path() -> None:
    emission = np.log(np.full((3, 5), 0.2, np.float32))
    assert letter_spans([emission, emission], [[1] * 10, [1, 2]], 0)[0] is None
    assert letter_spans([], [], 0) == []
