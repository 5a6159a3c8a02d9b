"""Links to recordings: whose they are, and how long they last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from whisperx_api.api.links import LIFE_SECONDS, Link, Links


def keeper(value: bytes) -> Callable[[str], Awaitable[bytes]]:
    async def secret(name: str) -> bytes:
        assert name == "links"
        return value

    return secret


def test_link_is_good_for_its_task_and_its_time_alone() -> None:
    async def run() -> None:
        now = [1000.9]
        links = Links(keeper(b"one"), clock=lambda: now[0])
        link = await links.sign("task")
        assert link.expires == 1000 + LIFE_SECONDS and link.expires_at.timestamp() == link.expires
        assert await links.good("task", link)
        assert not await links.good("other", link)
        assert not await links.good("task", Link(link.expires + 1, link.signature))
        assert not await links.good("task", Link(link.expires, link.signature[:-1] + "é"))
        now[0] = link.expires - 0.1
        assert await links.good("task", link)
        now[0] = link.expires
        assert not await links.good("task", link)

    asyncio.run(run())


def test_servers_with_one_secret_know_each_others_links() -> None:
    async def run() -> None:
        link = await Links(keeper(b"one")).sign("task")
        assert await Links(keeper(b"one")).good("task", link)
        assert not await Links(keeper(b"two")).good("task", link)

    asyncio.run(run())
