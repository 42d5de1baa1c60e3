"""Headrace's part of benchmarks/overhead.py: each figure as a user gets it, through the command, on
a fresh project.

Rates and hops are read from the attempts in the store (first end to last commit); the rate from the
first dispatch, which waits for workers to start, and that of the whole command stand beside them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import noops
from benchmarks.headrace_cli import COMMAND, run
from benchmarks.peers.servers import answers, free_port, idle, started

READY_TIMEOUT_S = 60.0
SLEEP_S = 0.1
FIRST, NOW = "2013-01-01", "2014-01-02T12:00Z"
LATER = "2018-06-24T12:00Z"
"""The day after 2,000 days, so that no more partitions are expected."""
TIMES = (
    "select queued_at, started_at, finished_at from attempt where state = 'published' order by"
    " finished_at, n"
)


@dataclass
class Ours:
    """Runs of each figure, by name."""

    folder: Path
    repeats: int
    quick: bool
    runs: dict[str, list[float]] = field(default_factory=dict)
    """Figure → value of each run."""
    beside: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Figure → what else was measured of it → value of each run."""

    def measure(self) -> None:
        """Everything on SQLite."""
        tasks, chain, days = (40, 10, 5) if self.quick else (1000, 100, 365)
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("no-ops", lambda: self._rate("tasks_per_second", noops.independent(tasks))),
            (
                "no-ops that publish",
                lambda: self._rate(
                    "tasks_per_second_publishing", noops.independent(tasks, noops.ONE_ROW)
                ),
            ),
            ("days that publish a row", lambda: self._partition_rate(50 if self.quick else 2000)),
            ("a chain", lambda: self._hops(chain)),
            ("a year by day", lambda: self._partitions(days)),
            ("tasks of 100 ms", lambda: self._bookkeeping(4 if self.quick else 100)),
            ("ready, idle", self._served),
        )
        for name, step in steps:
            print(f"  headrace, {name} …", flush=True, file=sys.stderr)
            for _ in range(self.repeats):
                step()
        for size in (100,) if self.quick else (1000, 10000):
            self._load(size)

    def postgresql(self, url_of: Callable[[], contextlib.AbstractContextManager[str]]) -> None:
        """No-ops with the state in PostgreSQL; a fresh database each."""
        for _ in range(self.repeats):
            with url_of() as url:
                self._rate(
                    "tasks_per_second_postgresql",
                    noops.independent(40 if self.quick else 1000),
                    store=url,
                )

    def _add(self, figure: str, value: float) -> None:
        self.runs.setdefault(figure, []).append(value)

    def _besides(self, figure: str, who: str, value: float) -> None:
        self.beside.setdefault(figure, {}).setdefault(who, []).append(value)

    @contextlib.contextmanager
    def _project(self, bodies: list[str], store: str | None = None) -> Iterator[Path]:
        folder = self.folder / "project"
        try:
            noops.write(folder, bodies, store=store)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _rate(self, figure: str, bodies: list[str], *, store: str | None = None) -> None:
        with self._project(bodies, store) as project:
            began = time.perf_counter()
            run(project, "run")
            whole = time.perf_counter() - began
            times = times_of(project, store)
            _all_done(len(times), len(bodies))
        self._add(figure, (len(bodies) - 1) / between_ends(times))
        self._besides(
            figure, "from the first dispatch, workers' start included", len(bodies) / _span(times)
        )
        self._besides(figure, "the whole command", len(bodies) / whole)

    def _partition_rate(self, days: int) -> None:
        """Partitions of one Python asset that are published per second, as `_rate` counts."""
        with self._project(noops.one_row_a_day(FIRST)) as project:
            began = time.perf_counter()
            document = run(
                project, "run", "daily", "--from", FIRST, "--to", _day(days), "--now", LATER
            )
            whole = time.perf_counter() - began
            times = times_of(project)
            _all_done(len(document["published"]), days)
        figure = "partitions_per_second_publishing"
        self._add(figure, (days - 1) / between_ends(times))
        self._besides(
            figure, "from the first dispatch, workers' start included", days / _span(times)
        )
        self._besides(figure, "the whole command", days / whole)

    def _hops(self, count: int) -> None:
        with self._project(noops.chain(count)) as project:
            run(project, "run")
            ends = [row[2] for row in times_of(project)]
            _all_done(len(ends), count)
        between = sorted((b - a) / 1000 for a, b in itertools.pairwise(ends))
        self._add("hop_p50_ms", between[len(between) // 2])
        self._add("hop_p95_ms", between[int(0.95 * len(between))])

    def _partitions(self, days: int) -> None:
        with self._project([]) as project:
            noops.daily(project)
            began = time.perf_counter()
            document = run(
                project, "run", "daily", "--from", FIRST, "--to", _day(days), "--now", NOW
            )
            whole = 1000 * (time.perf_counter() - began) / days
            _all_done(len(document["published"]), days)
            self._add("partition_ms", 1000 * _span(times_of(project)) / days)
        self._besides("partition_ms", "the whole command", whole)

    def _bookkeeping(self, count: int) -> None:
        """Per cent that tasks of 100 ms on two workers take longer than they sleep."""
        with self._project(noops.independent(count, noops.SLEEPING, seconds=SLEEP_S)) as project:
            run(project, "run")
            times = times_of(project)
            _all_done(len(times), count)
        taken = (max(row[2] for row in times) - min(row[1] for row in times)) / 1_000_000
        self._add("bookkeeping_percent", 100 * (taken / (SLEEP_S * count / 2) - 1))

    def _load(self, size: int) -> None:
        for _ in range(self.repeats):
            with self._project(noops.independent(size)) as project:
                began = time.perf_counter()
                run(project, "validate")
                self._add(f"load_{size}_seconds", time.perf_counter() - began)

    def _served(self) -> None:
        with self._project(noops.independent(10)) as project:
            run(project, "run")
            port = free_port()
            command = [str(COMMAND), "serve", "--port", str(port), "--project", str(project)]
            with started(command, self.folder / "serve", {}) as server:
                server.wait(lambda: answers(f"http://127.0.0.1:{port}/readyz"), READY_TIMEOUT_S)
                self._add("ready_seconds", server.ready_seconds)
                spent, memory = idle(
                    [server.process.pid], 1.0 if self.quick else 20.0, 0.5 if self.quick else 5.0
                )
            self._add("idle_cpu_percent", spent)
            self._add("idle_pss_mb", memory)


def times_of(project: Path, store: str | None = None) -> list[Any]:
    """(queued, started, ended) of each attempt that came to its end, in microseconds, in the order
    of their ends.
    """
    if store is not None:
        import psycopg

        with psycopg.connect(store) as connection:
            connection.execute(f'set search_path = "{schema_of_attempts(connection)}"'.encode())
            return connection.execute(TIMES).fetchall()
    with contextlib.closing(sqlite3.connect(project / ".headrace/state.db")) as connection:
        return connection.execute(TIMES).fetchall()


def schema_of_attempts(connection: Any) -> str:
    """Return the schema of the state in a PostgreSQL database that one project uses."""
    row = connection.execute(_SCHEMA_OF_ATTEMPT).fetchone()
    assert row is not None
    return str(row[0])


_SCHEMA_OF_ATTEMPT = (
    "select table_schema from information_schema.tables where table_name = 'attempt'"
)


def _span(times: list[Any]) -> float:
    """Seconds from the first dispatch to the last commit."""
    return float(max(row[2] for row in times) - min(row[0] for row in times)) / 1_000_000


def between_ends(times: list[Any]) -> float:
    """Seconds from the end of the first to the last commit: workers are there."""
    return float(max(row[2] for row in times) - min(row[2] for row in times)) / 1_000_000


def _all_done(result: int, expected: int) -> None:
    if result != expected:
        raise SystemExit(f"{result} of {expected} were done")


def _day(number: int) -> str:
    return (dt.date.fromisoformat(FIRST) + dt.timedelta(days=number - 1)).isoformat()
