"""The server's end of the socket to an engine process: whole messages in, whole messages out."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter

from whisperx_api.engine.protocol import (
    HEADER,
    EngineConfig,
    FromEngine,
    Heartbeat,
    MemoryShort,
    ModelFault,
    ModelsLoaded,
    Stage,
    frame,
    from_engine,
)

config_adapter = TypeAdapter(EngineConfig)


News = ModelsLoaded | ModelFault | MemoryShort
"""What an engine says of itself, and not of a stage that somebody waits for."""


class ChannelClosed(ConnectionError):
    """The engine has hung up."""


class Channel:
    """Reads messages as they come, so that giving up the wait for one never leaves half of it behind."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_news: Callable[[News], None]
    ) -> None:
        """`on_news` hears what the engine says of itself, before it shows here."""
        self.models = ModelsLoaded()
        """What the engine said last of the models it holds."""
        self.faults: dict[Stage, str] = {}
        """Why models of the settings can't be loaded."""
        self.heard = time.monotonic()
        """When the engine said something last, be it that it is alive."""
        self._reader = reader
        self._writer = writer
        self._on_news = on_news
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._pump = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, sock: socket.socket, on_news: Callable[[News], None] = lambda news: None) -> Channel:
        """Return the channel over a connected socket."""
        return cls(*await asyncio.open_connection(sock=sock), on_news)

    @property
    def closed(self) -> bool:
        """Whether the engine has hung up."""
        return self._pump.done()

    async def configure(self, config: EngineConfig) -> None:
        """Send the first message of all."""
        await self.write(config_adapter.dump_json(config))

    async def write(self, message: bytes) -> None:
        """Send a message, in JSON. What the engine can't receive any more, the next `receive` tells."""
        with suppress(ConnectionError, RuntimeError):
            self._writer.write(frame(message))
            await self._writer.drain()

    async def receive(self) -> FromEngine:
        """Return the next message. Raises `ChannelClosed` at the end."""
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            raise ChannelClosed
        return message

    def close(self) -> None:
        """Hang up. The engine ends when it notices."""
        self._pump.cancel()
        self._writer.close()

    async def _read(self) -> None:
        try:
            while True:
                (length,) = HEADER.unpack(await self._reader.readexactly(HEADER.size))
                message = from_engine.validate_json(await self._reader.readexactly(length))
                self.heard = time.monotonic()
                if isinstance(message, Heartbeat):
                    continue
                if isinstance(message, News):
                    self._note(message)
                else:
                    self._inbox.put_nowait(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._inbox.put_nowait(None)

    def _note(self, news: News) -> None:
        self._on_news(news)
        if isinstance(news, ModelsLoaded):
            self.models = news
        elif isinstance(news, ModelFault) and news.reason is not None:
            self.faults[news.stage] = news.reason
        elif isinstance(news, ModelFault):
            self.faults.pop(news.stage, None)
