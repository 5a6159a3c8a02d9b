"""Recordings transcribed side by side, each to its end whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from whisperx_api.cli.console import FAILED
from whisperx_api.cli.transcribe.asked import Asked
from whisperx_api.cli.transcribe.delivery import Delivery
from whisperx_api.cli.transcribe.failures import NotTranscribed
from whisperx_api.cli.transcribe.outputs import Output, fault
from whisperx_api.cli.transcribe.showing import Row, Show
from whisperx_api.cli.transcribe.ways import Way

PAUSE_SECONDS = 5.0
"""Pause before a recording is tried again that a server was away for, or asked no other pause for."""


class Batch:
    """Transcribes recordings in one way, and delivers what comes of them."""

    def __init__(self, way: Way, asked: Asked, show: Show, *, several: bool, patient: bool = False) -> None:
        """`several` names each recording where something is said of it; `patient` tries on after what passes."""
        self._way = way
        self._asked = asked
        self._show = show
        self._delivery = Delivery(asked, show, several)
        self._several = several
        self._patient = patient
        self._hopeless: NotTranscribed | None = None
        self._alike: frozenset[str] = frozenset()
        """Names that several recordings have: these are told apart by their folders."""

    async def all(self, recordings: Mapping[Path, Sequence[Output]], at_once: int) -> int:
        """Transcribe recordings, at most so many at once; return the exit code: that of the worst."""
        room = asyncio.Semaphore(at_once)
        names = Counter(recording.name for recording in recordings)
        self._alike = frozenset(name for name, count in names.items() if count > 1)

        async def in_turn(recording: Path, files: Sequence[Output]) -> int:
            async with room:
                error = await self.one(recording, files)
                return error.code if error else 0

        codes = await asyncio.gather(*(in_turn(recording, files) for recording, files in recordings.items()))
        return max(codes, default=0)

    async def one(self, recording: Path, files: Sequence[Output]) -> NotTranscribed | None:
        """Transcribe a recording, and deliver what comes of it; return why there is no transcript."""
        name = str(recording) if recording.name in self._alike else recording.name
        row = self._show.row(name if self._several else "")
        try:
            if sentences := [sentence for output in files if (sentence := fault(output.path)) is not None]:
                raise NotTranscribed(sentences[0], FAILED)  # before the work is done
            await self._transcribe(recording, files, row)
        except NotTranscribed as error:
            self._delivery.failed(recording, error, files, row)
            self._hopeless = self._hopeless or (error if error.for_all else None)
            return error
        finally:
            row.end()
        return None

    async def _transcribe(self, recording: Path, files: Sequence[Output], row: Row) -> None:
        while True:
            try:
                if (first := self._hopeless) is not None:
                    raise NotTranscribed(f"Not tried: {first}", first.code, status=first.status)
                made = await self._way.transcribe(recording, self._asked, row)
                return self._delivery.done(recording, made, files, row)
            except NotTranscribed as error:
                if not (self._patient and error.passing):
                    raise
                pause = max(error.pause or 0, PAUSE_SECONDS)
                row.say(f"{error} Trying again in {pause:.0f} s.")
            await asyncio.sleep(pause)
