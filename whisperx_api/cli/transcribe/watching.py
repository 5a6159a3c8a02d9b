"""A folder that is watched: which recordings in it are whole and have no transcript yet, and who is to take them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whisperx_api.cli.transcribe.failures import NotTranscribed
from whisperx_api.cli.transcribe.outputs import Output, bases, made, outputs
from whisperx_api.formats.writing import Format

LOOK_MILLISECONDS = 1000
"""How often the folder is looked at where the system tells of nothing: over some networks it never does."""
ENDINGS = re.compile(
    r".*\.(3gp|aac|ac3|aiff?|amr|avi|caf|flac|flv|m4[abv]|mk[av]|mov|mp[234]|mpe?ga?|mts|og[agv]|opus|ts|wav|web[ma]|"
    r"wm[av])",
    re.IGNORECASE,
)
"""How names of recordings end. What is on its way often ends otherwise: .part, .crdownload, .tmp."""

Files = Sequence[Output]
Take = Callable[[Path, Files], Awaitable[NotTranscribed | None]]


@dataclass(frozen=True)
class _State:
    """A file as it was seen: size in bytes, and when it changed last, in nanoseconds since 1970."""

    size: int
    changed: int


class Folder:
    """Looks which recordings of a folder are ready: whole, without a transcript, and not taken as they are now."""

    def __init__(self, folder: Path, formats: Sequence[Format], target: Path | None, settle_seconds: float) -> None:
        """Transcripts go to `target`, or beside the recordings; what has stayed the same for so long is whole."""
        self._folder = folder
        self._formats = formats
        self._target = target or folder
        self._settle_seconds = settle_seconds
        self._seen: dict[Path, tuple[_State, float]] = {}
        self._taken: dict[Path, _State] = {}

    def ready(self, now: float) -> dict[Path, Files]:
        """Return what is to be taken, with the files to be written, and count it as taken. `now` is in seconds.

        Raises `OSError` where the folder can't be read.
        """
        states = self._states()
        self._seen = {
            path: (state, seen[1]) if (seen := self._seen.get(path)) and seen[0] == state else (state, now)
            for path, state in states.items()
        }
        self._taken = {path: state for path, state in self._taken.items() if path in states}
        oldest_first = sorted(states, key=lambda path: (states[path].changed, path.name))
        found: dict[Path, Files] = {}
        for path, base in bases(oldest_first).items():
            state, since = self._seen[path]
            whole = state.size > 0 and now - since >= self._settle_seconds
            if whole and self._taken.get(path) != state and not self._done(path, base, state):
                found[path] = outputs(base, self._formats, self._target)
                self._taken[path] = state
        return found

    def _states(self) -> dict[Path, _State]:
        states = {}
        for path in self._folder.iterdir():
            if not ENDINGS.fullmatch(path.name) or path.name.startswith((".", "~")):
                continue
            try:
                about = path.stat()
            except FileNotFoundError:  # it has gone meanwhile
                continue
            if path.is_file():
                states[path] = _State(about.st_size, about.st_mtime_ns)
        return states

    def _done(self, path: Path, base: str, state: _State) -> bool:
        """Whether a recording has its transcripts, under the name that is its due now or under its whole name."""
        names = {base, path.name}
        return any(made(outputs(name, self._formats, self._target), state.changed / 1e9) for name in names)


async def watch(folder: Path, look: Folder, take: Take, at_once: int) -> int:
    """Have recordings taken as they become ready, at most so many at once, for ever.

    Returns an exit code where one is refused for what every other would be too. Raises `OSError` where the folder can't
    be read.
    """
    from watchfiles import awatch

    room, stop = asyncio.Semaphore(at_once), asyncio.Event()
    codes: list[int] = []

    async def in_turn(path: Path, files: Files) -> None:
        async with room:
            error = await take(path, files)
        if error is not None and error.for_all:
            codes.append(error.code)
            stop.set()

    at_work: set[asyncio.Task[None]] = set()
    try:
        async for _ in awatch(
            folder, watch_filter=None, recursive=False, step=100, rust_timeout=LOOK_MILLISECONDS, yield_on_timeout=True,
            stop_event=stop,
        ):  # fmt: skip
            for path, files in (await asyncio.to_thread(look.ready, time.monotonic())).items():
                task = asyncio.create_task(in_turn(path, files))
                at_work.add(task)
                task.add_done_callback(at_work.discard)
    finally:
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)
    return max(codes, default=0)
