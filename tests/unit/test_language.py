"""The vote on a recording's language."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from whisperx_api.pipeline import language
from whisperx_api.transcript import SAMPLE_RATE

NOBODY_IS_SURE = {"en": 0.4, "de": 0.35, "fr": 0.25}


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model that hears in a window what the sound's first sample is the key of; it keeps the windows' lengths."""
    heard = SimpleNamespace(lengths=[], found={})

    def encode(model: Any, pieces: Sequence[np.ndarray]) -> list[float]:
        heard.lengths += [len(piece) / SAMPLE_RATE for piece in pieces]
        return [float(piece[0]) for piece in pieces]

    def detect_language(encoded: list[float]) -> list[list[tuple[str, float]]]:
        return [[(f"<|{code}|>", value) for code, value in heard.found[key].items()] for key in encoded]

    monkeypatch.setattr(language, "encode", encode)
    heard.model = SimpleNamespace(model=SimpleNamespace(detect_language=detect_language))
    return heard


def spoken(*stretches: tuple[float, float]) -> list[np.ndarray]:
    """Windows of given seconds, all samples of which are their key."""
    return [np.full(int(seconds * SAMPLE_RATE), key, dtype=np.float32) for seconds, key in stretches]


def vote(model: Any, windows: Sequence[np.ndarray], allowed: Sequence[str] = ()) -> language.Vote:
    poll = language.Poll(allowed)
    for window in windows:
        poll.add(language.listen(model, window))
    return poll.vote


def test_longer_windows_count_for_more(listener: Any) -> None:
    listener.found = {1.0: {"de": 0.9, "en": 0.1}, 2.0: {"de": 0.05, "en": 0.95}}
    assert vote(listener.model, spoken((28.0, 1.0), (12.0, 2.0))) == language.Vote("de", ("en",))
    assert listener.lengths == [28.0, 12.0]
    assert vote(listener.model, spoken((15.0, 1.0), (20.0, 2.0))).language == "en"


def test_window_that_is_short_or_unsure_speaks_for_no_language_of_its_own(listener: Any) -> None:
    listener.found = {1.0: {"en": 1.0}, 2.0: {"de": 1.0}, 3.0: {"de": 0.79, "en": 0.21}}
    assert vote(listener.model, spoken((30.0, 1.0), (9.9, 2.0))) == language.Vote("en")
    assert vote(listener.model, spoken((30.0, 1.0), (30.0, 3.0))) == language.Vote("en")


def test_only_the_languages_that_may_be_spoken_are_heard(listener: Any) -> None:
    listener.found = {1.0: NOBODY_IS_SURE}
    assert vote(listener.model, spoken((30.0, 1.0))).language == "en"
    assert vote(listener.model, spoken((30.0, 1.0)), allowed=("fr", "de")).language == "de"


def test_poll_is_decided_once_no_window_can_change_it(listener: Any) -> None:
    listener.found = {1.0: {"de": 0.9, "en": 0.1}, 2.0: {"en": 0.9, "de": 0.1}}
    poll = language.Poll()
    for window, more, decided in (
        (spoken((30.0, 1.0)), 1, False), (spoken((20.0, 1.0)), 1, True), (spoken((20.0, 2.0)), 1, False),
        (spoken((20.0, 2.0)), 0, True),
    ):  # fmt: skip
        poll.add(language.listen(listener.model, *window))
        assert poll.is_decided(more) is decided
    assert poll.vote == language.Vote("de", ("en",))


def test_silence_has_no_vote(listener: Any) -> None:
    listener.found = {1.0: {"de": 0.4, "en": 0.6}}
    poll = language.Poll(("de", "fr"))
    poll.add(language.listen(listener.model, np.empty(0, dtype=np.float32)))
    poll.add(language.listen(listener.model, *spoken((3.0, 1.0))))
    assert poll.vote == language.Vote("de") and listener.lengths == [3.0]


def test_disagreement_names_the_languages() -> None:
    assert "(English, German, French)" in language.disagreement(language.Vote("en", ("de", "fr")))
