"""A real MariaDB for tests: one server for the whole test session (`shared_server`), a fresh
database for each test. As root it runs as `mysql` or `nobody`.

The fixture `mariadb` is a fresh database; tests/conftest.py offers it to all tests. With
HEADRACE_TEST_MYSQL=mysql://user:password@host:port it is one of that server.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

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

MISSING = "MariaDB isn't installed: skipped; apt install mariadb-server"
PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb-admin", "mariadb-tzinfo-to-sql", "mariadb")
ZONES = ("America/New_York",)
"""Zones that sessions can be in; a server that wasn't given any knows none by name."""
_NUMBERS = itertools.count(1)


class MariaDatabase(NamedTuple):
    """One database of the server."""

    host: str
    port: int
    user: str
    password: str
    name: str = ""

    @property
    def url(self) -> str:
        """The address, without the password."""
        return f"mysql://{self.user}@{self.host}:{self.port}/{self.name}"

    def execute(self, *statements: str) -> None:
        """Each in a transaction of its own, in a session of UTC that takes any date."""
        for statement in statements:
            self.rows(statement)

    def end_others(self) -> None:
        """End the sessions in this database, which hold locks as long as their statements run."""
        sessions = "select id from information_schema.processlist where id <> connection_id()"
        for (session,) in self.rows(f"{sessions} and db = '{self.name}'"):
            self.execute(f"kill {session}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query gives, in the server's own texts."""
        import pymysql

        session = "set time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'"
        with closing(
            pymysql.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                database=self.name or None,
                autocommit=True,
                charset="utf8mb4",
                init_command=session,
                conv={},
            )
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDatabase]:
    """The session's server; tests that ask for it are skipped where MariaDB isn't installed."""
    pytest.importorskip(
        "pymysql",
        reason="pymysql isn't installed: skipped; pip install 'headrace-databases[mysql]'",
    )
    if given := os.environ.get("HEADRACE_TEST_MYSQL"):
        parts = urlsplit(given)
        password = unquote(parts.password or "")
        yield MariaDatabase(
            parts.hostname or "127.0.0.1", parts.port or 3306, parts.username or "", password
        )
        return
    if not all(map(_program, PROGRAMS)):
        pytest.skip(MISSING)
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    with sharing(short_folder() / f"headrace-my-{session}", __file__) as address:
        yield MariaDatabase(address["host"], address["port"], "headrace", "s3cret/p@ss")


@pytest.fixture
def mariadb(mariadb_server: MariaDatabase) -> Iterator[MariaDatabase]:
    """A fresh database."""
    name = f"t{os.getpid()}_{next(_NUMBERS)}"
    mariadb_server.execute(f"create database {name} character set utf8mb4")
    made = mariadb_server._replace(name=name)
    try:
        yield made
    finally:
        made.end_others()
        mariadb_server.execute(f"drop database if exists {name}")


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


# The supervisor
# --------------------------------------------------------------------------------------------------


def _started(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    child = child_of(folder, "mysql")
    give_folder(folder / "data", child, 0o700)
    programs = {name: str(_program(name)) for name in PROGRAMS}
    install = [programs["mariadb-install-db"], "--no-defaults", f"--datadir={folder / 'data'}"]
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    with (folder / "log").open("a") as log:
        subprocess.run([*install, *options], check=True, stdout=log, stderr=log, **child)
    server, port = on_a_free_port(lambda port: _run(folder, programs, child, port))
    client = [programs["mariadb"], "--no-defaults", "-uroot", *_at(port)]
    users = "create user headrace identified by 's3cret/p@ss'; grant all on *.* to headrace with grant option;"
    subprocess.run(client, input=users.encode(), check=True)
    for zone in ZONES:
        rows = subprocess.run(
            [programs["mariadb-tzinfo-to-sql"], f"/usr/share/zoneinfo/{zone}", zone],
            check=True,
            stdout=subprocess.PIPE,
        )
        subprocess.run([*client, "mysql"], input=rows.stdout, check=True)
    return server, {"host": "127.0.0.1", "port": port}


def _run(
    folder: Path, programs: dict[str, str], child: dict[str, Any], port: int
) -> subprocess.Popen[bytes]:
    command = [
        programs["mariadbd"],
        "--no-defaults",
        f"--datadir={folder / 'data'}",
        f"--socket={folder / 'data/socket'}",
        f"--pid-file={folder / 'data/pid'}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--skip-log-bin",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=32M",
        "--max-connections=200",
    ]
    probe = [programs["mariadb-admin"], "--no-defaults", "-uroot", *_at(port), "ping"]
    return answering(command, folder, child, probe, signal.SIGTERM)


def _at(port: int) -> tuple[str, ...]:
    return "--protocol=tcp", "--host=127.0.0.1", f"--port={port}"


if __name__ == "__main__":
    where = Path(sys.argv[1])
    supervise(where, lambda: _started(where), signal.SIGTERM)
