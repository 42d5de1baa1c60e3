"""100,000 hours of a source and an asset: what many partitions of one node cost.

Three states are written into the store of a real project in bulk:

- `published`: all hours of both nodes are published;
- `stale`: so they were, and then the asset's code changed: each hour waits for a person's request;
- `missing`: the asset joins a second source, of which only the first hour was ever delivered.

Of each state the processor time of a scheduling pass with nothing to do (without its start-up), of
`why CONSUMER` and `why ASSET` (whole commands), of `apply` of a change of the asset's code
(`published`), and the time and the leader's memory of the ingestion of files with 20,000 hours
each. With `--hours 1000000` the same of a million.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import Figure, main
from benchmarks.headrace_cli import COMMAND, run
from benchmarks.history import INSERTS, MEASURES, leader

HOURS, HOURS_QUICK = 100_000, 200
FILES = 5
RUNS, PASSES = 3, 5
HOUR_US = 3_600_000_000
ASSET = "select taken, sum(kwh) as kwh from readings group by taken"
JOINED = (
    "select taken, sum(kwh * price) as kwh from readings join tariffs using (taken) group by taken"
)
GOALS = {"pass": 0.3, "why": 0.5, "apply": 2.0, "ingest_mb": 300.0}
"""Seconds of processor time, and megabytes, of 100,000 hours."""
STATES = ("published", "stale", "missing")


def project(folder: Path, start: dt.datetime, sources: tuple[str, ...], asset: str) -> None:
    """An hourly source, or two, an hourly asset and its consumer."""
    for name in ("assets", "sources", "landing"):
        (folder / name).mkdir(parents=True)
    settings = '[project]\nname = "hours"\ntimezone = "UTC"\n[run]\nworkers = 2\n'
    (folder / "headrace.toml").write_text(settings, encoding="utf-8")
    owners = "core: {kind: team, contact: ['mailto:core@example.com']}\n"
    (folder / "owners.yaml").write_text(owners, encoding="utf-8")
    for name in sources:
        text = (
            f"source: {name}\nowner: core\npartition: {{by: hour, column: taken}}\n"
            f"start: '{start:%Y-%m-%dT%H:00+00:00}'\nfiles: 'landing/{name}_*.csv'\n"
        )
        (folder / f"sources/{name}.yaml").write_text(text, encoding="utf-8")
    text = f"/* headrace\nowner: core\npartition: {{by: hour, column: taken}}\n*/\n{asset}\n"
    (folder / "assets/loads.sql").write_text(text, encoding="utf-8")
    consumers = "- {consumer: grid, owner: core, reads: [loads], due: '+2h', per: hour}\n"
    (folder / "consumers.yaml").write_text(consumers, encoding="utf-8")


def deliver(folder: Path, name: str, file: int, first: dt.datetime, hours: int) -> None:
    """A file with some hours of a source, a row each."""
    column = "price" if name == "tariffs" else "kwh"
    rows = "".join(f"{first + dt.timedelta(hours=n):%Y-%m-%d %H:%M:%S},1.5\n" for n in range(hours))
    path = folder / f"landing/{name}_{file}.csv"
    path.write_text(f"taken,{column}\n{rows}", encoding="utf-8")
    at = time.time() - 3600  # files that have just changed are left alone
    os.utime(path, (at, at))


def first_hour(hours: int) -> dt.datetime:
    """When the first of that many hours begins, of which the last has ended."""
    now = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0)
    return now - dt.timedelta(hours=hours)


def build(folder: Path, hours: int, state: str) -> None:
    """A project whose partitions are in that state; the first hour of each node is a real one."""
    start, missing = first_hour(hours), state == "missing"
    sources = ("readings", "tariffs") if missing else ("readings",)
    project(folder, start, sources, JOINED if missing else ASSET)
    for name in sources:
        deliver(folder, name, 0, start, 1)
    run(folder, "apply")
    run(folder, "tick")
    with contextlib.closing(
        sqlite3.connect(folder / ".headrace/state.db", isolation_level=None)
    ) as database:
        publish(database, start, hours, ("readings",) if missing else ("readings", "loads"))
    run(folder, "tick")  # the next leader starts from its checkpoint
    if state == "stale":
        change(folder)
        run(folder, "apply", "--yes")
        run(folder, "tick")


def change(folder: Path) -> None:
    """Change the asset's code."""
    path = folder / "assets/loads.sql"
    text = path.read_text(encoding="utf-8").replace("sum(kwh)", "sum(kwh) * 2")
    path.write_text(text, encoding="utf-8")


