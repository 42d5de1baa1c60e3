"""A real PostgreSQL for tests: one cluster for the whole test session (`shared_server`), a fresh
database for each test. As root it runs as `postgres` or `nobody`.

Fixtures: `cluster` (session) and `postgresql` (a fresh database); tests/conftest.py offers them to
all tests. A test that stops or freezes the server takes one of its own: `own_cluster`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from shared_server import (
    answering,
    child_of,
    give_folder,
    on_a_free_port,
    sharing,
    short_folder,
    supervise,
)

MISSING = "PostgreSQL isn't installed: skipped; apt install postgresql"
USER, PASSWORD = "headrace", "s3cret/p@ss:w0rd%41"
"""A password that breaks whoever doesn't escape it in a URL."""
_TUNING = {  # nothing here must outlive a power cut
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "logical",
    "max_wal_senders": "0",
    "max_replication_slots": "20",
    "log_min_messages": "warning",
    "timezone": "America/St_Johns",
}


class Database(NamedTuple):
    """One database of a cluster. By TCP the password is asked for, over the socket it isn't."""

    name: str
    host: str
    port: int
    user: str
    password: str
    socket_folder: str

    @property
    def url(self) -> str:
        """The address with its password."""
        return f"postgresql://{self.user}:{quote(self.password, safe='')}@{self.host}:{self.port}/{self.name}"

    @property
    def url_without_password(self) -> str:
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.name}"

    @property
    def url_of_socket(self) -> str:
        """Needs no password."""
        return f"postgresql://{self.user}@/{self.name}?host={quote(self.socket_folder, safe='')}&port={self.port}"

    def execute(self, *statements: str) -> None:
        """As superuser, each in a transaction of its own."""
        import psycopg

        with psycopg.connect(self.url_of_socket, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(
        self, sql: str, parameters: Any = None, *, schemas: str = "public"
    ) -> list[tuple[Any, ...]]:
        """What a query gives, to the superuser."""
        import psycopg

        with psycopg.connect(
            self.url_of_socket, options=f"-c search_path={schemas.replace(' ', '')}"
        ) as connection:
            return connection.execute(sql.encode(), parameters).fetchall()


class Cluster:
    """A running cluster."""

    def __init__(self, address: dict[str, Any], server: int) -> None:
        self.main = Database(name="postgres", **address)
        """The database `postgres`, for creating others."""
        self._server = server
        self._again: subprocess.Popen[bytes] | None = None
        self._crashed = False
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def fresh(self, template: str = "template1") -> Iterator[Database]:
        """A database that nobody else uses, dropped at the end with whoever is still connected."""
        made = self.main._replace(name=f"t{os.getpid()}_{next(self._numbers)}")
        self.main.execute(f"create database {made.name} template {template} {self._copying}")
        try:
            yield made
        finally:
            if not self._crashed:
                self.main.execute(f"drop database if exists {made.name} with (force)")

    @cached_property
    def _copying(self) -> str:
        """From 15 on it writes a new database to its log unless told otherwise, which takes twice
        as long where nothing is synced.
        """
        version = int(self.main.rows("show server_version_num")[0][0])
        return "strategy file_copy" if version >= 150_000 else ""

    def crash(self) -> None:
        """It ends at once, as by a crash, and has ended with all that served. Only on a cluster of
        one's own.
        """
        self._crashed = True
        os.kill(self._server, signal.SIGQUIT)
        folder = Path(self.main.socket_folder).parent
        while (folder / "data/postmaster.pid").exists() and Path(f"/proc/{self._server}").exists():
            time.sleep(0.005)

    def restart(self) -> None:
        """It ends at once, as by a crash, and comes back at the same address with what its disk
        has. Only on a cluster of one's own.
        """
        self.crash()
        self.start()

    def start(self) -> None:
        """It comes back at the same address after a crash, with what its disk has."""
        folder = Path(self.main.socket_folder).parent
        bin_folder = binaries()
        assert bin_folder is not None
        self.end()
        self._again = _run(folder, bin_folder, child_of(folder, "postgres"), self.main.port)
        self._server, self._crashed = self._again.pid, False

    def end(self) -> None:
        """End what `restart` has started; the supervisor knows of the first server only."""
        if self._again is not None:
            self._again.send_signal(signal.SIGQUIT)
            self._again.wait()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The session's cluster; tests that ask for it are skipped where PostgreSQL isn't installed."""
    with _cluster(
        os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    ) as result:  # all of xdist's workers know that
        yield result


@pytest.fixture
def postgresql(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh database."""
    marked = request.node.get_closest_marker("system")
    assert marked, "a test that starts PostgreSQL has a parameter or fixture that names it"
    with cluster.fresh() as database:
        yield database


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A cluster that the test may stop and freeze."""
    with private_cluster() as result:
        yield result


@contextlib.contextmanager
def private_cluster() -> Iterator[Cluster]:
    """A cluster of the test's own; skips where PostgreSQL isn't installed."""
    with _cluster(uuid.uuid4().hex) as result:
        try:
            yield result
        finally:
            result.end()


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`: that of the PATH, or the newest of Debian's."""
    result = shutil.which("initdb")
    places = [Path(result).resolve().parent] if result else []
    places += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name)
    )
    return next(
        (
            place
            for place in places
            if (place / "initdb").exists() and (place / "postgres").exists()
        ),
        None,
    )


@contextlib.contextmanager
def _cluster(session: str) -> Iterator[Cluster]:
    pytest.importorskip(
        "psycopg", reason="psycopg isn't installed: skipped; pip install 'headrace[postgresql]'"
    )
    if binaries() is None:
        pytest.skip(MISSING)
    with sharing(short_folder() / f"headrace-pg-{session}", __file__) as address:
        server = address.pop("server")
        yield Cluster(address, server)


# The supervisor
# --------------------------------------------------------------------------------------------------


def _started(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    bin_folder = binaries()
    assert bin_folder is not None
    child = child_of(folder, "postgres")
    _make(folder, bin_folder, child)
    server, port = on_a_free_port(lambda port: _run(folder, bin_folder, child, port))
    return server, {
        "host": "127.0.0.1",
        "port": port,
        "user": USER,
        "password": PASSWORD,
        "socket_folder": str(folder / "run"),
    }


def _make(folder: Path, bin_folder: Path, child: dict[str, Any]) -> None:
    for name, mode in (("data", 0o700), ("run", 0o755)):
        give_folder(folder / name, child, mode)
    (folder / "password").write_text(PASSWORD)
    arguments = [
        "--username",
        USER,
        "--pwfile",
        str(folder / "password"),
        "--auth-local",
        "trust",
        "--auth-host",
        "scram-sha-256",
    ]
    arguments += [
        "--encoding",
        "UTF8",
        "--locale",
        "C",
        "--no-sync",
        "--no-instructions",
        "-D",
        str(folder / "data"),
    ]
    with (folder / "log").open("a") as log:
        subprocess.run(
            [bin_folder / "initdb", *arguments], check=True, stdout=log, stderr=log, **child
        )


def _run(
    folder: Path, bin_folder: Path, child: dict[str, Any], port: int
) -> subprocess.Popen[bytes]:
    """The server, once it answers. ChildProcessError if it ends before."""
    given = {
        **_TUNING,
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder / "run"),
    }
    settings = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
    command = [str(bin_folder / "postgres"), "-D", str(folder / "data"), *settings]
    probe = [str(bin_folder / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return answering(command, folder, child, probe, signal.SIGQUIT)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    supervise(where, lambda: _started(where), signal.SIGQUIT)
