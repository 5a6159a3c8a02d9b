"""Transactions and readings: each in its turn, what is written is counted, and faults are sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from whisperx_api.jobs import sessions
from whisperx_api.jobs.database import open_database
from whisperx_api.jobs.sessions import READERS, WRITERS, Sessions, StoreUnavailable

T = TypeVar("T")


@pytest.fixture
def with_sessions(tmp_path: Path) -> Callable[[Callable[[Sessions], Awaitable[T]]], T]:
    """Give a function that runs something with sessions on a new database."""

    def run(use: Callable[[Sessions], Awaitable[T]]) -> T:
        async def go() -> T:
            engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
            try:
                return await use(Sessions(engine))
            finally:
                await engine.dispose()

        return asyncio.run(go())

    return run


@pytest.mark.parametrize("fails", [False, True])
def test_every_transaction_counts_as_a_change_and_no_reading_does(with_sessions, fails: bool) -> None:
    async def count(on: Sessions) -> tuple[int, int]:
        async with on.reading():
            pass
        read = on.changes.count
        try:
            async with on.transaction():
                assert not fails
        except AssertionError:
            pass
        return read, on.changes.count

    assert with_sessions(count) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "places", "sentence"),
    [
        ("reading", READERS, "The database does not answer: too many wait for it."),
        ("transaction", WRITERS, "The database did not take a change: too many wait for it."),
    ],
)
def test_who_gets_no_turn_in_time_is_told_so_and_the_next_gets_one(
    with_sessions, monkeypatch: pytest.MonkeyPatch, kind: str, places: int, sentence: str
) -> None:
    monkeypatch.setattr(sessions, "LONGEST_WAIT", 0.05)

    async def one_too_many(on: Sessions) -> None:
        async with AsyncExitStack() as held:
            for _ in range(places):
                await held.enter_async_context(getattr(on, kind)())
            with pytest.raises(StoreUnavailable) as refused:
                async with getattr(on, kind)():
                    pass
            assert str(refused.value) == sentence
        async with getattr(on, kind)():
            pass

    with_sessions(one_too_many)
