"""A real PostgreSQL for tests: one cluster for the whole test session, a fresh database for each
test.

Test processes (pytest-xdist's workers too) share one cluster. Each holds a shared lock on a file; a
supervisor process, which is `postgres`' parent, waits for the exclusive lock, which it gets when
the last of them has ended, however it ended, and then stops the cluster and removes its folder.
PostgreSQL refuses to run as root: there it runs as `postgres` or `nobody`.

Fixtures: `cluster` (session) and `postgresql` (a fresh database); tests/conftest.py offers them to
all tests. A test that stops or freezes the server takes one of its own: `own_cluster`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

MISSING = "PostgreSQL isn't installed: skipped; apt install postgresql"
USER, PASSWORD = "headrace", "s3cret/p@ss:w0rd%41"
"""A password that breaks whoever doesn't escape it in a URL."""
START_SECONDS = 100.0
_TUNING = {  # nothing here must outlive a power cut
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
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
        self.main.execute(f"create database {made.name} template {template}")
        try:
            yield made
        finally:
            if not self._crashed:
                self.main.execute(f"drop database if exists {made.name} with (force)")

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
        self._again = _run(folder, bin_folder, _child_of(folder), self.main.port)
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
    short = (
        Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
    )  # a socket's path has 107 characters at most
    with sharing(short / f"headrace-pg-{session}") as address:
        server = address.pop("server")
        yield Cluster(address, server)


@contextlib.contextmanager
def sharing(folder: Path) -> Iterator[dict[str, Any]]:
    """The address of the cluster in a folder, started by whoever comes first."""
    with _shared_lock(folder):
        with (folder / "start.lock").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if not (folder / "address.json").exists():
                _spawn(folder)
        yield json.loads((folder / "address.json").read_text())


@contextlib.contextmanager
def _shared_lock(folder: Path) -> Iterator[None]:
    """Held while this process uses the cluster. Tried again where the supervisor removed the folder
    meanwhile.
    """
    while True:
        folder.mkdir(mode=0o755, exist_ok=True)
        path = folder / "users.lock"
        users = path.open("a")
        with users:
            fcntl.flock(users, fcntl.LOCK_SH)
            if path.exists() and path.stat().st_ino == os.fstat(users.fileno()).st_ino:
                yield
                return


def _spawn(folder: Path) -> None:
    """Start the supervisor, as nobody's child: it outlives us by design."""
    start = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", start, sys.executable, __file__, str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + START_SECONDS
    while not (folder / "address.json").exists():
        if (folder / "failure").exists() or time.monotonic() > until:
            said = [
                (folder / name).read_text()
                for name in ("failure", "log")
                if (folder / name).exists()
            ]
            raise RuntimeError("PostgreSQL doesn't start: " + "\n".join(said))
        time.sleep(0.02)


# The supervisor
# --------------------------------------------------------------------------------------------------


def _serve(folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted test session still ends its tests
    bin_folder = binaries()
    assert bin_folder is not None
    child = _child_of(folder)
    _make(folder, bin_folder, child)
    server, port = _start(folder, bin_folder, child)
    address = {
        "host": "127.0.0.1",
        "port": port,
        "user": USER,
        "password": PASSWORD,
        "socket_folder": str(folder / "run"),
        "server": server.pid,
    }
    (folder / "address.new").write_text(json.dumps(address))
    (folder / "address.new").rename(folder / "address.json")
    with (folder / "users.lock").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        (folder / "address.json").unlink()
        server.send_signal(signal.SIGQUIT)
        server.send_signal(signal.SIGCONT)  # it may have been frozen
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _other_user() -> dict[str, Any]:
    """Who runs it, if we are root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            result = pwd.getpwnam(name)
            return {"user": result.pw_uid, "group": result.pw_gid, "extra_groups": []}
    raise RuntimeError("there is no user postgres, and no nobody")


def _make(folder: Path, bin_folder: Path, child: dict[str, Any]) -> None:
    for name, mode in (("data", 0o700), ("run", 0o755)):
        (folder / name).mkdir(mode=mode)
        if "user" in child:
            os.chown(folder / name, child["user"], child["group"])
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


def _start(
    folder: Path, bin_folder: Path, child: dict[str, Any]
) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(5):  # another process may take the port between our look and its start
        port = _free_port()
        with contextlib.suppress(ChildProcessError):
            return _run(folder, bin_folder, child, port), port
    raise RuntimeError("no attempt to start it succeeded")


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
    with (folder / "log").open("a") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509
            **child,
        )
    while server.poll() is None:
        if (
            subprocess.run(
                [bin_folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
            ).returncode
            == 0
        ):
            return server
        time.sleep(0.02)
    raise ChildProcessError("it ended before it answered")


def _child_of(folder: Path) -> dict[str, Any]:
    return {"cwd": folder, **_other_user()}


def _die_with_parent() -> None:
    """Linux: a supervisor that is killed takes the server with it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGQUIT))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    where = Path(sys.argv[1])
    try:
        _serve(where)
    except BaseException as error:
        (where / "failure").write_text(repr(error))
        raise
