"""A folder that is watched: which recordings in it are whole and have no transcript yet, and who is to take them."""

from __future__ import annotations

import asyncio
import re
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from whisperx_api.cli.transcribe.failures import NotTranscribed
from whisperx_api.cli.transcribe.notes import Note, Notes, State
from whisperx_api.cli.transcribe.outputs import Output, bases, made, names, outputs
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


class NotWatched(Exception):
    """A folder can't be looked at any more; the message is a sentence."""


class Folder:
    """Looks which recordings of a folder are ready: whole, without a transcript, and not taken as they are now.

    A recording keeps the name of its transcript, whatever else of the same stem appears. One that has changed since it
    was taken is taken again once that is over.
    """

    def __init__(
        self,
        folder: Path,
        formats: Sequence[Format],
        target: Path | None,
        settle_seconds: float,
        remembered: Notes | None = None,
    ) -> None:
        """Transcripts go to `target`, or beside the recordings; what has stayed the same for so long is whole."""
        self._folder = folder
        self._formats = formats
        self._target = target or folder
        self._settle_seconds = settle_seconds
        self._remembered = remembered
        self._notes: dict[str, Note] | None = None
        self._seen: dict[Path, tuple[State, float]] = {}
        self._taken: dict[Path, State] = {}
        self._at_work: dict[Path, Note] = {}
        self._lock = threading.Lock()  # what is looked at in one thread may have ended in another

    def ready(self, now: float) -> dict[Path, Files]:
        """Return what is to be taken, with the files to be written, and count it as taken. `now` is in seconds.

        Raises `OSError` where the folder can't be read.
        """
        states = self._states()
        with self._lock:
            self._notes = notes = self._begun(states) if self._notes is None else self._notes
            self._seen = {
                path: (state, seen[1]) if (seen := self._seen.get(path)) and seen[0] == state else (state, now)
                for path, state in states.items()
            }
            self._taken = {path: state for path, state in self._taken.items() if path in states}
            found: dict[Path, Files] = {}
            new: dict[str, Note] = {}
            for path, base in self._bases(states, notes).items():
                state, since = self._seen[path]
                whole = state.size > 0 and now - since >= self._settle_seconds
                if not whole or path in self._at_work or self._taken.get(path) == state:
                    continue
                if path.name not in notes and (had := self._had(path, base, state)) is not None:
                    new[path.name] = had
                elif path.name not in notes or not self._made(notes[path.name], state):
                    found[path] = outputs(base, self._formats, self._target)
                    self._taken[path], self._at_work[path] = state, Note(base, state)
            self._note(notes, new)
        return found

    def ended(self, path: Path, has_transcript: bool) -> None:
        """What was taken is not at work any more."""
        with self._lock:
            note = self._at_work.pop(path)
            if has_transcript and self._notes is not None:
                self._note(self._notes, {path.name: note})

    def _states(self) -> dict[Path, State]:
        states = {}
        for path in self._folder.iterdir():
            if not ENDINGS.fullmatch(path.name) or path.name.startswith((".", "~")):
                continue
            try:
                about = path.stat()
            except OSError:  # it has gone meanwhile, or is a link that leads nowhere
                continue
            if stat.S_ISREG(about.st_mode):
                states[path] = State(about.st_size, about.st_mtime_ns)
        return states

    def _begun(self, states: Mapping[Path, State]) -> dict[str, Note]:
        """Return what was noted by an earlier watch, but for what nothing is left of."""
        notes: dict[str, Note] = {}
        for name, note in (self._remembered.read() if self._remembered else {}).items():
            state = states.get(self._folder / name)
            if state is not None:
                notes[name] = replace(note, state=state) if note.state.like(state) else note
            elif self._left(note):
                notes[name] = note
        if self._remembered:
            self._remembered.write(notes)
        return notes

    def _bases(self, states: Mapping[Path, State], notes: dict[str, Note]) -> dict[Path, str]:
        """Return what the names of each recording's files begin with: who has one keeps it, the others oldest first."""
        kept = {path: notes[path.name].base for path in states if path.name in notes}
        kept |= {path: note.base for path, note in self._at_work.items()}
        in_turn = sorted(states, key=lambda path: (states[path].changed, path.name))
        others = [path for path in in_turn if path not in kept]
        gone = self._of_the_gone(states, notes, others) if others else ()
        given = bases(others, self._formats, taken=(*kept.values(), *gone)) | kept
        return {path: given[path] for path in in_turn}

    def _of_the_gone(
        self, states: Mapping[Path, State], notes: dict[str, Note], others: Iterable[Path]
    ) -> Iterator[str]:
        """Yield names that others might get, but are those of transcripts whose recordings have gone."""
        sought = {file for path in others for base in (path.stem, path.name) for file in names(base, self._formats)}
        for name, note in list(notes.items()):
            if self._folder / name not in states and not sought.isdisjoint(names(note.base, self._formats)):
                if self._left(note):
                    yield note.base
                else:
                    del notes[name]

    def _had(self, path: Path, base: str, state: State) -> Note | None:
        """Return a note of a recording whose transcripts were there before this watch, as names and times tell."""
        for name in (base, path.name):
            if made(outputs(name, self._formats, self._target), state.changed / 1e9):
                return Note(name, state)
        return None

    def _made(self, note: Note, state: State) -> bool:
        """Whether a recording is as it was when its transcripts were made, and they are there."""
        return note.state == state and made(outputs(note.base, self._formats, self._target))

    def _left(self, note: Note) -> bool:
        return any(output.path.exists() for output in outputs(note.base, self._formats, self._target))

    def _note(self, notes: dict[str, Note], new: Mapping[str, Note]) -> None:
        notes.update(new)
        if new and self._remembered:
            self._remembered.add(new)


async def watch(folder: Path, look: Folder, take: Take, at_once: int) -> int:
    """Have recordings taken as they become ready, at most so many at once, for ever.

    Returns an exit code where one is refused for what every other would be too. Raises `NotWatched` where the folder
    can't be read, and what `take` raises.
    """
    from watchfiles import awatch

    room, stop = asyncio.Semaphore(at_once), asyncio.Event()
    codes: list[int] = []
    faults: list[Exception] = []

    async def in_turn(path: Path, files: Files) -> None:
        try:
            async with room:
                error = await take(path, files)
            await asyncio.to_thread(look.ended, path, error is None)
            if error is not None and error.for_all:
                codes.append(error.code)
                stop.set()
        except Exception as fault:  # such as a pipe that nobody reads any more
            faults.append(fault)
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
    except OSError as error:
        raise NotWatched(f"{folder} can't be watched: {error.strerror or error}.") from error
    finally:
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)
    if faults:
        raise faults[0]
    return max(codes, default=0)
