"""An engine process that does not answer: stopped (SIGSTOP), as a machine without memory may leave it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from whisperx_api.engine import watch as watch_module
from whisperx_api.engine.process import EngineDied, EngineProcess
from whisperx_api.engine.protocol import Attempt, EngineConfig, Inputs, RunStage, Stage
from whisperx_api.options import Options
from whisperx_api.transcript import Audio, Segment, Transcription

CONFIG = EngineConfig("cpu", "tiny", "auto", "starter", Path("models"), False, None, None, 16, 30, 0, "auto")
LONG = Transcription("en", tuple(Segment(i, i + 1.0, f"Sentence {i}.") for i in range(20_000)), "tiny")
REQUEST = RunStage(Attempt("task", 1), Stage.ALIGN, Options(), Inputs(Audio("audio", 16000), LONG))
"""Larger than what a socket holds."""


def with_engine(test: Callable[[EngineProcess], Awaitable[None]]) -> None:
    async def go() -> None:
        engine = EngineProcess(CONFIG, module="tests.fake_engine")
        await engine.start()
        try:
            await asyncio.wait_for(test(engine), 20)
        finally:
            await engine.stop()

    asyncio.run(go())


def test_stage_runs_and_its_result_comes_back() -> None:
    async def test(engine: EngineProcess) -> None:
        assert engine.state == "idle"
        assert "Hello" in await engine.run(REQUEST, lambda message: None)

    with_engine(test)


def test_cancel_ends_an_engine_that_does_not_read() -> None:
    async def test(engine: EngineProcess) -> None:
        assert engine.pid
        os.kill(engine.pid, signal.SIGSTOP)
        running = asyncio.create_task(engine.run(REQUEST, lambda message: None))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - began < 2
        assert engine.state == "off"
        assert "Hello" in await engine.run(REQUEST, lambda message: None)

    with_engine(test)


def test_engine_that_says_nothing_for_too_long_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "SILENCE_SECONDS", 0.5)

    async def test(engine: EngineProcess) -> None:
        assert engine.pid
        os.kill(engine.pid, signal.SIGSTOP)
        with pytest.raises(EngineDied, match="SIGKILL"):
            await engine.run(REQUEST, lambda message: None)

    with_engine(test)


def test_engine_that_computes_without_a_word_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "SILENCE_SECONDS", 0.5)
    busy = replace(REQUEST, options=Options(prompt='{"stage": "align", "what": "compute"}'))

    async def test(engine: EngineProcess) -> None:
        assert "Hello" in await engine.run(busy, lambda message: None)

    with_engine(test)
