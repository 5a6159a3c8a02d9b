"""Whether the models that the settings name can be loaded: what the engine has found, and tells the server."""

from __future__ import annotations

from collections.abc import Callable

from whisperx_api.engine.protocol import ModelFault, RunStage, Stage

NEEDED = (Stage.TRANSCRIBE, Stage.DIARIZE)
"""Stages whose model is named in the settings. Those of alignment go by the language."""


class ModelFaults:
    """Why models can't be loaded, by stage. Each stage is its own thread's."""

    def __init__(self, tell: Callable[[ModelFault], None]) -> None:
        """`tell` hears of every change."""
        self._tell = tell
        self._faults: dict[Stage, str] = {}

    def __contains__(self, stage: Stage) -> bool:
        return stage in self._faults

    def note(self, stage: Stage, fault: str | None) -> None:
        """Take in why the model of the settings can't be loaded for a stage; None where it was."""
        if fault == self._faults.get(stage):
            return
        if fault is None:
            del self._faults[stage]
        else:
            self._faults[stage] = fault
        self._tell(ModelFault(stage, fault))

    def note_of(self, request: RunStage, fault: str | None) -> None:
        """The same by a request, unless the model that it needs is not that of the settings."""
        own = request.stage is Stage.TRANSCRIBE and request.options.model is not None
        if request.stage in NEEDED and not own:
            self.note(request.stage, fault)
