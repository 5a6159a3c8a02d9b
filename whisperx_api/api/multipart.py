"""A multipart form read as it arrives: the file goes to disk, nothing is held in memory but a buffer.

Nobody's code runs before the key is checked, and reading stops at the limit (RFC 7578).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from whisperx_api.api.arrivals import create, not_written, readable, shown_name, too_large
from whisperx_api.api.errors import ApiError, bad_parameter

BUFFER = 1024 * 1024
"""Bytes gathered before they are written."""
BLOCK = 64 * 1024
"""Bytes that are parsed at once."""
MAX_FIELD = 64 * 1024
"""Longest text field, in bytes."""
MAX_HEADERS = 16 * 1024
"""Bytes that the headers of one part may have."""
BROKEN = "The multipart form is broken: its boundaries or a part's headers are not as RFC 7578 has them, or too long."
LONGEST_BOUNDARY = 70
"""Characters, as RFC 2046 has it."""
EXTENDED = re.compile(r"filename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]*)", re.IGNORECASE)
OVERHEAD = 1024 * 1024
"""Bytes that a form may have besides its file and its long fields."""
LIST = "[]"
"""Ends the name of a field that may be there several times, where a client writes it so."""


@dataclass(frozen=True)
class Rules:
    """What a form's text fields may be.

    `lists` names those that may be there several times, with or without `[]` after the name. `longest` is how many
    bytes a value may have that may be longer than `MAX_FIELD`; `room` is how many all may have beyond `OVERHEAD`.
    """

    lists: frozenset[str] = frozenset()
    longest: Mapping[str, int] = field(default_factory=dict)
    room: int = 0
    most_fields: int = 50

    def most(self, limit: int) -> int:
        """Return how many bytes a whole form may have whose file may have `limit`."""
        return limit + OVERHEAD + self.room


PLAIN = Rules()


@dataclass
class Form:
    """What was sent: text fields by name, those that may be repeated in `lists`, and the file on disk.

    Without a file there is no `filename`.
    """

    fields: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    filename: str | None = None
    size: int = 0
    sha256: str = ""


def boundary(content_type: str | None) -> bytes:
    """Return the boundary of a multipart form. Raises a 400 for any other body."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise bad_parameter("file", "Send the recording as multipart/form-data, in the field 'file'.")
    if len(options[b"boundary"]) > LONGEST_BOUNDARY:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"The form's boundary is longer than {LONGEST_BOUNDARY} characters.")
    return options[b"boundary"]


async def receive(
    body: AsyncIterator[bytes], content_type: str | None, target: Path, limit: int, rules: Rules = PLAIN
) -> Form:
    """Read a form with at most one file into `target`, which is fsynced.

    Raises `ApiError`: 400 for a broken form, 413 when the file is over `limit` bytes, 507 when the disk is full. The
    caller deletes `target` when anything is raised.
    """
    reader, received = _FormReader(boundary(content_type), limit, rules), 0
    try:
        with await asyncio.to_thread(create, target) as file:
            async for chunk in body:
                room = rules.most(limit) - received
                reader.feed(chunk[:room])
                if len(chunk) > room:
                    raise too_large(limit)
                received += len(chunk)
                if len(reader.buffer) >= BUFFER:
                    await asyncio.to_thread(reader.flush, file)
            reader.end()
            await asyncio.to_thread(reader.finish, file)
    except OSError as error:
        raise not_written(error, target) from error
    return reader.form


