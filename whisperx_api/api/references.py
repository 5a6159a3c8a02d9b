"""Voices of known speakers, as requests bring them: a name and a data URL of a few seconds of sound each.

The sound is decoded as recordings are, in a process apart, and kept with the job until that is completed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from whisperx_api.api.errors import ApiError, bad_parameter
from whisperx_api.api.parts import Parts
from whisperx_api.engine import decoder
from whisperx_api.options import KnownSpeaker
from whisperx_api.storage.protocol import Storage

NAMES = "known_speaker_names"
REFERENCES = "known_speaker_references"

MOST = 16
"""Speakers that can be named in one request."""
LONGEST_NAME = 100
"""Characters."""
MAX_BYTES = 8 * 1024**2
"""Largest reference: ten seconds of stereo in the widest format of a studio are half of it."""
SHORTEST, LONGEST = 2.0, 10.0
"""Length of a reference, in seconds."""
LEEWAY = 0.1
"""Seconds by which a codec may lengthen or shorten what it was given."""
LONGEST_DECODED = 600.0
"""Seconds up to which is decoded to say how long a reference is."""

DATA_URL = re.compile(
    r"data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*?);base64,(?P<data>.*)", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True)
class Reference:
    """A known speaker, with `sound` of their voice: float32 samples at 16 kHz in native byte order."""

    speaker: KnownSpeaker
    sound: bytes = field(repr=False)


async def read(parts: Parts, names: Sequence[str], references: Sequence[str]) -> tuple[Reference, ...]:
    """Return the known speakers of a request, decoded; their `speaker` goes into the job's options.

    `names` and `references` are the values of the fields of that name, in their order; a reference is a data URL.
    Raises `ApiError`: a 400 that names the field, and a 503 where the sound could not be looked at.
    """
    _check_names(names, len(references))
    sent = [await asyncio.to_thread(_content, reference, which) for which, reference in enumerate(references, 1)]
    if len({hashlib.sha256(data).digest() for data in sent}) < len(sent):
        raise bad_parameter(REFERENCES, f"{REFERENCES} must differ: two are the same, so they tell nobody apart.")
    decoded = [asyncio.create_task(_decoded(parts, data, which)) for which, data in enumerate(sent, 1)]
    try:
        sounds = await asyncio.gather(*decoded)
    finally:
        for task in decoded:
            task.cancel()
        await asyncio.gather(*decoded, return_exceptions=True)
    return tuple(
        Reference(KnownSpeaker(name.strip(), hashlib.sha256(data).hexdigest()), sound)
        for name, data, sound in zip(names, sent, sounds, strict=True)
    )


async def keep(storage: Storage, task_id: str, references: Sequence[Reference]) -> None:
    """Write the voices down among the files of a task, durably, before its job is on record."""
    for reference in references:
        await storage.write(task_id, reference.speaker.file, reference.sound)


def _check_names(names: Sequence[str], references: int) -> None:
    if len(names) != references:
        raise bad_parameter(
            NAMES if len(names) < references else REFERENCES,
            f"{NAMES} and {REFERENCES} must be as many: there are {len(names)} names and {references} references.",
        )
    if len(names) > MOST:
        raise bad_parameter(NAMES, f"{NAMES} may hold {MOST} names at most, not {len(names)}.")
    plain = [name.strip() for name in names]
    for name in plain:
        if not name or not name.isprintable():
            raise bad_parameter(NAMES, f"{NAMES} must be names that can be printed, and none may be empty.")
        if len(name) > LONGEST_NAME:
            raise bad_parameter(NAMES, f"{NAMES} may have {LONGEST_NAME} characters at most.")
    if len(set(plain)) < len(plain):
        raise bad_parameter(NAMES, f"{NAMES} must differ: each is one speaker's.")


def _content(reference: str, which: int) -> bytes:
    """Return the bytes that a data URL (RFC 2397) holds."""
    if (found := DATA_URL.fullmatch(reference.strip())) is None:
        raise bad_parameter(
            REFERENCES, f"{_named(which)} must be a data URL: data:audio/wav;base64, and the recording in base64."
        )
    kind = found["type"].strip().lower()
    if kind and not kind.startswith(("audio/", "video/")) and kind != "application/octet-stream":
        raise bad_parameter(REFERENCES, f"{_named(which)} must be audio, not {kind[:80]}.")
    if len(found["data"]) > MAX_BYTES * 4 / 3 + 4:
        raise bad_parameter(REFERENCES, f"{_named(which)} must have at most {MAX_BYTES // 1024**2} MiB.")
    try:
        return base64.b64decode(found["data"], validate=True)
    except (binascii.Error, ValueError):
        raise bad_parameter(REFERENCES, f"{_named(which)} must be base64 after the comma, and it is not.") from None


async def _decoded(parts: Parts, data: bytes, which: int) -> bytes:
    """Return the sound as float32 samples at 16 kHz."""
    source = parts.storage.incoming()
    target = parts.storage.incoming()
    try:
        async with parts.probes:
            await asyncio.to_thread(_write, source, data)
            audio = await decoder.decode(
                source, target, lambda fraction: None, seconds=decoder.PROBE_SECONDS, longest=LONGEST_DECODED
            )
        if not SHORTEST - LEEWAY <= audio.duration <= LONGEST + LEEWAY:
            raise bad_parameter(
                REFERENCES,
                f"{_named(which)} must be {SHORTEST:g} to {LONGEST:g} s long, and it is {audio.duration:.1f} s.",
            )
        return await asyncio.to_thread(target.read_bytes)
    except decoder.NotAudio as error:
        raise bad_parameter(REFERENCES, f"{_named(which)} can't be read: {error}.") from error
    except decoder.DecoderDied as error:
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE, f"{_named(which)} could not be looked at: {error}. Try again later.",
            headers={"Retry-After": "10"},
        ) from error  # fmt: skip
    finally:
        for path in (source, target):
            await asyncio.to_thread(path.unlink, missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)


def _named(which: int) -> str:
    return f"{REFERENCES} ({which})"
