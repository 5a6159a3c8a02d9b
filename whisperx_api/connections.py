"""HTTP connections that cost little: how many there may be, and how long each may keep the server waiting.

uvicorn bounds the size of a request's head, and how long a connection rests between two requests. Here is what it
leaves open: the time for a head, a body that nobody reads, and clients that do not take their answer. The bodies that
are read have their time in `api.bodies`.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import socket
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

logger = logging.getLogger(__name__)

SPARE_FILES = 256
"""Files and pipes that the server may have open beside its connections."""
CLOSE = (b"connection", b"close")
NO_ROOM = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class Patience:
    """How long a client may take, in seconds.

    `head`: to send the head of a request. `answer`: without taking anything of an answer that it was sent. `linger`: to
    take an answer that came before its request was read; the rest of the request is not.
    """

    head: float = 20.0
    answer: float = 60.0
    linger: float = 2.0


def protocol(most: int, patience: Patience | None = None) -> type[H11Protocol]:
    """Return the protocol that uvicorn is to speak, for `most` connections at once."""
    return type("Bounded", (BoundedProtocol,), {"most": most, "patience": patience or Patience()})


def room_for(most: int) -> int:
    """Have this process open as many files as `most` connections need; return how many connections it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return most
    fitting = max(soft - SPARE_FILES, soft // 2)
    logger.warning(
        "MAX_CONNECTIONS=%d is more than this process may have files open (%d): it takes %d", most, soft, fitting
    )
    return fitting


class _Transport:
    """A connection's transport that counts what is written to it, and is closed as its protocol wants it to be."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self.close = close
        self.written = 0
        self.leaving = False
        """Whether the connection is about to be closed."""

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self.leaving or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with bounds on what a connection may cost."""

    most: int
    patience: Patience

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:  # fmt: skip
        super().__init__(config, server_state, app_state, _loop)
        self._application = self.app
        self.app = self._answer
        self._socket: asyncio.Transport
        self._counted: _Transport
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._begun = False
        self._rests_since = self.loop.time()

    @property
    def rests(self) -> bool:
        """Whether no request is at work: none was sent, or its head is not whole yet."""
        return not self._counted.is_closing() and (self.cycle is None or self.cycle.response_complete)

    # --- what asyncio and uvicorn call ---

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._socket, self._counted = transport, _Transport(transport, self._close)
        super().connection_made(cast(asyncio.Transport, self._counted))
        if len(self.connections) > self.most:
            self._make_room()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._begun = True
        self._expect_head()

    def eof_received(self) -> None:
        super().eof_received()
        self._expect_progress()  # asyncio closes the connection now, once all is sent

    def on_response_complete(self) -> None:
        self._begun, self._rests_since = False, self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_progress()

    # --- the head of a request ---

    def _expect_head(self) -> None:
        """See to it that a head that has to come does so in time."""
        if not self.rests:
            self._forget("head")
        elif "head" not in self._timers:
            self._rests_since = self.loop.time()
            self._timers["head"] = self.loop.call_later(self.patience.head, self._give_up_head)

    def _give_up_head(self) -> None:
        del self._timers["head"]
        if self._begun:  # one that has sent nothing has asked nothing
            self._counted.write(TOO_SLOW)
        self._socket.close()
        self._expect_progress()

    def _make_room(self) -> None:
        """Close the connection that has rested longest; where every one is at work, refuse this one."""
        others = [other for other in self.connections if isinstance(other, BoundedProtocol) and other is not self]
        resting = [other for other in others if other.rests]
        if resting:
            min(resting, key=lambda other: other._rests_since)._socket.close()
        else:
            logger.warning("a connection is refused: there are %d, MAX_CONNECTIONS", self.most)
            self._counted.write(NO_ROOM)
            self._socket.close()

    # --- the body that nobody reads ---

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the application. An answer that comes before the request was read to its end is the connection's last."""
        cycle = self.cycle

        async def last(message: Any) -> None:
            if message["type"] == "http.response.start" and cycle.more_body:
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        await self._application(scope, receive, last)

    def _close(self) -> None:
        """Close the connection; where a request is not read to its end, so that the client still hears its answer.

        A socket that is closed with something unread in it resets the connection, and what is on its way to the client
        is lost. So only the sending half is closed at first; nothing more is read meanwhile.
        """
        unread = self.cycle is not None and self.cycle.more_body
        if not unread or self._counted.is_closing() or not self._socket.can_write_eof():
            self._socket.close()
        else:
            self._counted.leaving = True
            self.flow.pause_reading()
            self._socket.write_eof()
            self._timers["linger"] = self.loop.call_later(self.patience.linger, self._socket.close)
        self._forget("head")
        self._expect_progress()

    # --- the answer that nobody takes ---

    def _expect_progress(self) -> None:
        """See to it that what is to be sent is taken, or dropped."""
        if "progress" not in self._timers and self._socket.get_write_buffer_size():
            self._timers["progress"] = self.loop.call_later(self.patience.answer, self._look_at_progress, self._taken())

    def _look_at_progress(self, before: int) -> None:
        del self._timers["progress"]
        if self._socket.get_write_buffer_size() and self._taken() == before:
            self._drop()
        else:
            self._expect_progress()

    def _taken(self) -> int:
        """Return how many bytes of what was written have arrived.

        The system takes megabytes at once, and then nothing for long from a server whose client is slow; so what waits
        there counts as not taken.
        """
        waiting = self._socket.get_write_buffer_size()
        if sys.platform == "linux" and (plain := self._socket.get_extra_info("socket")) is not None:
            with suppress(OSError):  # it is closed
                waiting += struct.unpack("i", fcntl.ioctl(plain.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        return self._counted.written - waiting

    def _drop(self) -> None:
        """End the connection with all that was to be sent, what the system holds of it included."""
        if (plain := self._socket.get_extra_info("socket")) is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.abort()

    def _forget(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
