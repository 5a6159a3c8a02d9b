"""`whisperx-api keys`: what it prints where, what it refuses, and what it leaves alone."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

from tests.databases import empty_at
from whisperx_api.cli import app
from whisperx_api.cli.keys import expiry
from whisperx_api.jobs.database import open_database
from whisperx_api.jobs.key_store import KeyStore
from whisperx_api.keys import StoredKey

DATABASE = Path("data/whisperx-api.db")


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def made(*arguments: str) -> str:
    """Make a key and return it."""
    result = keys("create", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def on_record(url: str = f"sqlite+aiosqlite:///{DATABASE}") -> list[StoredKey]:
    async def read() -> list[StoredKey]:
        opened = await open_database(url)
        found = list(await KeyStore(opened).keys())
        await opened.dispose()
        return found

    return asyncio.run(read())


def test_key_is_alone_on_stdout_and_nowhere_else() -> None:
    result = keys("create", "--name", "ann", "--scopes", "admin,read", "--expires", "2099-01-31")
    assert result.exit_code == 0
    assert re.fullmatch(r"wxa_[0-9a-f]{12}_[\w-]{43}\n", result.stdout)
    key = result.stdout.strip()
    assert f"{key[:16]} is a key of ann for read,admin and expires 2099-01-31T23:59Z" in result.stderr
    assert key[17:] not in result.stderr
    assert key[17:] not in keys("list").output
    assert DATABASE.stat().st_mode & 0o077 == 0 and DATABASE.parent.stat().st_mode & 0o077 == 0


def test_key_may_send_and_read_for_ever_unless_told_otherwise() -> None:
    made("--name", "ann")
    ((_, row),) = [keys("list").stdout.splitlines()]
    assert row.split()[1:3] == ["ann", "transcribe,read"] and row.split()[4:6] == ["never", "never"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--name", "a b"), "--name must have names of letters, digits"),
        (("--name", "wxa_0123456789ab"), "--name must have names that don't look like the id of a key."),
        (("--name", "a", "--scopes", "write"), "--scopes must have scopes out of transcribe, read, admin."),
        (("--name", "a", "--scopes", ""), "--scopes must have scopes out of"),
        (("--name", "a", "--expires", "2020-01-31"), "--expires must lie in the future."),
        (("--name", "a", "--expires", "0d"), "--expires must lie in the future."),
        (("--name", "a", "--expires", "9" * 30 + "d"), "--expires must be a time like 90d"),
        (("--name", "a", "--expires", "2027-02-30"), "--expires must be a time like 90d"),
        (("--name", "a", "--expires", "soon"), "--expires must be a time like 90d"),
    ],
)
def test_what_can_t_be_is_said_and_makes_nothing(arguments, sentence) -> None:
    result = keys("create", *arguments)
    assert result.exit_code == 2 and sentence in result.stderr and result.stdout == ""
    assert not DATABASE.exists()


def test_time_of_a_key_is_counted_from_now_or_lasts_through_a_day() -> None:
    now = datetime.now(timezone.utc)
    for text, span in (("12h", timedelta(hours=12)), ("90d", timedelta(days=90)), ("2w", timedelta(days=14))):
        ends = expiry(text)
        assert ends is not None and timedelta() <= ends - now - span < timedelta(minutes=1)
    assert expiry("2099-01-31") == datetime(2099, 1, 31, 23, 59, 59, tzinfo=timezone.utc)
    assert expiry("never") is None


def test_list_shows_every_key_and_how_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "env:s3cret-1:read")
    monkeypatch.setenv("API_KEY", "s3cret-2")
    first, second, third = made("--name", "ann"), made("--name", "ann", "--expires", "90d"), made("--name", "ben")
    keys("revoke", first[:16])
    with sqlite3.connect(DATABASE) as database:
        database.execute("UPDATE keys SET expires_at = '2020-01-01' WHERE id = ?", (second[:16],))
        database.execute("UPDATE keys SET last_used_at = '2026-03-01 12:34:56' WHERE id = ?", (third[:16],))
    result = keys("list")
    assert "s3cret" not in result.output
    title, *rows = result.stdout.splitlines()
    assert title.split() == ["ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "LAST", "USED", "STATE"]
    start = title.index("STATE")
    assert {row[start : start + 7] for row in rows[:1]} == {"revoked"}
    assert [row[start:] for row in rows[1:]] == ["expired", "in force", "in API_KEYS", "in API_KEY"]
    assert [row.split()[0] for row in rows] == [first[:16], second[:16], third[:16], "-", "-"]
    assert rows[2].split()[5] == "2026-03-01T12:34Z"


def test_first_key_is_listed_where_it_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    made("--name", "ann")
    Path("data/api_key").write_text("s3cret\n")
    assert "in data/api_key" in keys("list").stdout
    monkeypatch.setenv("API_KEYS", "env:s3cret-1")
    assert "in data/api_key" not in keys("list").stdout


def test_first_key_of_a_folder_is_none_of_a_cluster_s(monkeypatch: pytest.MonkeyPatch) -> None:
    made("--name", "ann")
    Path("data/api_key").write_text("s3cret\n")
    monkeypatch.setenv("QUEUE", "procrastinate")
    assert " ann " in keys("list").stdout and "data/api_key" not in keys("list").stdout
    result = keys("revoke", "default")
    assert result.exit_code == 1 and "There is no such key" in result.stderr and "take it out" not in result.stderr
    key = made("--name", "default")
    result = keys("revoke", "default")
    assert result.exit_code == 0 and f"{key[:16]} of default is revoked" in result.stdout


def test_revoke_takes_an_id_a_name_or_the_key_itself() -> None:
    one, two, three, four = (made("--name", name) for name in ("ann", "ben", "ben", "eve"))
    result = keys("revoke", one)
    assert result.exit_code == 0 and f"{one[:16]} of ann is revoked" in result.stdout and one not in result.output
    result = keys("revoke", "ben")
    assert result.exit_code == 0 and two[:16] in result.stdout and three[:16] in result.stdout
    assert {key.id for key in on_record() if key.revoked_at is None} == {four[:16]}
    for unknown in ("ben", one[:16], "nobody"):
        result = keys("revoke", unknown)
        assert result.exit_code == 1 and "There is no such key, or it is revoked" in result.stderr


def test_key_of_the_settings_is_not_taken_for_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    key = made("--name", "ann")
    monkeypatch.setenv("API_KEYS", "ann:s3cret")
    result = keys("revoke", "ann")
    assert result.exit_code == 1 and "s3cret" not in result.output
    assert f"{key[:16]} of ann is revoked" in result.stdout
    assert "A key of that name is in API_KEYS: take it out there and restart the server." in result.stderr


def test_wrong_folder_is_said_and_gets_no_database(tmp_path: Path) -> None:
    for arguments in (("list",), ("revoke", "ann")):
        result = keys(*arguments, "--data-dir", "elsewhere")
        assert result.exit_code == 1 and "There is no database" in result.stderr
        assert str(tmp_path / "elsewhere" / "whisperx-api.db") in result.stderr
    assert not Path("elsewhere").exists()


def test_folder_and_database_can_be_named() -> None:
    made("--name", "ann", "--data-dir", "here")
    made("--name", "ben", "--database-url", "sqlite+aiosqlite:///other.db")
    assert " ann " in keys("list", "--data-dir", "here").stdout
    assert " ben " in keys("list", "--database-url", "sqlite+aiosqlite:///other.db").stdout
    result = keys("list", "--database-url", "nothing")
    assert result.exit_code == 1 and "DATABASE_URL can't be used" in result.stderr


def test_database_under_a_server_of_another_version_is_left_as_it_is() -> None:
    DATABASE.parent.mkdir()
    empty_at("0004", DATABASE)
    with FileLock("data/lock"):
        result = keys("create", "--name", "ben")
        assert result.exit_code == 1 and result.stdout == ""
        assert "A server of another version is at work on it: restart that with this one" in result.stderr
    with sqlite3.connect(DATABASE) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("0004",)
    made("--name", "ben")
    assert [key.name for key in on_record()] == ["ben"]


def test_keys_are_where_the_setting_says(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    one, two = made("--name", "ann", "--expires", "2099-01-31"), made("--name", "ben", "--scopes", "admin")
    rows = [row.split() for row in keys("list").stdout.splitlines()[1:]]
    assert [(row[0], row[4]) for row in rows] == [(one[:16], "2099-01-31T23:59Z"), (two[:16], "never")]
    assert keys("revoke", "ann").exit_code == 0
    assert [(key.name, key.revoked_at is None) for key in on_record(database_url)] == [("ann", False), ("ben", True)]
    assert not DATABASE.exists()
