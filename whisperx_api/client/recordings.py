"""The recording of an upload: read in pieces as it is sent, again from its beginning where it can be rewound."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from whisperx_api.client.errors import RecordingChanged
from whisperx_api.client.requests import fields_of

PIECE = 256 * 1024
"""Bytes that are read at once."""

Sent = Callable[[int, int | None], None]
"""Is told how many bytes of the recording were sent, and of how many; None where that is not known."""


def readable(name: str) -> str:
    """Return the name of a file with a question mark for what is no text: names are bytes to most systems."""
    return name.encode(errors="replace").decode()


class Recording:
    """A file that is to be sent: its `name`, and its `size` in bytes, None where it can't be known."""

    def __init__(self, file: str | Path | BinaryIO) -> None:
        """Open a path, which `close` closes; an open file is taken from its beginning.

        Raises `OSError`, and `TypeError` for what is neither.
        """
        self._own = isinstance(file, str | Path)
        if not self._own and (isinstance(file, io.TextIOBase) or not hasattr(file, "read")):
            raise TypeError(
                f"A recording is a path or a file that is open in binary mode, not {type(file).__name__}; "
                "bytes go as io.BytesIO."
            )
        self._stream: BinaryIO = Path(file).open("rb") if isinstance(file, str | Path) else file  # noqa: SIM115
        self.name = _name(self._stream)
        self.rewindable = _seekable(self._stream)
        self.size = _size(self._stream) if self.rewindable else None

    def pieces(self) -> Iterator[bytes]:
        """Read it from its beginning. Raises `RecordingChanged` where it has become shorter, and `OSError`."""
        if self.rewindable:
            self._stream.seek(0)
        left = self.size
        while left is None or left > 0:
            piece = self._stream.read(PIECE if left is None else min(PIECE, left))
            if not piece and left:
                raise RecordingChanged(f"{self.name} became shorter while it was read.")
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece

    def close(self) -> None:
        """Close what was opened here."""
        if self._own:
            self._stream.close()


def idempotency_key(file: str | Path | BinaryIO | Recording, options: Mapping[str, object]) -> str:
    """Return a key that two uploads have in common only where name, content and options are the same.

    The whole file is read for it. Raises `ValueError` for a stream that can't be read twice, and `OSError`.

        key = idempotency_key("call.mp3", {"language": "en"})
    """
    recording = file if isinstance(file, Recording) else Recording(file)
    try:
        if not recording.rewindable:
            raise ValueError(f"{recording.name} can be read only once: name an idempotency key of your own.")
        digest = hashlib.sha256()
        for piece in recording.pieces():
            digest.update(piece)
        return _key({"name": recording.name, "sha256": digest.hexdigest(), "fields": fields_of(options)})
    finally:
        if recording is not file:
            recording.close()


def key_of_url(options: Mapping[str, object]) -> str:
    """Return the same for a recording that the server fetches from a url."""
    return _key({"fields": fields_of(options)})


def _key(request: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Upload:
    """The form of an upload, as httpx writes it, cut where the recording belongs. Its body may be made several times.

    `on_sent` hears of every piece that was handed to the connection.
    """

    head: bytes
    tail: bytes
    content_type: str
    recording: Recording | None
    on_sent: Sent | None = None

    @property
    def repeatable(self) -> bool:
        """Whether the same can be sent again."""
        return self.recording is None or self.recording.rewindable

    @property
    def headers(self) -> dict[str, str]:
        """What the body is; without its length it goes in chunks."""
        size = 0 if self.recording is None else self.recording.size
        if size is None:
            return {"Content-Type": self.content_type}
        return {"Content-Type": self.content_type, "Content-Length": str(len(self.head) + size + len(self.tail))}

    def body(self) -> Iterator[bytes]:
        """Yield the form's bytes. Raises what reading the recording raises."""
        yield self.head
        if self.recording is not None:
            yield from self._pieces(self.recording)
        yield self.tail

    def _pieces(self, recording: Recording) -> Iterator[bytes]:
        sent = 0
        self._tell(sent, recording.size)
        for piece in recording.pieces():
            yield piece
            sent += len(piece)
            self._tell(sent, recording.size)

    def _tell(self, sent: int, size: int | None) -> None:
        if self.on_sent is not None:
            self.on_sent(sent, size)


def upload_of(recording: Recording | None, fields: Mapping[str, str], on_sent: Sent | None = None) -> Upload:
    """Return the form of an upload; without a recording it has the fields alone.

    Raises `ValueError` where there is neither a recording nor a url to fetch one from.
    """
    if recording is None and not fields.get("url"):
        raise ValueError("There is nothing to send: name a recording, or a url that the server is to fetch it from.")
    parts = [(name, (None, value)) for name, value in fields.items()]
    files = parts if recording is None else [*parts, ("file", (recording.name, b""))]
    written = httpx.Request("POST", "http://form", files=files)
    content_type, body = written.headers["Content-Type"], written.read()
    tail = f"\r\n--{content_type.partition('boundary=')[2]}--\r\n".encode()
    return Upload(body.removesuffix(tail), tail, content_type, recording, on_sent)


def _name(stream: BinaryIO) -> str:
    """Return what a file is called; one that was opened by number, or has no place yet, has no name."""
    name = getattr(stream, "name", None)
    return readable(Path(os.fsdecode(name)).name) if name and isinstance(name, str | bytes) else "recording"


def _seekable(stream: BinaryIO) -> bool:
    try:
        return stream.seekable()
    except AttributeError:  # something that can be read, and no more
        return False


def _size(stream: BinaryIO) -> int:
    return stream.seek(0, 2)
