"""Who is in no hurry waits until a job has its first text.

On a CPU stages share the cores, so what runs beside a transcription makes its first text late. The work is the same
whenever it is done: speakers that are looked for a little later are found no later in the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from whisperx_api.engine.protocol import Attempt

LOOK_SECONDS = 0.2
"""How often those who wait look whether they were cancelled."""


class FirstTexts:
    """Knows which transcriptions at work have given no text yet. Threads share it."""

    def __init__(self) -> None:
        self._awaited: set[Attempt] = set()
        self._change = threading.Condition()

    def expect(self, attempt: Attempt) -> None:
        """A transcription begins."""
        with self._change:
            self._awaited.add(attempt)

    def came(self, attempt: Attempt) -> None:
        """It has text, or has ended without."""
        with self._change:
            self._awaited.discard(attempt)
            self._change.notify_all()

    def wait(self, attempt: Attempt, check: Callable[[], None]) -> None:
        """Wait until the job's transcription, if it is at work, has text. What `check` raises ends the wait."""
        with self._change:
            while attempt in self._awaited:
                check()
                self._change.wait(LOOK_SECONDS)
