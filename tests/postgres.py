"""A PostgreSQL of the tests' own, of Debian's package: in a folder of its own, on 127.0.0.1, gone with its test run."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.server import free_port

INSTALLED = Path("/usr/lib/postgresql")
USERS = ("postgres", "nobody")
"""Who runs it where the tests are run by root: PostgreSQL refuses root."""
NAME, PASSWORD = "whisperx", "of-the-tests"
PR_SET_PDEATHSIG = 1
LONGEST = 30
"""Seconds that it may take to start, or to stop."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "timezone": "Asia/Kolkata",  # so that a time that is taken for UTC is seen to be none
    "autovacuum": "off",
}


@dataclass
class Postgres:
    """One server; `start` after `stop` or `kill` starts it on the same data and port again."""

    folder: Path
    programs: Path
    user: str | None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))
    """What it is started with."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database that is there from the start, `postgres`."""
        return self.url_of("postgres")

    @property
    def log(self) -> Path:
        """What it has said."""
        return self.folder / "log"

    def url_of(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database, there or not."""
        return f"postgresql+psycopg://{NAME}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a connection that commits each statement by itself."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user=NAME, password=PASSWORD, autocommit=True
        )

    def new_database(self, like: str = "template1") -> str:
        """Make a database, empty or `like` another to which nobody is connected, and return its URL.

        It goes with the server.
        """
        name = f"test{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"'.encode())
        return self.url_of(name)

    def empty(self, url: str, tables: Sequence[str]) -> None:
        """Delete all rows of a database's tables, and begin their numbers anew; who is connected to it is cut off."""
        name = url.rpartition("/")[2]
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        with self.connect(name) as connection:
            connection.execute(others, [name])
            connection.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE".encode())

    def rows(self, url: str) -> dict[str, str]:
        """Return all that is in the tables of a database, each table's rows as text."""
        with self.connect(url.rpartition("/")[2]) as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            return {
                name: "\n".join(row for (row,) in connection.execute(f'SELECT t::text FROM "{name}" t'.encode()))
                for (name,) in names
            }

    def drop_database(self, url: str) -> None:
        """Delete a database to make room, whoever is connected to it. It may take as long as PostgreSQL is busy."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)'.encode())

    def make(self) -> None:
        """Make its files."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if self.user:
            shutil.chown(secret, self.user)
        made = subprocess.run(
            [
                self.programs / "initdb", "-D", self.folder / "data", "-U", NAME, "--pwfile", secret, "-E", "UTF8",
                "--locale=C", "--auth-host=scram-sha-256", "--auth-local=trust", "--no-sync", "--no-instructions",
            ],
            user=self.user, group=self._group, extra_groups=self._no_groups, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout

    def start(self) -> None:
        """Start it, and wait until it can be asked."""
        assert self.process is None, "it runs"
        settings = self.settings | {"port": str(self.port), "unix_socket_directories": str(self.folder)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.programs / "postgres", "-D", self.folder / "data",
                    *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                ],
                user=self.user, group=self._group, extra_groups=self._no_groups, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,  # Ctrl-C is not for it
                preexec_fn=partial(_die_with_parent, ctypes.CDLL(None), os.getpid()),
            )  # fmt: skip
        began = time.monotonic()
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() - began > LONGEST:
                self.kill()
                raise AssertionError(f"PostgreSQL did not start:\n{self.log.read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it as an administrator does: who is connected is disconnected. It may be stopped already."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(LONGEST)
            finally:
                self.kill()

    def kill(self) -> None:
        """End all its processes at once, as a power cut would."""
        if self.process is None:
            return
        started: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            started = psutil.Process(self.process.pid).children()
        self.process.kill()
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        while any(map(alive, started)):
            time.sleep(0.005)
        self.process = None

    def _ready(self) -> bool:
        """Return whether it says so, in the file that it keeps for that."""
        assert self.process is not None
        try:
            said = (self.folder / "data" / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return said[0] == str(self.process.pid) and said[7:8] != [] and said[7].startswith("ready")

    @property
    def _group(self) -> int | None:
        return pwd.getpwnam(self.user).pw_gid if self.user else None

    @property
    def _no_groups(self) -> list[int] | None:
        return [] if self.user else None


def programs() -> Path:
    """Return the folder of the newest PostgreSQL's programs; fails the test where there is none."""
    versions = [path.parent for path in INSTALLED.glob("*/bin/initdb")]
    if not versions:
        pytest.fail(f"There is no PostgreSQL in {INSTALLED}: install postgresql.")
    return max(versions, key=lambda path: float(path.parent.name))


@contextmanager
def running() -> Iterator[Postgres]:
    """Give a PostgreSQL that runs, in a folder of its own; it is stopped and deleted in the end.

    The folder is not one of pytest's: another user than root could not look into that.
    """
    user = next((name for name in USERS if _is_there(name)), None) if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if user:
            shutil.chown(folder, user)
        server = Postgres(folder, programs(), user)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def alive(process: psutil.Process) -> bool:
    """Return whether a process still runs: one that has ended may wait for somebody to take note of it."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _is_there(user: str) -> bool:
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


def _die_with_parent(libc: ctypes.CDLL, parent: int) -> None:
    """Have the kernel end this process when the tests do: at once, with all that it has started.

    After the change of user, which would forget it.
    """
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
    if os.getppid() != parent:
        os._exit(1)
