"""Ctrl-C, SIGTERM and SIGHUP: what is at work is stopped in good order, and it is known which of them it was."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Those that ask for an end; the last is that of a terminal which is closed, and not every system has it."""


class Stopped(Exception):
    """The work was stopped by a signal."""

    def __init__(self, by: signal.Signals) -> None:
        super().__init__(by.name)
        self.by = by


async def until_told(work: Coroutine[Any, Any, int]) -> int:
    """Do the work and return what it returns; raise `Stopped` where a signal has it stop before.

    A second Ctrl-C is not waited for.
    """
    loop, told = asyncio.get_running_loop(), []
    task = asyncio.create_task(work)

    def stop(by: signal.Signals) -> None:
        told.append(by)
        _leave(loop)
        task.cancel()

    for one in SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:  # as of a command that a script has begun in the background
            with suppress(NotImplementedError, RuntimeError, ValueError):  # not this system, or not the main thread
                loop.add_signal_handler(one, stop, one)
    try:
        return await task
    except asyncio.CancelledError:
        if not told:
            raise
        raise Stopped(told[0]) from None
    finally:
        _leave(loop)


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    for one in SIGNALS:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(one)
