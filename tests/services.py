"""Fixtures for what a cluster needs: PostgreSQL and S3, on 127.0.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend import TABLES
from tests.postgres import Postgres, running
from tests.s3 import ENVIRONMENT, S3, serving
from whisperx_api.jobs.database import open_database


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for all tests: each takes a database of its own. Who stops it starts one with `running`."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def newest(postgres: Postgres) -> str:
    """The URL of a database of the newest schema, for one test after the other."""
    url = postgres.new_database()

    async def migrate() -> None:
        await (await open_database(url)).dispose()

    asyncio.run(migrate())
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tasks, for the test alone: of SQLite, `jobs.db`, and of PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'jobs.db'}"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = request.getfixturevalue("newest")
    yield url
    postgres.empty(url, TABLES)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """An S3 server, for all tests."""
    with serving() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """An S3 server that the environment names, with an empty bucket; it fails no request until it is told to."""
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3_server.url}.items():
        monkeypatch.setenv(name, value)
    s3_server.reset()
    yield s3_server
    s3_server.reset()
