"""API keys: how they are written in the settings, where a first one comes from, and whom a request belongs to."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
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

ID_LENGTH = 16
_ID = re.compile(r"wxa_[0-9a-f]{12}")
_NOBODY = bytes(32)
"""What a key is compared with whose id is nobody's."""


class KeyExpired(Exception):
    """The key is right, but its time is over. The message is a sentence for its holder."""


@dataclass(frozen=True)
class StoredKey:
    """A key on record. The key itself is its `id`, which is no secret, and 256 random bits: `wxa_0123456789ab_…`.

    `digest` is the SHA-256 of the whole. That is enough: a slow or a salted hash is for passwords, which can be guessed
    from lists of likely ones, and of 256 random bits none is likelier than another.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    digest: bytes
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


def new_key(name: str, scopes: Iterable[Scope], expires_at: datetime | None = None) -> tuple[StoredKey, str]:
    """Make a key: return what is put on record of it, and the key itself. Raises `ValueError` for a wrong name."""
    if _ID.fullmatch(checked_name(name)):
        raise ValueError("must have names that don't look like the id of a key")
    key_id = f"wxa_{secrets.token_hex(6)}"
    key = f"{key_id}_{secrets.token_urlsafe(32)}"
    return StoredKey(key_id, name, frozenset(scopes), _digest(key), datetime.now(timezone.utc), expires_at), key


def id_of(text: str) -> str:
    """Return the id in a key that was made by `new_key`; any other text as it is."""
    return text[:ID_LENGTH] if _ID.match(text) else text


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
    checked_name(name)
    return Caller(name, parse_scopes(parts[2]) if len(parts) == 3 else ALL_SCOPES), key


def checked_name(name: str) -> str:
    """Return a name that a key may have. Raises `ValueError`."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise ValueError("must have names of letters, digits, '.', '_' and '-'")
    return name


def parse_scopes(text: str) -> frozenset[Scope]:
    """Read scopes with + or commas between them. Raises `ValueError`."""
    try:
        return frozenset(Scope(scope.strip()) for scope in re.split(r"[+,]", text))
    except ValueError:
        raise ValueError(f"must have scopes out of {', '.join(scope.value for scope in Scope)}") from None


class KeyRing:
    """The keys that may call, in memory: those of the settings, and those on record. Only their SHA-256 is kept."""

    def __init__(self, keys: Iterable[tuple[Caller, str]], stored: Iterable[StoredKey] = ()) -> None:
        self._callers = [(_digest(key), caller) for caller, key in keys]
        self._stored: dict[str, StoredKey] = {}
        self._uses: dict[str, datetime] = {}
        self.replace(stored)

    def replace(self, stored: Iterable[StoredKey]) -> None:
        """Know these keys on record from now on, and no others; those that are revoked are not known."""
        self._stored = {key.id: key for key in stored if key.revoked_at is None}

    def caller(self, key: str) -> Caller | None:
        """Return who holds `key`, or None. Raises `KeyExpired`.

        Takes the same time whichever key matches. A key on record is found by its id, which is no secret.
        """
        given, found = _digest(key), None
        for digest, caller in self._callers:
            if hmac.compare_digest(digest, given):
                found = caller
        stored = self._stored.get(key[:ID_LENGTH])
        if hmac.compare_digest(stored.digest if stored else _NOBODY, given) and stored and found is None:
            found = self._let_in(stored)
        return found

    def _let_in(self, stored: StoredKey) -> Caller:
        now = datetime.now(timezone.utc)
        if stored.expired(now):
            raise KeyExpired(f"The API key has expired ({stored.expires_at:%Y-%m-%d %H:%M} UTC): ask for a new one.")
        self._uses[stored.id] = now
        return Caller(stored.name, stored.scopes)

    def take_uses(self) -> dict[str, datetime]:
        """Return when each key on record was last used since this was last asked, by its id."""
        uses, self._uses = self._uses, {}
        return uses


def kept_key(path: Path) -> str | None:
    """Return the key in the file `path`; None where there is none."""
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None


def first_key(path: Path) -> str:
    """Return the key in the file `path`, made and written there (mode 0600) if there is none yet."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if key := kept_key(path):
            return key
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    key = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w") as file:
        file.write(key + "\n")
    return key
