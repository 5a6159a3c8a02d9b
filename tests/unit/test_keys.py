"""Keys: how they are written, whom they mean, and the one that the first start makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from whisperx_api.keys import ALL_SCOPES, Caller, KeyRing, Scope, first_key, parse_key
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
