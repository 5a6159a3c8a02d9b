"""Answers kept in memory: true as long as nothing is written, and no more of them than there is room for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from whisperx_api.api.remembered import Poll, Remembered
from whisperx_api.jobs.sessions import Changes

POLL = Poll("me", "a", True)


def test_answer_is_kept_until_something_changes() -> None:
    changes = Changes()
    remembered = Remembered(changes)
    remembered.keep(POLL, b"answer", remembered.mark)
    assert remembered.get(POLL) == b"answer"
    assert remembered.get(replace(POLL, owner="another")) is None
    assert remembered.get(replace(POLL, with_result=False)) is None
    changes.happened()
    assert remembered.get(POLL) is None


def test_answer_whose_data_were_read_before_a_change_is_not_kept() -> None:
    changes = Changes()
    remembered = Remembered(changes)
    mark = remembered.mark
    changes.happened()
    remembered.keep(POLL, b"of before", mark)
    assert remembered.get(POLL) is None


def test_oldest_answers_make_room_and_large_ones_are_not_kept() -> None:
    remembered = Remembered(Changes(), room=30, largest=20)
    polls = [replace(POLL, task_id=name) for name in "abcd"]
    for poll in (*polls, polls[-1]):
        remembered.keep(poll, b"0123456789", remembered.mark)
    assert [remembered.get(poll) is not None for poll in polls] == [False, True, True, True]
    large = replace(POLL, task_id="large")
    remembered.keep(large, bytes(21), remembered.mark)
    assert remembered.get(large) is None


def test_of_many_who_ask_at_once_one_reads() -> None:
    remembered, read = Remembered(Changes()), []

    async def ask(poll: Poll) -> bytes:
        async with remembered.turn(poll):
            if (answer := remembered.get(poll)) is None:
                read.append(poll)
                mark = remembered.mark
                await asyncio.sleep(0.01)
                remembered.keep(poll, answer := b"answer", mark)
            return answer

    async def all_at_once() -> list[bytes]:
        return await asyncio.gather(*(ask(replace(POLL, task_id=name)) for name in "abab" * 5))

    assert asyncio.run(all_at_once()) == [b"answer"] * 20
    assert sorted(poll.task_id for poll in read) == ["a", "b"]
    assert not remembered._turns
