"""Small projects that really run: declarations in a folder, real deliveries, real workers, a
replayed clock.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgres_cluster import Database
from warm_fork_servers import headrace

from headrace.project.session import ProjectSession, Silent
from headrace.responses import RunResponse
from headrace.services.run import run
from headrace.services.run_results import tick
from headrace.store.postgresql_dialect import translated

ORDERS = ["order_id,customer,amount,day"]
NOW = datetime.fromisoformat("2025-01-10T12:00:00+00:00")
DAYS = [f"2025-01-{d:02d}" for d in range(1, 8)]
BEGUN: list[subprocess.Popen[str]] = []
"""Processes that the running test began, each a session of its own: none outlives it, or keeps its
pipes open."""


SETTINGS = '[project]\nname = "lab"\ntimezone = "UTC"\n[run]\nworkers = 2\n'


def end_begun() -> None:
    """Kill what is still there, and close its pipes."""
    while BEGUN:
        with BEGUN.pop() as process:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


class Lab:
    """A project with one daily source, `orders`; assets are added as files."""

    def __init__(self, root: Path, database: Database | None = None) -> None:
        """With a database, the state and the catalog are in PostgreSQL; its password is in the
        environment as PG_PASSWORD.
        """
        self.root = root
        self.database = database
        self.now = NOW
        for folder in ("assets", "sources", "landing"):
            (root / folder).mkdir(parents=True)
        self.write(
            "headrace.toml", SETTINGS + (f'[store]\nurl = "{self.url}"\n' if database else "")
        )
        self.write(
            "owners.yaml",
            "core: {kind: team, contact: ['mailto:core@example.com']}\nacme: {kind: vendor}\n",
        )
        self.write(
            "sources/orders.yaml",
            "source: orders\nowner: acme\npartition: day\nrestate_within: 30d\nfiles:"
            " landing/orders_{date:%Y-%m-%d}.csv\n",
        )

    @property
    def url(self) -> str:
        assert self.database is not None
        return self.database.url_without_password.replace("@", ":${PG_PASSWORD}@")

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text, encoding="utf-8")

    def sql(self, name: str, body: str, front: str = "partition: {by: day, column: day}") -> None:
        self.write(f"assets/{name}.sql", f"/* headrace\nowner: core\n{front}\n*/\n{body}\n")

    def python(self, name: str, body: str, **declared: Any) -> None:
        arguments = ", ".join(
            f"{key}={value!r}" for key, value in {"owner": "core", **declared}.items()
        )
        self.write(
            f"assets/{name}.py",
            f"from headrace import asset, Context\n\n@asset({arguments})\n{body}\n",
        )

    def deliver(self, day: str, rows: list[str], header: str = ORDERS[0]) -> None:
        path = self.root / f"landing/orders_{day}.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        past = path.stat().st_mtime - 3600 + len(rows)
        os.utime(path, (past, past))

    def orders(self, day: str, n: int = 10, amount: str = "1.50") -> None:
        self.deliver(day, [f"{day[-2:]}{i},c{i % 3},{amount},{day}" for i in range(n)])

    def session(self) -> ProjectSession:
        self.now += timedelta(minutes=1)
        return ProjectSession.open(self.root, "prod", self.now.isoformat(), "tester")

    def tick(self) -> RunResponse:
        with closing(self.session()) as session:
            return tick(session, progress=Silent())

    def run(self, *select: str, **how: Any) -> RunResponse:
        given = {
            "exclude": [],
            "partitions": [],
            "first": None,
            "last": None,
            "again": False,
            "reason": None,
            **how,
        }
        with closing(self.session()) as session:
            return run(session, list(select), progress=Silent(), **given)

    def headrace(self, *arguments: str, code: int | None = 0) -> Any:
        """The command in a process of its own; its JSON."""
        done = headrace(
            [*arguments, "--json", "--project", str(self.root)], Path.cwd(), os.environ, 150
        )
        assert code is None or done.returncode == code, f"exit {done.returncode}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "headrace", *arguments, "--json", "--project", str(self.root)]

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the store holds, read by another connection."""
        if self.database is not None:
            return self.database.rows(
                translated(sql) if parameters else sql,
                parameters or None,
                schemas="headrace, headrace_lake",
            )
        with sqlite3.connect(f"file:{self.root}/.headrace/state.db?mode=ro", uri=True) as db:
            return db.execute(sql, parameters).fetchall()

    def read(self, name: str) -> list[dict[str, Any]]:
        """The rows of an asset, by day: a table has them in the order in which its partitions were
        published, which nobody promises."""
        rows: list[dict[str, Any]] = self.headrace("read", name, "--format", "json")["rows"]
        return sorted(
            rows, key=lambda row: (str(row.get("day")), [str(value) for value in row.values()])
        )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A project, whose processes end with the test."""
    yield Lab(tmp_path / "p")
    end_begun()


def copied(lab: Lab, root: Path) -> Lab:
    """The project as it is now, in a folder that doesn't exist yet."""
    shutil.copytree(lab.root, root, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    other = copy.copy(lab)
    other.root = root
    return other


def built_once(build: Callable[[Path], Lab]) -> Any:
    """A fixture: the project that `build` makes in an empty folder, once for each test process, of
    which each test gets a copy."""
    templates: list[Lab] = []

    @pytest.fixture(name=build.__name__)
    def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
        if not templates:
            templates.append(build(tmp_path_factory.mktemp("template") / "p"))
        return copied(templates[0], tmp_path / "p")

    return project


def three_days(root: Path, settings: str, *, consumers: str = "[]\n", **assets: str) -> Lab:
    """A project of `clean` and what is made of it by day, each name with its SQL; its first three
    days are published."""
    lab = Lab(root)
    lab.write("headrace.toml", settings)
    lab.write("consumers.yaml", consumers)
    for name, body in {
        "clean": "select order_id, customer, amount, day from orders",
        **assets,
    }.items():
        lab.sql(name, body)
    for day in DAYS[:3]:
        lab.orders(day)
    lab.tick()
    return lab


def published(response: RunResponse) -> list[tuple[str, str]]:
    return sorted((p.asset, p.partition) for p in response.published)


def lab_on(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab whose state is in what the fixture's parameter names: `sqlite` or `postgresql`."""
    if request.param == "sqlite":
        return Lab(root)
    database = request.getfixturevalue("postgresql_state")
    monkeypatch.setenv("PG_PASSWORD", database.password)
    return Lab(root, database)
