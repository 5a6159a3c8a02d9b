"""What is told of the stages of a run that are at work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from whisperx_api.engine.protocol import WAITING, Stage

AT_WORK = {
    Stage.DECODE: "Decoding the recording",
    Stage.TRANSCRIBE: "Transcribing speech",
    Stage.ALIGN: "Aligning words",
    Stage.DIARIZE: "Finding speakers",
    Stage.ASSIGN: "Giving words their speakers",
}
STARTING = "Starting the engine"


class Telling:
    """The stage and the message that a status poll shows, though several stages may be at work."""

    def __init__(self, stages: Sequence[Stage], on_change: Callable[[], None]) -> None:
        """`on_change` is called when a message changes."""
        self._stages = stages
        self._on_change = on_change
        self._messages: dict[Stage, str] = {}
        self._troubles: dict[Stage, str] = {}
        self._latest: Stage | None = None

    @property
    def stage(self) -> Stage | None:
        """The stage at work: the first of several, between two the one that was last; None before any is."""
        return next((stage for stage in self._stages if stage in self._messages), self._latest)

    @property
    def message(self) -> str:
        """What the stages at work do, or why they can't."""
        if self._troubles:
            return next(iter(self._troubles.values()))
        told = [self._messages[stage] for stage in self._stages if stage in self._messages]
        first, *more = dict.fromkeys(message for message in told if message != WAITING) or [WAITING]
        return ", ".join([first, *(message[0].lower() + message[1:] for message in more)])

    def say(self, stage: Stage, message: str) -> None:
        """A stage is at something, or waits for it."""
        self._latest = stage
        self._set(self._messages, stage, message)

    def trouble(self, stage: Stage, reason: str) -> None:
        """A stage can't begin; this sentence, which says why, stands until it does."""
        self._set(self._troubles, stage, reason)

    def begins(self, stage: Stage) -> None:
        """Nothing is in a stage's way any more."""
        self._troubles.pop(stage, None)

    def ends(self, stage: Stage) -> None:
        """A stage is done."""
        self._troubles.pop(stage, None)
        self._messages.pop(stage, None)

    def _set(self, told: dict[Stage, str], stage: Stage, message: str) -> None:
        if told.get(stage) != message:
            told[stage] = message
            self._on_change()
