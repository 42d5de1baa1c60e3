"""A project of 10,000 nodes and 1,000,000 attempts, written in bulk, and a server over it: what the
API and its pages are measured on.

100 sources and 9,900 assets in 40 domains, daily over ten days, ten attempts a partition: all but
the last failed, and one partition in twenty was restated. Runs have 1,000 attempts; on the last day
but one each round of attempts at all nodes is one run.

    python -m benchmarks.large_project FOLDER    serves the one in FOLDER until its standard input ends; the first line is its address
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.headrace_cli import run
from benchmarks.history import DAY_US, INSERTS, MEASURES
from headrace.runtime.runs import LeaderCounters
from headrace.web import HttpServer, listen
from headrace.web.access import Guard, token_of
from headrace.web.app import app
from headrace.web.project_reader import ProjectReader

DOMAINS, WIDTH, CONSUMERS = 40, 100, 20
RESTATED_EVERY = 20
"""Of so many partitions one was published twice, with other content."""
FAILED = '{"kind":"transient","message":"it failed"}'
SETTINGS = '[project]\nname = "large"\ntimezone = "UTC"\n[run]\nworkers = 1\n'


class Size(NamedTuple):
    """Layers of WIDTH nodes, days, and attempts a partition."""

    layers: int
    days: int
    tries: int


SIZES = {False: Size(100, 10, 10), True: Size(2, 2, 2)}
"""The quick one is for trying the benchmarks themselves."""


class Large(NamedTuple):
    """What was made."""

    folder: Path
    layers: int
    days: list[str]
    nodes: int
    attempts: int
    runs: int
    wide_run: int
    """A run of an attempt at each node; 95 in 100 of them failed."""


def make(folder: Path, size: Size) -> Large:
    """The project and its past, up to yesterday."""
    today = dt.datetime.now(dt.UTC).date()
    days = [(today - dt.timedelta(days=n)).isoformat() for n in range(size.days, 0, -1)]
    project(folder, size.layers)
    run(folder, "apply")
    names = [node(layer, n) for layer in range(size.layers) for n in range(WIDTH)]
    with contextlib.closing(
        sqlite3.connect(folder / ".headrace/state.db", isolation_level=None)
    ) as database:
        attempts = history(database, names, days, size.tries)
        [runs] = database.execute("select count(*) from run").fetchone()
        wide = wide_run(database, size.tries)
    print(f"  {len(names):,} nodes, {attempts:,} attempts …", file=sys.stderr)
    return Large(folder, size.layers, days, len(names), attempts, runs, wide)


def wide_run(database: sqlite3.Connection, tries: int) -> int:
    """The run of all nodes before the one in which all was published, on the last day but one."""
    rows = database.execute("select run_id from attempt where node = 's0' order by epoch, n")
    runs = [run_id for (run_id,) in rows]
    return runs[max(0, len(runs) - tries - 2)]


class Stands:
    """A server that leads nothing: what is measured are answers."""

    role = "standby"
    figures: LeaderCounters | None = None


def node(layer: int, n: int) -> str:
    """A node's name."""
    return f"s{n}" if layer == 0 else f"a{layer}_{n}"


def project(folder: Path, layers: int) -> None:
    """A layer of sources, and assets that each read one node of the layer above."""
    for name in ("assets", "sources", "landing"):
        (folder / name).mkdir(parents=True)
    (folder / "headrace.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "owners.yaml").write_text(
        "core: {kind: team, contact: ['mailto:core@example.com']}\n", encoding="utf-8"
    )
    for n in range(WIDTH):
        text = (
            f"source: s{n}\nowner: core\ndomain: d{n % DOMAINS}\npartition: day\nfiles:"
            f" 'landing/s{n}_{{date:%Y-%m-%d}}.csv'\n"
        )
        (folder / f"sources/s{n}.yaml").write_text(text, encoding="utf-8")
    for layer in range(1, layers):
        for n in range(WIDTH):
            head = (
                f"/* headrace\nowner: core\ndomain: d{(n + layer) % DOMAINS}\npartition: {{by: day,"
                " column: day}\n*/\n"
            )
            text = f"{head}select day, key, value from {node(layer - 1, n)}\n"
            (folder / f"assets/{node(layer, n)}.sql").write_text(text, encoding="utf-8")
    last = layers - 1
    lines = (
        f"- {{consumer: c{n}, owner: core, reads: [{node(last, n)}], due: '07:00'}}\n"
        for n in range(CONSUMERS)
    )
    (folder / "consumers.yaml").write_text("".join(lines), encoding="utf-8")


def history(database: sqlite3.Connection, names: list[str], days: list[str], tries: int) -> int:
    """Writes the past; how many attempts that were."""
    database.execute("pragma synchronous = off")
    version = database.execute("select max(id) from version").fetchone()[0]
    [last_run] = database.execute("select coalesce(max(id), 0) from run").fetchone()
    attempts = 0
    for day in days:
        ended = int(dt.datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() * 1e6) + DAY_US
        rows: dict[str, list[tuple[object, ...]]] = {
            name: [] for name in ("run", "attempt", "publication", "partition")
        }
        # runs of 1,000 attempts, or one for each round of attempts at all nodes
        wide = day == days[-2:][0]
        count = tries if wide else -(-len(names) * tries // 1_000)
        first_run, last_run = last_run + 1, last_run + count
        rows["run"] = [
            (run_id, ended, ended + DAY_US // 24) for run_id in range(first_run, last_run + 1)
        ]
        begun = attempts
        for name in names:
            restated = attempts // tries % RESTATED_EVERY == 0
            for again in range(tries):
                attempts += 1
                epoch, last = 1 + attempts // 1_000, again == tries - 1
                published = last or (restated and again == tries - 2)
                run_id = first_run + (again if wide else (attempts - begun - 1) // 1_000)
                at = ended + again * 1_000_000
                came = (
                    ("published", at + 200_000, "passed", None)
                    if published
                    else ("failed", None, None, FAILED)
                )
                rows["attempt"].append(
                    (
                        epoch,
                        attempts,
                        run_id,
                        name,
                        "produce",
                        f'["{day}"]',
                        came[0],
                        version,
                        None,
                        at,
                        at,
                        at + 200_000,
                        *came[1:3],
                        MEASURES,
                        came[3],
                    )
                )
                if published:
                    gone = (None, None) if last else (attempts + 1, at + 1_000_000)
                    made = (attempts, attempts, *gone, at, f"{attempts:064x}", version, None)
                    rows["publication"].append((attempts, name, day, epoch, *made))
            rows["partition"].append((name, day, attempts, ended))
        database.execute("begin")
        for table, result in rows.items():
            database.executemany(INSERTS[table], result)
        database.execute("commit")
    database.execute("update lease set epoch = ?", (2 + attempts // 1_000,))
    database.execute("delete from checkpoint")
    database.execute("analyze")
    return attempts


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[tuple[int, str]]:
    """A server over the project: its port and its token."""
    token = token_of(folder / ".headrace")
    reader = ProjectReader(folder, "prod")
    with HttpServer(
        app(reader, Guard(token, "127.0.0.1"), Stands()), listen("127.0.0.1", 0)
    ) as door:
        reader.begin()
        yield door.port, token


if __name__ == "__main__":
    with opened(Path(sys.argv[1])) as (port, token):
        print(f"http://127.0.0.1:{port}/?token={token}", flush=True)
        sys.stdin.read()
