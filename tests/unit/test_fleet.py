"""Stages go to the device with the least to do, and past one whose engine can't be started."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from whisperx_api.engine import fleet as fleet_module
from whisperx_api.engine.fleet import Fleet
from whisperx_api.engine.process import EngineProcess, EngineUnavailable
from whisperx_api.engine.protocol import Attempt, EngineConfig, Inputs, RunStage, Stage
from whisperx_api.options import Options
from whisperx_api.transcript import Audio

CONFIG = EngineConfig("cpu", "tiny", "auto", "starter", Path("models"), False, None, None, 16, 30, 0, "auto")
REQUEST = RunStage(
    Attempt("task", 1), Stage.TRANSCRIBE, Options(prompt='{"seconds": 0.3}'), Inputs(Audio("audio", 16000))
)


def engines(*devices: str) -> list[EngineProcess]:
    return [EngineProcess(replace(CONFIG, device=device), module="tests.fake_engine") for device in devices]


def ignore(message: object) -> None:
    """Listen to nothing."""


async def run(fleet: Fleet, times: int) -> list[str]:
    try:
        return await asyncio.wait_for(asyncio.gather(*(fleet.run(REQUEST, ignore) for _ in range(times))), 30)
    finally:
        await fleet.stop()


def test_stages_are_shared_out_over_the_engines() -> None:
    fleet = Fleet(engines("cpu", "cpu"))
    pids: set[int | None] = set()

    async def go() -> None:
        await fleet.start()
        pids.update(engine.pid for engine in fleet.engines)
        running = asyncio.create_task(run(fleet, 2))
        await asyncio.sleep(0.1)
        assert [engine.busy for engine in fleet.engines] == [True, True]
        assert len(await running) == 2

    asyncio.run(go())
    assert len(pids) == 2


def test_device_that_is_gone_leaves_the_work_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def absent(device: str) -> str | None:
        asked.append(device)
        return f"{device} is gone." if ":" in device else None

    monkeypatch.setattr("whisperx_api.engine.process.device_absent", absent)
    fleet = Fleet(engines("cuda:7", "cpu"))
    assert len(asyncio.run(run(fleet, 3))) == 3
    assert asked.count("cuda:7") < 4
    asked.clear()
    asyncio.run(run(fleet, 1))
    assert asked == ["cpu"]  # the other is not even asked, for a while
    monkeypatch.setattr(fleet_module, "AVOID_SECONDS", 0.0)
    asyncio.run(run(fleet, 1))
    assert asked[1] == "cuda:7"


def test_no_device_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whisperx_api.engine.process.device_absent", lambda device: f"{device} is gone.")
    fleet = Fleet(engines("cuda:7", "cuda:8"))
    with pytest.raises(EngineUnavailable, match="is gone"):
        asyncio.run(run(fleet, 1))
    assert fleet.failure is not None
