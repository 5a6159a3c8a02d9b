"""An engine process with stages at work side by side, and one that does not answer.

That one is stopped (SIGSTOP), as a machine without memory may leave it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from whisperx_api.engine import process as process_module
from whisperx_api.engine import session as session_module
from whisperx_api.engine import watch as watch_module
from whisperx_api.engine.process import EngineProcess, EngineUnavailable
from whisperx_api.engine.protocol import Attempt, EngineConfig, Inputs, RunStage, Stage
from whisperx_api.engine.session import EngineDied, EngineStarting, StageError
from whisperx_api.options import Options
from whisperx_api.transcript import Audio, Segment, Transcription

CONFIG = EngineConfig("cpu", "tiny", "auto", "starter", Path("models"), False, None, None, 16, 30, 0, "auto")
LONG = Transcription("en", tuple(Segment(i, i + 1.0, f"Sentence {i}.") for i in range(20_000)), "tiny")
REQUEST = RunStage(Attempt("task", 1), Stage.ALIGN, Options(), Inputs(Audio("audio", 16000), LONG))
"""Larger than what a socket holds."""


def sent(engine: EngineProcess) -> bool:
    """Whether a stage is on its way to the engine: until then there is nothing to end."""
    return engine._session is not None and any(work.sent for work in engine._session._work.values())


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


@pytest.mark.alone
def test_cancel_ends_an_engine_that_does_not_read() -> None:
    async def test(engine: EngineProcess) -> None:
        assert engine.pid
        os.kill(engine.pid, signal.SIGSTOP)
        running = asyncio.create_task(engine.run(REQUEST, lambda message: None))
        for _ in range(1000):
            if sent(engine):
                break
            await asyncio.sleep(0.01)
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
    monkeypatch.setattr(watch_module, "SILENCE_SECONDS", 1.5)
    busy = replace(REQUEST, options=Options(prompt='{"stage": "align", "what": "compute"}'))

    async def test(engine: EngineProcess) -> None:
        assert "Hello" in await engine.run(busy, lambda message: None)

    with_engine(test)


def test_engine_that_finds_no_python_is_said_to_be_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "python_module", lambda name: ["/no/such/python"])
    with pytest.raises(EngineUnavailable, match=r"can't start: .*/no/such/python"):
        asyncio.run(EngineProcess(CONFIG, module="tests.fake_engine").start())


def stage(kind: Stage, task: str = "task", **script) -> RunStage:
    inputs = Inputs(Audio("audio", 16000), Transcription("en", (Segment(0.0, 1.0, "Hello."),), "tiny"))
    prompt = json.dumps({"stage": kind.value} | script)
    return RunStage(Attempt(task, 1), kind, Options(prompt=prompt), inputs)


def ignore(message: object) -> None:
    """Listen to nothing."""


@pytest.mark.alone
def test_stages_of_two_kinds_run_at_once_and_hear_only_of_themselves() -> None:
    async def test(engine: EngineProcess) -> None:
        heard: dict[Stage, list] = {Stage.TRANSCRIBE: [], Stage.DIARIZE: []}
        began = time.monotonic()
        words, speakers = await asyncio.gather(
            *(engine.run(stage(kind, seconds=1.0), messages.append) for kind, messages in heard.items())
        )
        assert time.monotonic() - began < 1.8
        assert "Hello" in words and "SPEAKER_00" in speakers
        for kind, messages in heard.items():
            assert len(messages) >= 10 and {message.stage for message in messages} == {kind}

    with_engine(test)


def test_stages_of_one_kind_wait_for_each_other() -> None:
    async def test(engine: EngineProcess) -> None:
        ended: list[str] = []

        async def run(task: str) -> None:
            await engine.run(stage(Stage.ALIGN, task, seconds=0.3), ignore)
            ended.append(task)

        began = time.monotonic()
        await asyncio.gather(*(run(task) for task in "abc"))
        assert ended == ["a", "b", "c"] and time.monotonic() - began > 0.8

    with_engine(test)


def test_stage_that_waits_for_its_turn_does_not_say_that_the_engine_starts() -> None:
    async def go() -> None:
        engine = EngineProcess(CONFIG, module="tests.fake_engine")
        heard: dict[str, list] = {"first": [], "second": []}
        runs = [
            asyncio.create_task(engine.run(stage(Stage.ALIGN, task), messages.append))
            for task, messages in heard.items()
        ]
        try:
            await asyncio.gather(*runs)
        finally:
            await engine.stop()
        starts = {task: sum(isinstance(one, EngineStarting) for one in messages) for task, messages in heard.items()}
        assert starts == {"first": 1, "second": 0}

    asyncio.run(go())


def test_stage_that_kills_the_engine_costs_the_others_nothing(tmp_path: Path) -> None:
    """Nobody knows whose fault it was, so each runs alone: then the one that kills it again is known."""
    marker = tmp_path / "deaths"

    async def test(engine: EngineProcess) -> None:
        deadly = stage(Stage.TRANSCRIBE, "deadly", seconds=0.5, what="die", marker=str(marker), times=2)
        harmless = stage(Stage.DIARIZE, "harmless", seconds=1.0)
        died, speakers = await asyncio.gather(
            engine.run(deadly, ignore), engine.run(harmless, ignore), return_exceptions=True
        )
        assert isinstance(died, EngineDied) and "SIGKILL" in str(died)
        assert isinstance(speakers, str) and "SPEAKER_00" in speakers
        assert len(marker.read_text().splitlines()) == 2

    with_engine(test)


def test_cancel_of_one_stage_leaves_the_other_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(engine: EngineProcess) -> None:
        pid = engine.pid
        speakers = asyncio.create_task(engine.run(stage(Stage.DIARIZE, seconds=1.0), ignore))
        words = asyncio.create_task(engine.run(stage(Stage.TRANSCRIBE, seconds=5.0), ignore))
        await asyncio.sleep(0.3)
        words.cancel()
        with pytest.raises(asyncio.CancelledError):
            await words
        assert not speakers.done()
        assert "SPEAKER_00" in await speakers
        assert engine.pid == pid

    with_engine(test)


async def hanging_beside(engine: EngineProcess, seconds: float) -> tuple[asyncio.Task[str], asyncio.Task[str]]:
    """Have a stage hang beside one of so many seconds, both in work."""
    hanging = asyncio.create_task(engine.run(stage(Stage.TRANSCRIBE, "hanging", what="hang"), ignore))
    speakers = asyncio.create_task(engine.run(stage(Stage.DIARIZE, seconds=seconds), ignore))
    await asyncio.sleep(0.3)
    return hanging, speakers


@pytest.mark.alone
def test_cancelled_stage_that_hangs_beside_another_is_killed_and_the_other_runs_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "COMPANY_GRACE_SECONDS", 1.5)

    async def test(engine: EngineProcess) -> None:
        pid = engine.pid
        hanging, speakers = await hanging_beside(engine, seconds=4.0)
        began = time.monotonic()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert 1.4 < time.monotonic() - began < 3
        assert "SPEAKER_00" in await speakers
        assert engine.pid != pid

    with_engine(test)


@pytest.mark.alone
def test_stage_that_is_cancelled_again_while_it_stops_leaves_the_other_at_work() -> None:
    async def test(engine: EngineProcess) -> None:
        pid = engine.pid
        hanging, speakers = await hanging_beside(engine, seconds=1.0)
        began = time.monotonic()
        for _ in range(2):
            hanging.cancel()
            await asyncio.sleep(0.1)
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert time.monotonic() - began < 0.5
        assert "SPEAKER_00" in await speakers
        assert engine.pid == pid

    with_engine(test)


@pytest.mark.alone
def test_stages_of_a_cancelled_task_do_not_spare_each_other() -> None:
    async def test(engine: EngineProcess) -> None:
        stages = [stage(Stage.TRANSCRIBE, what="hang"), stage(Stage.DIARIZE, what="hang")]
        running = [asyncio.create_task(engine.run(one, ignore)) for one in stages]
        await asyncio.sleep(0.3)
        began = time.monotonic()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert time.monotonic() - began < 2 and engine.state == "off"

    with_engine(test)


def test_stage_that_lacked_memory_beside_another_runs_again_alone(tmp_path: Path) -> None:
    async def test(engine: EngineProcess) -> None:
        large = stage(Stage.TRANSCRIBE, "large", what="lack", marker=str(tmp_path / "lacks"), seconds=0.2)
        speakers = asyncio.create_task(engine.run(stage(Stage.DIARIZE, seconds=1.0), ignore))
        await asyncio.sleep(0.1)
        assert "Hello" in await engine.run(large, ignore)
        assert speakers.done()

    with_engine(test)


def test_stage_that_lacks_memory_alone_fails() -> None:
    async def test(engine: EngineProcess) -> None:
        with pytest.raises(StageError, match="memory"):
            await engine.run(stage(Stage.TRANSCRIBE, what="lack"), ignore)

    with_engine(test)


def test_stage_after_which_the_device_is_lost_is_to_blame_alone(tmp_path: Path) -> None:
    async def test(engine: EngineProcess) -> None:
        pid = engine.pid
        faulty = stage(Stage.TRANSCRIBE, "faulty", what="break", seconds=0.4)
        failed, speakers = await asyncio.gather(
            engine.run(faulty, ignore), engine.run(stage(Stage.DIARIZE, seconds=1.0), ignore), return_exceptions=True
        )
        assert isinstance(failed, StageError) and "CUDA error" in str(failed)
        assert isinstance(speakers, str) and engine.pid != pid

    with_engine(test)


def test_listener_that_raises_fails_its_own_stage_only() -> None:
    async def test(engine: EngineProcess) -> None:
        def broken(message: object) -> None:
            raise ZeroDivisionError

        failed, speakers = await asyncio.gather(
            engine.run(stage(Stage.TRANSCRIBE, seconds=0.2), broken),
            engine.run(stage(Stage.DIARIZE, seconds=0.5), ignore),
            return_exceptions=True,
        )
        assert isinstance(failed, ZeroDivisionError) and isinstance(speakers, str)

    with_engine(test)
