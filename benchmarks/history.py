"""A store with 1,000,000 attempts beside one with 10,000: what grows with the history?

40 nodes (8 sources, 32 assets in four layers) and four consumers, daily. The history is written
into a real project's store in bulk: attempts, runs, publications (superseded ones too), partitions,
deliveries, checks, profiles, obligations, the audit trail's chain, the journal. 10,000 attempts are
250 days, 1,000,000 are 2,500 days of ten attempts a partition. Each command is measured as a whole
command, the best of its runs; a scheduling pass is `tick` with nothing due, without its start-up.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import Figure, main
from benchmarks.headrace_cli import run
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import COMMANDS
from headrace.project.session import ProjectSession
from headrace.runtime.leadership import hold
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append_all
from headrace.services import run_results  # noqa: F401 - declares `tick`
from headrace.store.engines.sqlite import SqliteTransaction

SOURCES, LAYERS, WIDTH, CONSUMERS = 8, 4, 8, 4
NODES = SOURCES + LAYERS * WIDTH
SIZES = {"10k": (250, 1), "1m": (2500, 10)}
"""Days, and attempts a partition."""
SIZES_QUICK = {"small": (5, 1), "large": (10, 5)}
RUNS, PASSES = 5, 20
HEADRACE = Actor(ActorType.SYSTEM, "headrace")
BY_EPOCH = 1000
"""Attempts of one leader's time."""
BY_TURN = 30
"""Attempts of one row of the journal."""
DAY_US = 86_400_000_000
GOALS = {"status": 0.5, "pass_ms": 20.0}
SETTINGS = '[project]\nname = "history"\ntimezone = "UTC"\n[run]\nworkers = 2\n'
OWNERS = "core: {kind: team, contact: ['mailto:core@example.com']}\n"
MEASURES = '{"rows_in":1000,"rows_out":1000,"bytes_in":20000,"bytes_out":20000,"seconds":0.2,"cpu_seconds":0.1,"peak_memory_bytes":90000000}'
PROFILE = json.dumps(
    [
        {"name": name, "nulls": 0, "distinct": 900, "min": "1", "max": "1000"}
        for name in ("day", "key", "value")
    ]
)