class _FormReader:
    """Collects what the parser calls out."""

    def __init__(self, boundary: bytes, limit: int, rules: Rules) -> None:
        self.form = Form()
        self.buffer = bytearray()
        self._limit = limit
        self._rules = rules
        self._values = 0
        self._held = 0
        self._hash = hashlib.sha256()
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._name = ""
        self._value = bytearray()
        self._is_file = False
        self._ended = False
        self._unparsed = bytearray()
        self._told = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_text,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Take in what has come. The parser gets blocks of one size, so that how the bytes were cut changes nothing."""
        self._unparsed += chunk
        while len(self._unparsed) >= BLOCK:
            block = bytes(self._unparsed[:BLOCK])
            del self._unparsed[:BLOCK]
            self._parse(block)
            if not self._told:  # white space without end, over which the parser goes byte by byte
                raise ApiError(HTTPStatus.BAD_REQUEST, BROKEN)

    def end(self) -> None:
        """Take in the rest."""
        self._parse(bytes(self._unparsed))

    def _parse(self, block: bytes) -> None:
        self._told = self._ended
        try:
            self._parser.write(block)
        except MultipartParseError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, BROKEN) from error

    def flush(self, file: BinaryIO) -> None:
        self._hash.update(self.buffer)
        file.write(self.buffer)
        self.buffer = bytearray()

    def finish(self, file: BinaryIO) -> None:
        if not self._ended:
            raise ApiError(HTTPStatus.BAD_REQUEST, "The upload broke off before the end of the form.")
        self.flush(file)
        file.flush()
        os.fsync(file.fileno())
        self.form.sha256 = self._hash.hexdigest()

    # --- what the parser calls ---

    def _part_begin(self) -> None:
        self._told = True
        self._headers, self._value = {}, bytearray()
        self._header_name = self._header_value = b""
        self._header_bytes = 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_name += data[start:end]

    def _header_text(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_value += data[start:end]

    def _count(self, size: int) -> None:
        self._told = True
        if (count := self._header_bytes + size) > MAX_HEADERS:
            raise ApiError(HTTPStatus.BAD_REQUEST, f"A part of the form has headers of more than {MAX_HEADERS} bytes.")
        self._header_bytes = count

    def _header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        disposition = bytes(self._headers.get(b"content-disposition", b""))
        _, options = parse_options_header(disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options[b"filename"].decode("utf-8", "replace") if b"filename" in options else extended(disposition)
        self._is_file = filename is not None
        if not self._name:
            raise ApiError(HTTPStatus.BAD_REQUEST, "A part of the form has no name: the recording goes in 'file'.")
        if filename is not None:
            if self._name != "file":
                raise bad_parameter(self._name, f"The field '{self._name}' is no file: the recording goes in 'file'.")
            if self.form.filename is not None:
                raise bad_parameter("file", "Send one file at a time.")
            self.form.filename = shown_name(filename)
        elif self._name == "file":
            raise bad_parameter("file", "The field 'file' must hold a file: send it with a file name.")
        elif self._name in self.form.fields:
            raise bad_parameter(self._name, f"The field '{self._name}' is there twice.")
        elif (values := self._values + 1) > self._rules.most_fields:
            raise ApiError(HTTPStatus.BAD_REQUEST, f"The form has more than {self._rules.most_fields} fields.")
        else:
            self._values = values

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._told = True
        if self._is_file:
            self.form.size += end - start
            if self.form.size > self._limit:
                raise too_large(self._limit)
            self.buffer += data[start:end]
        else:
            self._value += data[start:end]
            self._held += end - start
            if self._held > (most := OVERHEAD + self._rules.room):
                raise bad_parameter(self._name, f"The form's fields are longer than {readable(most)} in all.")
            longest = self._rules.longest.get(self._name.removesuffix(LIST), MAX_FIELD)
            if len(self._value) > longest:
                raise bad_parameter(self._name, f"The field '{self._name}' is longer than {longest} bytes.")

    def _part_end(self) -> None:
        if self._is_file:
            return
        try:
            value = self._value.decode()
        except UnicodeDecodeError:
            raise bad_parameter(self._name, f"The field '{self._name}' is not UTF-8 text.") from None
        if (name := self._name.removesuffix(LIST)) in self._rules.lists:
            self.form.lists.setdefault(name, []).append(value)
        else:
            self.form.fields[self._name] = value

    def _end(self) -> None:
        self._told = self._ended = True


def extended(disposition: bytes) -> str | None:
    """Return the file name of a header that has it only as `filename*=utf-8''…` (RFC 5987), as some clients do."""
    found = EXTENDED.search(disposition.decode("latin-1"))
    return unquote(found[2], found[1], errors="replace") if found else None
