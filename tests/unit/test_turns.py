"""Which stages compute on a device at once."""

from __future__ import annotations

import asyncio

import pytest

from whisperx_api.engine.protocol import Stage
from whisperx_api.engine.turns import Turns


class Device:
    """Notes who is at work; stages end when they are told to."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.at_work: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, name: str, stage: Stage, alone: bool = False, rank: tuple[int, int] = (0, 0)) -> None:
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._work(name, stage, alone, rank))
        await settle()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await self.tasks[name]
        await settle()

    async def _work(self, name: str, stage: Stage, alone: bool, rank: tuple[int, int]) -> None:
        async with self.turns.take(stage, alone, rank):
            self.at_work.append(name)
            await self.ends[name].wait()
            self.at_work.remove(name)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_stage_of_each_kind_is_at_work_and_the_older_goes_first() -> None:
    async def go() -> None:
        device = Device(Turns())
        for name, stage in (("a", Stage.TRANSCRIBE), ("b", Stage.DIARIZE), ("c", Stage.TRANSCRIBE), ("d", Stage.ALIGN),
                            ("e", Stage.TRANSCRIBE)):  # fmt: skip
            await device.begin(name, stage)
        assert device.at_work == ["a", "b", "d"] and device.turns.busy
        await device.end("a")
        assert device.at_work == ["b", "d", "c"]
        for name in "bdc":
            await device.end(name)
        assert device.at_work == ["e"]
        await device.end("e")
        assert not device.turns.busy

    asyncio.run(go())


def test_models_take_turns_where_they_may_not_stay_together_and_words_are_given_speakers_meanwhile() -> None:
    async def go() -> None:
        device = Device(Turns(one_at_a_time=True))
        for name, stage in (("a", Stage.TRANSCRIBE), ("b", Stage.DIARIZE), ("c", Stage.ASSIGN), ("d", Stage.ALIGN)):
            await device.begin(name, stage)
        assert device.at_work == ["a", "c"]
        await device.end("a")
        assert device.at_work == ["c", "b"]
        await device.end("b")
        assert device.at_work == ["c", "d"]

    asyncio.run(go())


def test_jobs_that_are_older_or_matter_more_go_first() -> None:
    async def go() -> None:
        device = Device(Turns(one_at_a_time=True))
        await device.begin("first", Stage.TRANSCRIBE, rank=(0, 1))
        await device.begin("second", Stage.TRANSCRIBE, rank=(0, 2))
        await device.begin("speakers of the first", Stage.DIARIZE, rank=(0, 1))
        await device.begin("third", Stage.TRANSCRIBE, rank=(-5, 3))
        seen = []
        while device.at_work:
            (name,) = device.at_work
            seen.append(name)
            await device.end(name)
        assert seen == ["first", "third", "speakers of the first", "second"]

    asyncio.run(go())


def test_who_must_be_alone_waits_for_all_and_nobody_overtakes() -> None:
    async def go() -> None:
        device = Device(Turns())
        await device.begin("a", Stage.TRANSCRIBE)
        await device.begin("b", Stage.DIARIZE)
        await device.begin("alone", Stage.ALIGN, alone=True)
        await device.begin("late", Stage.ASSIGN)
        await device.end("a")
        assert device.at_work == ["b"]
        await device.end("b")
        assert device.at_work == ["alone"]
        await device.end("alone")
        assert device.at_work == ["late"]

    asyncio.run(go())


@pytest.mark.parametrize("waits", [True, False])
def test_turn_that_is_given_up_goes_to_the_next(waits: bool) -> None:
    async def go() -> None:
        device = Device(Turns())
        await device.begin("a", Stage.TRANSCRIBE)
        await device.begin("b", Stage.TRANSCRIBE, alone=True)
        await device.begin("c", Stage.DIARIZE)
        assert device.at_work == ["a"]
        device.tasks["b" if waits else "a"].cancel()
        await settle()
        device.at_work = [name for name in device.at_work if not device.tasks[name].done()]
        assert device.at_work == (["a", "c"] if waits else ["b"])

    asyncio.run(go())
