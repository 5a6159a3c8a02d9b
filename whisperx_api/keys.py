"""API keys: how they are written in the settings, where a first one comes from, and whom a request belongs to."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Scope(str, Enum):
    """What a key may do."""

    TRANSCRIBE = "transcribe"
    READ = "read"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True)
class Caller:
    """Who a request comes from: jobs belong to the name."""

    name: str
    scopes: frozenset[Scope] = ALL_SCOPES


ANONYMOUS = Caller("anonymous")
"""Everybody, where authentication is off."""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def parse_key(entry: str) -> tuple[Caller, str]:
    """Read `KEY`, `NAME:KEY` or `NAME:KEY:SCOPE+SCOPE`. Raises `ValueError` with a sentence that shows no key.

    A key without a name is named after its hash, so that two of them never share their jobs.
    """
    parts = entry.split(":")
    if len(parts) > 3 or not all(parts):
        raise ValueError("must be KEY, NAME:KEY or NAME:KEY:SCOPES")
    name, key = (f"key-{_digest(entry).hex()[:8]}", entry) if len(parts) == 1 else (parts[0], parts[1])
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise ValueError("must have names of letters, digits, '.', '_' and '-'")
    if len(parts) < 3:
        return Caller(name), key
    try:
        return Caller(name, frozenset(Scope(scope) for scope in parts[2].split("+"))), key
    except ValueError:
        raise ValueError(f"must have scopes out of {', '.join(scope.value for scope in Scope)}") from None


class KeyRing:
    """The keys that may call. Only their SHA-256 is kept."""

    def __init__(self, keys: list[tuple[Caller, str]]) -> None:
        self._callers = [(_digest(key), caller) for caller, key in keys]

    def caller(self, key: str) -> Caller | None:
        """Return who holds `key`, or None. Takes the same time whichever key matches."""
        given, found = _digest(key), None
        for digest, caller in self._callers:
            if hmac.compare_digest(digest, given):
                found = caller
        return found


def first_key(path: Path) -> str:
    """Return the key in the file `path`, made and written there (mode 0600) if there is none yet."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if key := path.read_text().strip():
            return key
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    key = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w") as file:
        file.write(key + "\n")
    return key