def publish(
    database: sqlite3.Connection, start: dt.datetime, hours: int, nodes: tuple[str, ...]
) -> None:
    """Write that all hours but the first of some nodes are published."""

    def newest(column: str, table: str) -> int:
        return int(
            database.execute(f"select coalesce(max({column}), 0) from {table}").fetchone()[0]
        )

    version, publication, epoch = newest("id", "version"), newest("id", "publication"), 0
    delivery, run_id, epoch = (
        newest("id", "delivery"),
        newest("id", "run") + 1,
        newest("epoch", "lease") + 1,
    )
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in INSERTS}
    began, n = int(start.timestamp()) * 1_000_000, 0
    rows["run"].append((run_id, began, began + 1))
    for node in nodes:
        is_source = node != "loads"
        for hour in range(1, hours):
            n, publication = n + 1, publication + 1
            delivery += is_source
            key = f"{start + dt.timedelta(hours=hour):%Y-%m-%dT%H:00+00:00}"
            at, content = began + (hour + 1) * HOUR_US, f"{n:064x}"
            arrived = delivery if is_source else None
            if is_source:
                path = f"landing/{node}_{hour // 20_000}.csv"
                rows["delivery"].append(
                    (delivery, node, key, path, at, at, at, at, content, "published")
                )
            kind = "take_in" if is_source else "produce"
            ended = (at, at, at + 1, at + 1, "passed", MEASURES, None)
            rows["attempt"].append(
                (epoch, n, run_id, node, kind, f'["{key}"]', "published", version, arrived, *ended)
            )
            published = (None, None, at + 1, content, version, arrived)
            rows["publication"].append((publication, node, key, epoch, n, publication, *published))
            rows["partition"].append((node, key, publication, at))
    database.execute("pragma synchronous = off")
    database.execute("begin")
    for name, listed in rows.items():
        database.executemany(INSERTS[name], listed)
    database.execute("update lease set epoch = ?", (epoch + 1,))
    database.execute("delete from checkpoint")
    database.execute("commit")


def processor_seconds(folder: Path, *arguments: str) -> float:
    """What a command and its processes spent."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(folder, *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def passes(folder: Path, count: int) -> list[float]:
    """The processor time of scheduling passes with nothing to do."""
    with leader(folder) as (_, one_pass):
        one_pass()
        return [_spent(one_pass) for _ in range(count)]


def _spent(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ingestion(folder: Path, hours: int) -> tuple[float, float, float]:
    """Seconds and the leader's peak memory (MB) of a pass that ingests and computes all hours from
    files, and how many hours of the asset were published a second.
    """
    start, each = first_hour(hours), hours // FILES
    project(folder, start, ("readings",), ASSET)
    for file in range(FILES):
        deliver(folder, "readings", file, start + dt.timedelta(hours=file * each), each)
    run(folder, "apply")
    command = [str(COMMAND), "tick", "--project", str(folder)]
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, _peak_kb(process.pid))
            time.sleep(0.1)
    seconds = time.perf_counter() - began
    return seconds, peak / 1024, hours / seconds


def _peak_kb(pid: int) -> int:
    """The most memory that a process had until now, in kB; 0 where the system doesn't tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def measure(*, quick: bool, hours: int | None = None) -> list[Figure]:
    """All states of so many hours, each in a project of its own."""
    count = hours or (HOURS_QUICK if quick else HOURS)
    runs = 1 if quick else RUNS
    figures: list[Figure] = []

    def add(name: str, unit: str, values: list[float], goal: str | None = None) -> None:
        limit = None if goal is None else GOALS[goal] * (2 if count > HOURS else 1)
        value = statistics.median(values)
        figures.append(Figure(name=name, value=value, unit=unit, goal=limit, runs=values))

    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as root:
        for state in STATES:
            folder = Path(root, state)
            build(folder, count, state)
            print(f"  {count:,} hours {state} …", file=sys.stderr)
            add(f"pass_{state}", "s", passes(folder, 2 if quick else PASSES), "pass")
            for subject in ("grid", "loads"):
                times = [processor_seconds(folder, "why", subject) for _ in range(runs)]
                add(f"why_{subject}_{state}", "s", times, "why")
            if state == "published":
                change(folder)
                add("apply", "s", [processor_seconds(folder, "apply", "--yes")], "apply")
            shutil.rmtree(folder)
        seconds, peak_mb, rate = ingestion(Path(root, "ingest"), count)
        add("ingest_and_compute", "s", [seconds])
        add("ingest_leader", "MB", [peak_mb], "ingest_mb")
        add("hours_a_second", "1/s", [rate])
    return figures


def options(parser: argparse.ArgumentParser) -> None:
    """How many hours."""
    parser.add_argument("--hours", type=int, help=f"how many hours, unless {HOURS:,}")


if __name__ == "__main__":
    main(__doc__, measure, options)
