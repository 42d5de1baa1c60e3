"""A small project with all that a crash could break, run in processes of their own that are killed;
and what it must come to.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from headrace.faults import FaultPoint

NOW = "2025-02-02T12:00:00+00:00"
DAYS = ("2025-01-30", "2025-01-31", "2025-02-01")
ROWS = 6
OLD_SECONDS = 946_684_800
"""The year 2000: files of then are old enough to be deleted, whatever a replay's clock says."""
RUN_SECONDS_MAX = 120
MODULE = (sys.executable, "-m", "headrace")

SETTINGS = """[project]
name = "faults"
timezone = "UTC"
[run]
workers = 2
[connections.warehouse]
type = "sqlite"
path = "${WAREHOUSE}"
"""
OWNERS = "core: {kind: team, contact: ['mailto:core@example.com']}\nacme: {kind: vendor}\n"
SOURCE = (
    "source: orders\nowner: acme\npartition: day\nstart: {start}\nfiles:"
    " landing/orders_{{date:%Y-%m-%d}}.csv\n"
)
CONSUMERS = """- consumer: to-files
  owner: core
  reads: [clean]
  due: '07:00'
  export: {to: "exports/clean_{date:%Y-%m-%d}.csv"}
- consumer: to-table
  owner: core
  reads: [running]
  due: '07:00'
  export: {to: {connection: warehouse, table: running}}
"""
DAILY = "partition: {by: day, column: day}"
ASSETS = {
    "clean": (
        f"{DAILY}\nchecks:\n  - unique: [order_id]",
        (
            "select order_id, customer, cast(amount as decimal(9,2)) as amount, cast(day as date)"
            " as day from orders"
        ),
    ),
    "monthly": (
        "partition: {by: month, column: month}\nstart: 2025-01",
        (
            "select cast(date_trunc('month', day) as date) as month, sum(amount) as amount from"
            " clean group by all"
        ),
    ),
    "latest": (
        "partition: day\nmaterialize: merge\nmerge: {keys: [customer]}",
        "select customer, max(amount) as amount, max(day) as changed from clean group by customer",
    ),
    "history": (
        "partition: day\nmaterialize: snapshot\nsnapshot: {keys: [customer]}",
        "select customer, sum(amount) as amount from clean group by customer",
    ),
    "running": (
        DAILY,
        """select day, cast(amount + coalesce((select max(total) from $self), 0) as decimal(18,2)) as total
        from (select day, sum(amount) as amount from clean group by day)""",
    ),
    "by_customer": (
        "partition: [{by: day, column: day}, {key: customer, values: [c0, c1]}]",
        (
            "select day, customer, count(*) as n from clean where customer = $partition_key group"
            " by all"
        ),
    ),
}
PYTHON = """from headrace import asset, Context

@asset(owner='core', partition={'by': 'day', 'column': 'day'}, inputs=['clean'])
def scored(ctx: Context, clean):
    return clean.select(['order_id', 'day'])

@asset(owner='core', partition='day', inputs=['clean'], materialize='files')
def letter(ctx: Context, clean):
    (ctx.output_directory / 'letter.txt').write_text(f'{ctx.partition}: {clean.num_rows}')
"""
TABLES = (*ASSETS, "scored", "orders")


CHECKPOINTS = "import headrace.runtime.event_log as it\nit.CHANGES_MAX, it.CHANGES_WORTH = 3, 1\n"
"""As a large project does, write down what the core knows every few turns."""


Process = Callable[
    [Sequence[str], Path, Mapping[str, str], float], subprocess.CompletedProcess[str]
]


