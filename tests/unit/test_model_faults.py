"""An engine that can't load a model of the settings: what it tells the server, and that it tries again by itself."""

from __future__ import annotations

import queue
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from whisperx_api.engine import worker
from whisperx_api.engine.model_faults import ModelFaults
from whisperx_api.engine.protocol import Attempt, Inputs, ModelFault, RunStage, Stage
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.options import Options
from whisperx_api.transcript import Audio


def request(stage: Stage, model: str | None = None) -> RunStage:
    return RunStage(Attempt("task", 1), stage, Options(model=model), Inputs(Audio("audio", 16000)))


def test_only_changes_are_told() -> None:
    told: list[ModelFault] = []
    faults = ModelFaults(told.append)
    for reason in (None, "It is gone.", "It is gone.", "It is broken.", None, None):
        faults.note(Stage.TRANSCRIBE, reason)
        assert (Stage.TRANSCRIBE in faults) == (reason is not None)
    assert [fault.reason for fault in told] == ["It is gone.", "It is broken.", None]


@pytest.mark.parametrize(
    ("asked", "counts"),
    [
        (request(Stage.TRANSCRIBE), True),
        (request(Stage.TRANSCRIBE, "large-v3"), False),
        (request(Stage.DIARIZE, "large-v3"), True),
        (request(Stage.ALIGN), False),
    ],
)
def test_fault_of_a_model_that_only_some_requests_need_is_not_the_server_s(asked: RunStage, counts: bool) -> None:
    told: list[ModelFault] = []
    ModelFaults(told.append).note_of(asked, "It is gone.")
    assert bool(told) == counts


def test_model_that_could_not_be_loaded_is_tried_again_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's own loop, on models that can't be loaded twice."""
    monkeypatch.setattr(worker, "RELOAD_SECONDS", 0.05)
    told: queue.Queue[Any] = queue.Queue()
    tries = [ModelUnavailable("The model is not here."), ModelUnavailable("The model is not here."), None]

    def load(name: str | None) -> None:
        if (error := tries.pop(0)) is not None:
            raise error

    engine: Any = object.__new__(worker.Engine)  # its own start needs a device and seconds
    vars(engine).update(
        _wire=SimpleNamespace(send=told.put), _preload=True, _models=SimpleNamespace(transcriber=load),
        _pool=SimpleNamespace(settle=lambda: None), _faults=ModelFaults(told.put), _at_work=threading.local(),
    )  # fmt: skip
    threading.Thread(target=engine.serve, args=(Stage.TRANSCRIBE, queue.Queue()), daemon=True).start()
    assert told.get(timeout=20) == ModelFault(Stage.TRANSCRIBE, "The model is not here.")
    assert told.get(timeout=20) == ModelFault(Stage.TRANSCRIBE, None)
    assert tries == []
