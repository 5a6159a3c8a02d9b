"""Keys on record, and the watch that has a server know of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import event

from whisperx_api.jobs import key_watch
from whisperx_api.jobs.database import Database, open_database
from whisperx_api.jobs.key_store import KeyStore
from whisperx_api.jobs.key_watch import KeyWatch
from whisperx_api.keys import Caller, KeyRing, Scope, StoredKey, new_key

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    opened = await open_database(url)
    yield opened
    await opened.dispose()


@pytest.fixture
def on_store(database_url: str) -> Callable[[Callable[[KeyStore], Awaitable[None]]], None]:
    def run(test: Callable[[KeyStore], Awaitable[None]]) -> None:
        async def go() -> None:
            async with database(database_url) as opened:
                await test(KeyStore(opened))

        asyncio.run(go())

    return run


async def add(store: KeyStore, name: str = "ann") -> tuple[StoredKey, str]:
    stored, key = new_key(name, {Scope.READ, Scope.ADMIN}, NOW)
    await store.add(stored)
    return stored, key


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("jobs.db*"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_key_is_read_as_it_was_stored_and_nothing_on_disk_tells_it(on_store, tmp_path: Path) -> None:
    async def test(store: KeyStore) -> None:
        stored, key = await add(store)
        assert await store.keys() == await store.known() == [stored]
        kept = on_disk(tmp_path)
        assert stored.id.encode() in kept and key.removeprefix(stored.id).encode() not in kept

    on_store(test)


def test_id_revokes_one_key_and_a_name_all_of_its_keys_once(on_store) -> None:
    async def test(store: KeyStore) -> None:
        (first, _), (second, _), (third, _), (other, _) = [await add(store, name) for name in ("ann",) * 3 + ("ben",)]
        assert [key.id for key in await store.revoke(first.id)] == [first.id]
        assert await store.revoke(first.id) == []
        assert {key.id for key in await store.revoke("ann")} == {second.id, third.id}
        assert await store.known() == [other]
        assert [key.revoked_at is None for key in await store.keys()] == [False, False, False, True]

    on_store(test)


def test_last_use_is_the_latest_that_any_server_knows_of(on_store) -> None:
    async def test(store: KeyStore) -> None:
        stored, _ = await add(store)
        for minutes, last in ((0, 0), (5, 5), (3, 5)):
            await store.used({stored.id: NOW + timedelta(minutes=minutes), "wxa_nobody": NOW})
            (known,) = await store.known()
            assert known.last_used_at == NOW + timedelta(minutes=last)

    on_store(test)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come")


def test_watch_has_the_ring_follow_the_database(on_store, monkeypatch) -> None:
    monkeypatch.setattr(key_watch, "REFRESH_SECONDS", 0.02)

    async def test(store: KeyStore) -> None:
        ring = KeyRing([])
        watch = KeyWatch(store, ring)
        watch.start()
        stored, key = new_key("ann", {Scope.READ})
        await store.add(stored)
        await until(lambda: ring.caller(key) == Caller("ann", frozenset({Scope.READ})))
        await store.revoke("ann")
        await until(lambda: ring.caller(key) is None)
        await watch.stop()
        assert (await store.keys())[0].last_used_at is not None  # written down at the end

    on_store(test)


def test_while_the_database_is_away_keys_stay_known_and_it_is_said_once(on_store, monkeypatch, caplog) -> None:
    monkeypatch.setattr(key_watch, "REFRESH_SECONDS", 0.02)
    monkeypatch.setattr(key_watch, "NOTE_SECONDS", 0.02)
    caplog.set_level(logging.WARNING)

    async def test(store: KeyStore) -> None:
        stored, key = new_key("ann", {Scope.READ})
        await store.add(stored)
        ring = KeyRing([], [stored])
        watch = KeyWatch(store, ring)
        readers = store.database.readers
        engines = [store.database.engine.sync_engine, getattr(readers, "sync_engine", readers)]
        asked: list[str] = []

        def away(connection, cursor, statement: str, *rest: object) -> None:
            from sqlalchemy.exc import OperationalError

            asked.append(statement.split()[0])
            raise OperationalError(statement, {}, Exception("gone"))

        for engine in engines:
            event.listen(engine, "before_cursor_execute", away)
        assert ring.caller(key) is not None
        watch.start()
        await until(lambda: asked.count("SELECT") > 3 and asked.count("UPDATE") > 3)
        assert ring.caller(key) is not None
        for engine in engines:
            event.remove(engine, "before_cursor_execute", away)
        await watch.stop()
        used = (await store.keys())[0].last_used_at
        assert used is not None and used > stored.created_at  # the use before it was away
        said = [record.message for record in caplog.records if "Keys stay as they are known" in record.message]
        assert len(said) == 2, said  # one of reading, one of writing

    on_store(test)
