"""Keys: how they are written, whom they mean, and the one that the first start makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from whisperx_api.keys import (
    ALL_SCOPES,
    Caller,
    KeyExpired,
    KeyRing,
    Scope,
    StoredKey,
    first_key,
    id_of,
    new_key,
    parse_key,
)
from whisperx_api.languages import LANGUAGES, language_code


def test_key_has_a_name_and_scopes_where_they_are_given() -> None:
    assert parse_key("ann:k1") == (Caller("ann", ALL_SCOPES), "k1")
    assert parse_key("ann:k1:read") == (Caller("ann", frozenset({Scope.READ})), "k1")
    assert parse_key("ann:k1:read+transcribe")[0].scopes == {Scope.READ, Scope.TRANSCRIBE}


def test_keys_without_a_name_do_not_share_their_jobs() -> None:
    one, other = parse_key("k1")[0], parse_key("k2")[0]
    assert one.name != other.name
    assert "k1" not in one.name
    assert parse_key("k1")[0] == one


def test_ring_finds_the_caller_and_keeps_no_key() -> None:
    ring = KeyRing([parse_key("ann:first"), parse_key("ben:second")])
    assert ring.caller("second") == Caller("ben")
    assert ring.caller("third") is None
    assert ring.caller("") is None
    assert "second" not in repr(vars(ring))


def made(name: str = "ann", scopes: Iterable[Scope] = ALL_SCOPES, days: float | None = None) -> tuple[StoredKey, str]:
    """Make a key that expires after so many days."""
    return new_key(name, scopes, None if days is None else datetime.now(timezone.utc) + timedelta(days=days))


def test_new_key_is_random_and_what_is_kept_of_it_does_not_tell_it() -> None:
    stored, key = made()
    assert key.startswith(f"{stored.id}_") and len(key.removeprefix(f"{stored.id}_")) >= 43  # 256 bits in base64
    assert key.removeprefix(stored.id) not in repr(stored)
    assert made()[1] != key and made()[0].id != stored.id
    assert id_of(key) == id_of(stored.id) == stored.id
    assert id_of("ann") == "ann"


def test_ring_knows_keys_on_record_beside_those_of_the_settings() -> None:
    ann, key = made(scopes={Scope.READ})
    other, other_key = made("ben")
    ring = KeyRing([parse_key("ann:first")], [ann, other])
    assert ring.caller(key) == Caller("ann", frozenset({Scope.READ}))
    assert ring.caller("first") == Caller("ann")
    assert ring.caller(other_key) == Caller("ben")
    for wrong in (ann.id, key[:-1], key + "x", ann.id + other_key[16:], key.upper(), "", "\xff"):
        assert ring.caller(wrong) is None
    assert key not in repr(vars(ring))


def test_revoked_and_replaced_keys_are_not_known() -> None:
    ann, key = made()
    revoked = replace(ann, revoked_at=datetime.now(timezone.utc))
    assert KeyRing([], [revoked]).caller(key) is None
    ring = KeyRing([], [ann])
    ring.replace([])
    assert ring.caller(key) is None


def test_only_its_holder_learns_that_a_key_has_expired() -> None:
    ann, key = made(days=-1)
    ring = KeyRing([], [ann])
    with pytest.raises(KeyExpired, match=r"The API key has expired \(\d{4}-\d\d-\d\d \d\d:\d\d UTC\)"):
        ring.caller(key)
    assert ring.caller(ann.id) is None and ring.caller(key[:-1]) is None
    assert ring.take_uses() == {}
    later, key = made(days=1)
    assert KeyRing([], [later]).caller(key) == Caller("ann")


def test_uses_are_told_once() -> None:
    ann, key = made()
    ring = KeyRing([], [ann, made("ben")[0]])
    begun = datetime.now(timezone.utc)
    ring.caller(key)
    ring.caller(key[:-1])
    uses = ring.take_uses()
    assert uses.keys() == {ann.id} and uses[ann.id] >= begun
    assert ring.take_uses() == {}


def test_name_of_a_key_can_t_be_taken_for_an_id() -> None:
    with pytest.raises(ValueError, match="don't look like the id"):
        made("wxa_0123456789ab")
    with pytest.raises(ValueError, match="names of letters"):
        made("a b")


def test_first_key_is_made_once_and_for_the_service_alone(tmp_path: Path) -> None:
    path = tmp_path / "api_key"
    key = first_key(path)
    assert len(key) >= 40
    assert path.stat().st_mode & 0o777 == 0o600
    assert first_key(path) == key


def test_empty_key_file_gets_a_key(tmp_path: Path) -> None:
    path = tmp_path / "api_key"
    path.touch(mode=0o600)
    assert len(first_key(path)) >= 40
    assert first_key(path) == path.read_text().strip()


def test_languages_are_whispers_own() -> None:
    from whisperx.utils import LANGUAGES as THEIRS
    from whisperx.utils import TO_LANGUAGE_CODE

    assert LANGUAGES == THEIRS
    assert {name: language_code(name) for name in TO_LANGUAGE_CODE} == TO_LANGUAGE_CODE


@pytest.mark.parametrize(
    ("name", "code"),
    [("EN", "en"), ("pt-BR", "pt"), ("zh_Hant", "zh"), ("Haitian Creole", "ht"), ("xx", None), ("", None)],
)
def test_language_is_found_by_the_ways_people_write_it(name, code) -> None:
    assert language_code(name) == code
