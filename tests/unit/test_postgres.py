"""The PostgreSQL that tests run on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.postgres import Postgres, alive, running

ROOT = Path(__file__).parents[2]
HANGS = """
import sys, time
from tests.postgres import running
with running() as server:
    print(server.process.pid, server.folder, flush=True)
    time.sleep(60)
"""


def test_a_database_is_as_new_as_it_says(postgres: Postgres) -> None:
    """Each is empty, and none is another."""
    one, other = postgres.new_database(), postgres.new_database()
    assert one != other
    with postgres.connect(one.rpartition("/")[2]) as connection:
        connection.execute("CREATE TABLE things (id integer)")
    with postgres.connect(other.rpartition("/")[2]) as connection:
        assert connection.execute("SELECT to_regclass('things')").fetchone() == (None,)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_it_comes_back_with_what_was_committed() -> None:
    """After a stop, and after a power cut."""
    with running() as server:
        with server.connect() as connection:
            connection.execute("CREATE TABLE things (id integer)")
        for number, end in enumerate((server.stop, server.kill), start=1):
            with server.connect() as connection:
                connection.execute("INSERT INTO things VALUES (1)")
            end()
            with pytest.raises(psycopg.OperationalError):
                server.connect()
            server.start()
            with server.connect() as connection:
                assert connection.execute("SELECT count(*) FROM things").fetchone() == (number,)
    assert not server.folder.exists()


def test_it_goes_with_a_killed_test_run() -> None:
    """None of its processes is left."""
    run = subprocess.Popen([sys.executable, "-c", HANGS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    pid, folder = run.stdout.readline().split()
    server = psutil.Process(int(pid))
    processes = [server, *server.children()]
    run.kill()
    run.wait()
    deadline = time.monotonic() + 10
    while any(map(alive, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shutil.rmtree(folder)  # a killed run can't
