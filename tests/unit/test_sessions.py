"""Transactions and readings: each in its turn, what is written is counted, and faults are sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from threading import Event
from typing import Any, TypeVar

import pytest
from sqlalchemy import literal, select, text

from whisperx_api.jobs import sessions
from whisperx_api.jobs.database import Database, open_database
from whisperx_api.jobs.sessions import READERS, WRITERS, Sessions, StoreUnavailable
from whisperx_api.jobs.tables import REVISION

T = TypeVar("T")


@pytest.fixture
def with_sessions(database_url: str) -> Callable[[Callable[[Sessions], Awaitable[T]]], T]:
    """Give a function that runs something with sessions on a new database."""

    def run(use: Callable[[Sessions], Awaitable[T]]) -> T:
        async def go() -> T:
            database = await open_database(database_url)
            try:
                return await use(Sessions(database))
            finally:
                await database.dispose()

        return asyncio.run(go())

    return run


@pytest.mark.parametrize("fails", [False, True])
def test_every_transaction_counts_as_a_change_and_no_reading_does(with_sessions, fails: bool) -> None:
    async def count(on: Sessions) -> tuple[int, int]:
        assert await on.read(lambda session: session.scalar(select(1))) == 1
        read = on.changes.count
        try:
            async with on.transaction():
                assert not fails
        except AssertionError:
            pass
        return read, on.changes.count

    assert with_sessions(count) == (0, 1)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # which asks in threads that can be held
@pytest.mark.parametrize(
    ("kind", "places", "sentence"),
    [
        ("read", READERS, "The database does not answer: too many wait for it."),
        ("change", WRITERS, "The database did not take a change: too many wait for it."),
    ],
)
def test_who_gets_no_turn_in_time_is_told_so_and_the_next_gets_one(
    with_sessions, monkeypatch: pytest.MonkeyPatch, kind: str, places: int, sentence: str
) -> None:
    monkeypatch.setattr(sessions, "LONGEST_WAIT", 0.05)
    held = Event()

    async def use(on: Sessions) -> bool:
        if kind == "read":
            return await on.read(lambda session: held.wait(10))
        async with on.transaction():
            return await asyncio.to_thread(held.wait, 10)

    async def one_too_many(on: Sessions) -> None:
        others = [asyncio.create_task(use(on)) for _ in range(places)]
        await asyncio.sleep(0.02)
        try:
            with pytest.raises(StoreUnavailable) as refused:
                await use(on)
        finally:
            held.set()
        assert str(refused.value) == sentence
        assert all(await asyncio.gather(*others, use(on)))

    with_sessions(one_too_many)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_question_waits_for_the_event_loop_once(with_sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    async def ask(on: Sessions) -> None:
        loop = asyncio.get_running_loop()
        call = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *what, **how: calls.append(what) or call(*what, **how))
        assert await on.read(lambda session: [session.scalar(select(literal(n))) for n in range(3)]) == [0, 1, 2]
        monkeypatch.undo()

    with_sessions(ask)
    assert len(calls) == 1


def test_database_without_connections_for_readers_is_asked_all_the_same(with_sessions) -> None:
    async def both(on: Sessions) -> list[str | None]:
        others = Sessions(Database(on.database.engine))
        revision = text("SELECT version_num FROM alembic_version")
        return [await each.read(lambda session: session.scalar(revision)) for each in (on, others)]

    assert with_sessions(both) == [REVISION, REVISION]


def test_question_changes_nothing(with_sessions) -> None:
    async def write(on: Sessions) -> None:
        with pytest.raises(StoreUnavailable, match=r"read-?only"):
            await on.read(lambda session: session.execute(text("DELETE FROM jobs")))

    with_sessions(write)