def started(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """`headrace ARGUMENTS`, started as users do."""
    return subprocess.run(
        [*MODULE, *arguments],
        cwd=cwd,
        env=env,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )


class Ended(NamedTuple):
    """How a process ended. `code` is negative where a signal ended it."""

    code: int
    out: str
    said: str

    @property
    def killed(self) -> bool:
        return self.code < 0


class World(NamedTuple):
    """What a project has come to, as far as the outside can see it."""

    publications: dict[tuple[str, str], tuple[str | None, int]]
    """Node, partition → content and rows of what is published now."""
    rows: dict[str, tuple[int, str]]
    """Table → how many rows, and a hash of them, in whatever order."""
    files: dict[str, str]
    """What was exported to files."""
    exported: list[tuple[Any, ...]]
    """What was exported to a table."""
    states: Counter[str]
    """State → partitions in it."""


class Project:
    """A project in a folder; every command is a process."""

    undisturbed: Process = staticmethod(started)
    """Runs what no fault is armed for; tests have it forked, which starts quicker."""

    def __init__(self, root: Path, now: str | None = NOW) -> None:
        """`now` None: it lives in the present."""
        self.root = root
        self.now = ("--now", now) if now else ()
        self.tables: Sequence[str] = TABLES
        self.differing: Sequence[str] = ()
        """Nodes whose content differs each time, as of a report that names its attempt."""
        self._preloaded = ""

    def declare(self, days: Sequence[str] = DAYS) -> Project:
        """Write declarations and deliveries."""
        for folder in ("assets", "sources", "landing"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "headrace.toml").write_text(SETTINGS)
        (self.root / "owners.yaml").write_text(OWNERS)
        (self.root / "sources/orders.yaml").write_text(SOURCE.format(start=days[0]))
        (self.root / "consumers.yaml").write_text(CONSUMERS)
        (self.root / "assets/python.py").write_text(PYTHON)
        for name, (front, body) in ASSETS.items():
            (self.root / f"assets/{name}.sql").write_text(
                f"/* headrace\nowner: core\n{front}\n*/\n{body}\n"
            )
        for number, day in enumerate(days):
            # ids without leading zeros: which type is learnt mustn't depend on which delivery is
            # first
            self.deliver(day, [f"1{number}{n},c{n % 2},{n + number}.50,{day}" for n in range(ROWS)])
        return self

    def preload(self, code: str) -> Project:
        """Have every process of the project run this before anything else."""
        folder = self.root / "preloaded"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code)
        self._preloaded = str(folder)
        return self

    def deliver(self, day: str, lines: list[str]) -> None:
        path = self.root / f"landing/orders_{day}.csv"
        path.write_text("\n".join(["order_id,customer,amount,day", *lines]) + "\n")
        os.utime(path, (OLD_SECONDS, OLD_SECONDS + len(lines)))

    @property
    def data(self) -> Path:
        return self.root / ".headrace"

    # Processes

    def start(self, *command: str, fault: str = "", **more: str) -> subprocess.Popen[str]:
        """A command in a process group of its own, so that all of it can be ended."""
        return subprocess.Popen(
            [*MODULE, *self._line(command)],
            env=self._environment(fault, more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _line(self, command: Sequence[str]) -> list[str]:
        return [
            *command,
            "--json",
            *([] if command[0] == "demo" else ["--project", str(self.root)]),
        ]

    def _environment(self, fault: str, more: Mapping[str, str]) -> dict[str, str]:
        armed = (
            {"HEADRACE_FAULT": fault, "HEADRACE_FAULT_ONCE": str(self.root / "fired")}
            if fault
            else {}
        )
        return {
            **os.environ,
            "WAREHOUSE": str(self.root / "warehouse.db"),
            **self._paths(),
            **armed,
            **more,
        }

    def _paths(self) -> dict[str, str]:
        paths = [self._preloaded, os.environ.get("PYTHONPATH", "")]
        return {"PYTHONPATH": os.pathsep.join(filter(None, paths))} if self._preloaded else {}

    def run(self, *command: str, fault: str = "", **more: str) -> Ended:
        if not fault and not more:
            done = self.undisturbed(
                self._line(command), Path.cwd(), self._environment("", {}), RUN_SECONDS_MAX
            )
            return Ended(done.returncode, done.stdout, done.stderr)
        process = self.start(*command, fault=fault, **more)
        out, said = process.communicate(timeout=RUN_SECONDS_MAX)
        return Ended(process.returncode, out, said)

    def tick(self, *, fault: str = "", **more: str) -> Ended:
        return self.run("tick", *self.now, fault=fault, **more)

    def document(self, *command: str) -> Any:
        """A command's document; it must succeed."""
        ended = self.run(*command)
        assert ended.code == 0, ended.said
        return json.loads(ended.out)

    def finish(self) -> None:
        """Tick until nothing is due, as whoever restarts the runtime would. What lost three workers
        waits for a person, who asks for it.
        """
        for _ in range(5):
            ended = self.tick()
            assert ended.code == 0, ended.said
            poisoned = self.sql(
                "select distinct node from partition where state = 'failed' and reason like 'its"
                " worker %'"
            )
            if poisoned:
                self.document("run", *(node for (node,) in poisoned), *self.now)
            elif json.loads(ended.out)["state"] == "nothing_due":
                return
        raise AssertionError(f"it doesn't come to an end: {ended.out[:2000]}")

    def fired(self) -> str:
        """The point at which a fault has struck since this was asked last; empty if none has."""
        path = self.root / "fired"
        if not path.exists():
            return ""
        said = path.read_text()
        path.unlink()
        return said

    # What it came to

    def sql(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the store holds."""
        with sqlite3.connect(f"file:{self.data}/state.db?mode=ro", uri=True) as db:
            return db.execute(sql, parameters).fetchall()

    def sql_if_any(self, sql: str) -> list[tuple[Any, ...]]:
        """The same of a store that may not have been made yet."""
        try:
            return self.sql(sql)
        except sqlite3.OperationalError:
            return []

    def world(self) -> World:
        published = self.sql(
            "select node, partition, content_hash, rows from publication where ended_snapshot is"
            " null"
        )
        exports = self.root / "exports"
        return World(
            publications={
                (node, key): (None if node in self.differing else content, rows)
                for node, key, content, rows in published
            },
            rows=self._rows(),
            files=(
                {path.name: path.read_text() for path in exports.iterdir()}
                if exports.exists()
                else {}
            ),
            exported=self._exported(),
            states=Counter(state for (state,) in self.sql("select state from partition")),
        )

    def _rows(self) -> dict[str, tuple[int, str]]:
        parts = [
            f"select '{name}' as name, count(*) as n, cast(bit_xor(hash(t)) as varchar) as h from"
            f" {name} t"
            for name in self.tables
        ]
        return {
            row["name"]: (row["n"], row["h"])
            for row in self.document("sql", " union all ".join(parts))["rows"]
        }

    def _exported(self) -> list[tuple[Any, ...]]:
        if not (self.root / "warehouse.db").exists():
            return []
        with sqlite3.connect(self.root / "warehouse.db") as db:
            return sorted(db.execute("select * from running").fetchall())

    def age(self) -> None:
        """Make all files of the data folder old, so that what nothing names may be deleted."""
        for path in self.data.rglob("*"):
            if path.is_file() and path.suffix not in (".db", ".db-wal", ".db-shm"):
                os.utime(path, (OLD_SECONDS, OLD_SECONDS))
        for folder in (self.data / "files").glob("*/*"):
            os.utime(folder, (OLD_SECONDS, OLD_SECONDS))

    def leftovers(self) -> set[str]:
        """Files that the state doesn't name: of the lake, of `files` assets, half-written ones."""
        named = {
            str(row[0])
            for row in self.sql(
                "select path from ducklake_data_file union select path from ducklake_delete_file"
            )
        }
        named |= {
            str(row[0])
            for row in self.sql("select path from ducklake_files_scheduled_for_deletion")
        }
        named = {Path(path).name for path in named}
        lost = {
            path.name for path in (self.data / "lake").rglob("*.parquet") if path.name not in named
        }
        manifests = " ".join(
            str(row[0])
            for row in self.sql("select manifest from publication where manifest is not null")
        )
        lost |= {
            str(path) for path in (self.data / "files").glob("*/*") if path.name not in manifests
        }
        lost |= {str(path) for path in self.data.rglob("*.tmp")}
        return lost | {str(path) for path in (self.root / "exports").glob(".headrace*")}


def leftovers_after_gc(project: Project) -> set[str]:
    """What nothing names, once the garbage of old files is collected."""
    if project.leftovers():
        project.age()
        project.document("db", "gc")
    return project.leftovers()


def started_by(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have: workers, and what forks
    them."""
    try:
        children = [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []
    return [*children, *(grandchild for child in children for grandchild in started_by(child))]


def verify(project: Project, wanted: World) -> None:
    """What was disturbed has come to the same as what wasn't, exactly once, and can be
    relied on."""
    result = project.world()
    for name in World._fields:
        assert getattr(result, name) == getattr(wanted, name), (
            f"{name}: {_differing(getattr(result, name), getattr(wanted, name))}"
        )
    twice = (
        "select node, partition, count(*) from publication where ended_snapshot is null group by 1,"
        " 2 having count(*) > 1"
    )
    assert project.sql(twice) == []
    assert project.sql("select count(*) from attempt where state in ('queued', 'running')") == [
        (0,)
    ]
    sound(project)


def sound(project: Project) -> None:
    """State, catalog, files and event log agree, and the audit trail with them."""
    checked = project.document("db", "check", "--deep")
    assert checked["ok"], (checked["findings"], checked["differences"])
    verified = project.document("audit", "verify")
    assert verified["reconciled"], verified["missing"]


def _differing(result: Any, wanted: Any) -> str:
    if not isinstance(result, dict):
        return f"{result} instead of {wanted}"
    return str(
        {
            key: (result.get(key), wanted.get(key))
            for key in result.keys() | wanted.keys()
            if result.get(key) != wanted.get(key)
        }
    )


def published_once(project: Project) -> list[tuple[Any, ...]]:
    """Partitions that were published more often than once although nothing that they read came a
    second time.
    """
    return project.sql(
        "select node, partition, count(*) from publication group by 1, 2 having count(*) > 1"
    )


def passed(trace: Path) -> Counter[FaultPoint]:
    """How often each point was passed, by the trace of a run."""
    return Counter(FaultPoint(line.split()[0]) for line in trace.read_text().splitlines())


def strikes(trace: Path, point: FaultPoint, time: int) -> int:
    """How many processes came to a point so often, by the trace of a run."""
    times = Counter(
        pid
        for passed_point, pid in map(str.split, trace.read_text().splitlines())
        if passed_point == point
    )
    return sum(1 for count in times.values() if count >= time)
