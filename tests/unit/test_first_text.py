"""What waits for a job's first text."""

from __future__ import annotations

import threading

import pytest

from whisperx_api.engine.first_text import FirstTexts
from whisperx_api.engine.protocol import Attempt

JOB, OTHER = Attempt("job", 1), Attempt("other", 1)


def test_nobody_waits_for_a_transcription_that_is_not_at_work() -> None:
    texts = FirstTexts()
    texts.expect(OTHER)
    texts.wait(JOB, pytest.fail)
    texts.expect(JOB)
    texts.came(JOB)
    texts.wait(JOB, pytest.fail)


def test_waits_until_the_text_comes() -> None:
    texts, waiting, done = FirstTexts(), threading.Event(), threading.Event()
    texts.expect(JOB)

    def wait() -> None:
        texts.wait(JOB, waiting.set)
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(10.0) and not done.is_set()
    texts.came(OTHER)
    assert not done.is_set()
    texts.came(JOB)
    assert done.wait(10.0)
    thread.join()


def test_cancel_ends_the_wait() -> None:
    texts, looks = FirstTexts(), []
    texts.expect(JOB)

    def check() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        texts.wait(JOB, check)