def project(folder: Path, start: dt.date) -> None:
    """Sources and assets, daily from `start` on."""
    for name in ("assets", "sources", "landing"):
        (folder / name).mkdir(parents=True)
    (folder / "headrace.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "owners.yaml").write_text(OWNERS, encoding="utf-8")
    for n in range(SOURCES):
        text = (
            f"source: s{n}\nowner: core\npartition: day\nstart: '{start}'\nfiles:"
            f" 'landing/s{n}_{{date:%Y-%m-%d}}.csv'\n"
        )
        (folder / f"sources/s{n}.yaml").write_text(text, encoding="utf-8")
    for layer in range(LAYERS):
        for n in range(WIDTH):
            above = f"s{n}" if layer == 0 else f"a{layer - 1}_{n}"
            text = (
                "/* headrace\nowner: core\npartition: {by: day, column: day}\nchecks:"
                " [{not_null: [key]}, {unique: [day, key]}]\n*/\nselect day, key, value from"
                f" {above} where day >= $partition_start and day < $partition_end\n"
            )
            (folder / f"assets/a{layer}_{n}.sql").write_text(text, encoding="utf-8")
    consumers = "".join(
        f"- {{consumer: c{n}, owner: core, reads: [a{LAYERS - 1}_{n}], due: '07:00'}}\n"
        for n in range(CONSUMERS)
    )
    (folder / "consumers.yaml").write_text(consumers, encoding="utf-8")


def names() -> list[str]:
    """All nodes, what is read before what reads it."""
    return [f"s{n}" for n in range(SOURCES)] + [
        f"a{layer}_{n}" for layer in range(LAYERS) for n in range(WIDTH)
    ]


def deliver(folder: Path, first: dt.date, days: int) -> None:
    """Real files, so that columns are learnt and tables are made."""
    for day in (first + dt.timedelta(days=n) for n in range(days)):
        for n in range(SOURCES):
            rows = "".join(f"{day},{key},{key * n}\n" for key in range(3))
            (folder / f"landing/s{n}_{day}.csv").write_text(
                f"day,key,value\n{rows}", encoding="utf-8"
            )


class History:
    """Writes the past into a project's store."""

    def __init__(self, database: sqlite3.Connection, start: dt.date, days: int, tries: int) -> None:
        self._db, self._days, self._tries = database, days, tries
        self._keys = [(start + dt.timedelta(days=n)).isoformat() for n in range(days)]
        self._start_us = int(dt.datetime.combine(start, dt.time(), dt.UTC).timestamp() * 1e6)
        self._version = database.execute("select max(id) from version").fetchone()[0]
        self._ids = database.execute("select coalesce(max(id), 0) from publication").fetchone()[0]
        self._runs = database.execute("select coalesce(max(id), 0) from run").fetchone()[0]
        self._deliveries = database.execute("select coalesce(max(id), 0) from delivery").fetchone()[
            0
        ]
        self._attempts = 0

    def write(self) -> int:
        """All days, each day's nodes in order; how many attempts that were."""
        self._db.execute("pragma synchronous = off")
        epoch = self._db.execute("select epoch from lease").fetchone()[0]
        for number, key in enumerate(self._keys):
            self._db.execute("begin")
            self._day(epoch, key, self._start_us + (number + 1) * DAY_US)
            self._db.execute("commit")
        newest = epoch + 1 + self._attempts // BY_EPOCH
        self._db.execute("update lease set epoch = ?", (newest,))
        self._db.execute("delete from checkpoint")
        return self._attempts

    def _day(self, epoch: int, key: str, ended_us: int) -> None:
        rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in INSERTS}
        events = []
        for place, node in enumerate(names()):
            for again in range(self._tries):
                at = ended_us + (again * NODES + place) * 60_000_000 // self._tries
                state = "published" if again % 10 != 3 else "failed"
                events += self._attempt(
                    rows, epoch, node, key, at, state, last=again == self._tries - 1
                )
        self._runs += 1
        rows["run"].append((self._runs, ended_us, ended_us + DAY_US // 24))
        for n in range(CONSUMERS):
            due = ended_us + 7 * DAY_US // 24
            rows["obligation"].append((f"c{n}", key, due, f"c{n}", ended_us + DAY_US // 24))
        for name, sql in INSERTS.items():
            self._db.executemany(sql, rows[name])
        append_all(SqliteTransaction(self._db), ended_us, events)

    def _attempt(
        self,
        rows: dict[str, list[tuple[Any, ...]]],
        first: int,
        node: str,
        key: str,
        at: int,
        state: str,
        *,
        last: bool,
    ) -> list[AuditEvent]:
        self._attempts += 1
        epoch, n = first + 1 + self._attempts // BY_EPOCH, self._attempts
        source, delivery = node.startswith("s"), None
        if source:
            self._deliveries += 1
            delivery = self._deliveries
            path = f"landing/{node}_{key}.csv"
            rows["delivery"].append(
                (
                    delivery,
                    node,
                    key,
                    path,
                    at,
                    at,
                    at,
                    at,
                    f"{n:064x}",
                    "published" if last else "superseded",
                )
            )
        kind, error = (
            "take_in" if source else "produce",
            '{"kind":"transient","message":"it failed"}' if state == "failed" else None,
        )
        rows["attempt"].append(
            (
                epoch,
                n,
                self._runs + 1,
                node,
                kind,
                f'["{key}"]',
                state,
                self._version,
                delivery,
                at,
                at,
                at + 200_000,
                at + 200_000 if state == "published" else None,
                "passed" if state == "published" else None,
                MEASURES,
                error,
            )
        )
        if n % BY_TURN == 0:
            rows["journal"].append((epoch, 2, at, b"\x90", bytes(16)))
        if state == "failed":
            return []
        self._ids += 1
        ended = (None, None) if last else (self._ids + 1, at + 1_000_000)
        rows["publication"].append(
            (
                self._ids,
                node,
                key,
                epoch,
                n,
                self._ids,
                *ended,
                at,
                f"{n:064x}",
                self._version,
                delivery,
            )
        )
        for check in ("not_null_key", "unique_day_key"):
            rows["check"].append((epoch, n, node, key, check, check.rpartition("_")[0], at))
        rows["profile"].append((epoch, n, node, key, PROFILE))
        rows["partition"].append((node, key, self._ids, at))
        seen = {"content_hash": f"{n:064x}", "rows": "1000", "attempt": f"{epoch}.{n}"}
        return [
            AuditEvent(
                action=Action.PARTITION_PUBLISHED,
                actor=HEADRACE,
                object=Object("partition", f"{node}@{key}"),
                after=seen,
            )
        ]


INSERTS = {
    "run": (
        "insert into run (id, kind, request, actor, state, started_at, finished_at) values (?,"
        " 'tick', '{}', 'a', 'succeeded', ?, ?)"
    ),
    "delivery": (
        "insert into delivery (id, source, partition, path, size_bytes, modified_us, claimed_at,"
        " observed_at, arrived_at, sha256, state) values (?, ?, ?, ?, 1000, ?, ?, ?, ?, ?, ?)"
    ),
    "attempt": (
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, version,"
        " delivery_id, queued_at, started_at, finished_at, published_at, verdict, measures, error)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    ),
    "journal": "insert into journal (epoch, slots, at, events, decisions) values (?, ?, ?, ?, ?)",
    "publication": (
        "insert into publication (id, node, partition, epoch, n, snapshot, ended_snapshot,"
        " ended_at, published_at, rows, bytes, verdict, content_hash, version, delivery_id) values"
        " (?, ?, ?, ?, ?, ?, ?, ?, ?, 1000, 20000, 'passed', ?, ?, ?)"
    ),
    "check": (
        "insert into check_result (epoch, n, node, partition, name, kind, severity, outcome, rows,"
        " failing, detail, at) values (?, ?, ?, ?, ?, ?, 'blocking', 'passed', 1000, 0, '', ?)"
    ),
    "profile": "insert into profile (epoch, n, node, partition, columns) values (?, ?, ?, ?, ?)",
    "partition": (
        "insert into partition (node, partition, state, publication_id, since) values (?, ?,"
        " 'published', ?, ?) on conflict (node, partition) do update set publication_id ="
        " excluded.publication_id"
    ),
    "obligation": (
        "insert into obligation (consumer, interval, due_at, promise_id, met_at) values (?, ?, ?,"
        " (select max(id) from promise where consumer = ?), ?) on conflict (consumer, interval) do"
        " nothing"
    ),
}


def build(folder: Path, days: int, tries: int) -> int:
    """A project with that much history, in which nothing is due; how many attempts it has. The last
    two days are real ones.
    """
    today = dt.datetime.now(dt.UTC).date()
    start = today - dt.timedelta(days=days)
    project(folder, start)
    deliver(folder, today - dt.timedelta(days=2), 2)
    run(folder, "apply")
    run(folder, "tick")
    with contextlib.closing(
        sqlite3.connect(folder / ".headrace/state.db", isolation_level=None)
    ) as database:
        attempts = History(database, start, days - 2, tries).write()
    run(folder, "tick")  # judges who was served in all that time
    return attempts


def commands(folder: Path, runs: int) -> dict[str, list[float]]:
    """Seconds of each command, each of its runs."""
    newest = run(folder, "runs")[0]["run_id"]
    commands: dict[str, tuple[str, ...]] = {
        "status": ("status",),
        "runs": ("runs",),
        "one_run": ("runs", str(newest)),
        "logs": ("logs", "a0_0"),
        "why": ("why", "a3_7"),
        "tick": ("tick",),
    }
    return {
        name: [_seconds(folder, *arguments) for _ in range(runs)]
        for name, arguments in commands.items()
    }


def _seconds(folder: Path, *arguments: str) -> float:
    began = time.perf_counter()
    run(folder, *arguments)
    return time.perf_counter() - began


def passes(folder: Path, count: int) -> tuple[float, list[float]]:
    """Seconds until a leader stands ready, and milliseconds of each scheduling pass in which
    nothing is due.
    """
    with leader(folder) as (started, one_pass):
        one_pass()
        result = []
        for _ in range(count):
            began = time.perf_counter()
            one_pass()
            result.append(1000 * (time.perf_counter() - began))
    return started, result


@contextlib.contextmanager
def leader(folder: Path) -> Iterator[tuple[float, Callable[[], None]]]:
    """A leader in this process: the seconds until it was ready, and a pass of it."""
    session = ProjectSession.open(folder, "prod", None, "benchmark")
    with hold(
        session.root, session.settings, actor=Actor(ActorType.SERVICE, "benchmark"), now=None
    ) as held:
        context = CommandContext(session, held)
        began = time.perf_counter()
        context.leader()
        started = time.perf_counter() - began

        def one_pass() -> None:
            work: Any = COMMANDS["tick"].do(context)
            number = work.leader.begin(work.order)
            while work.leader.result(number) is None:
                work.leader.step()

        yield started, one_pass


def measure(*, quick: bool) -> list[Figure]:
    """Both sizes, the small one beside the large one."""
    result: dict[str, dict[str, list[float]]] = {}
    for size, (days, tries) in (SIZES_QUICK if quick else SIZES).items():
        with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
            folder = Path(name, "history")
            began = time.perf_counter()
            attempts = build(folder, days, tries)
            print(
                f"  {attempts:,} attempts written in {time.perf_counter() - began:.0f} s …",
                file=sys.stderr,
            )
            for command, taken in commands(folder, 1 if quick else RUNS).items():
                result.setdefault(command, {})[size] = taken
            started, taken = passes(folder, 2 if quick else PASSES)
            result.setdefault("leader_ready", {})[size] = [started]
            result.setdefault("pass_ms", {})[size] = taken
            size_mb = (folder / ".headrace/state.db").stat().st_size / 1e6
            result.setdefault("disk_mb", {})[size] = [size_mb]
    return [_figure(name, runs) for name, runs in result.items()]


def _figure(name: str, by_size: dict[str, list[float]]) -> Figure:
    (small, small_runs), (large, large_runs) = by_size.items()
    unit = name.rpartition("_")[2] if name.endswith(("_ms", "_mb")) else "s"
    return Figure(
        name=f"{name}_{large}",
        value=min(large_runs),
        unit=unit.replace("mb", "MB"),
        goal=GOALS.get(name),
        runs=large_runs,
        against={small: min(small_runs)},
    )


if __name__ == "__main__":
    main(__doc__, measure)
