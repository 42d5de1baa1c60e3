"""TPC-H through Headrace, against the same SQL by hand in DuckDB, and in dbt with its tests.

Eight Parquet files come in as reference sources, twelve SQL assets come out. By hand means one
process that reads the same files, writes each table as Parquet with the same codec on the same
number of threads, and does nothing else: no lineage, no checks, no sync, no catalog, no record of
what it did. One such script copies the eight tables, too, as Headrace keeps what was delivered; the
other reads them where they lie, as a person would write it, and gives other results when a file
changes. Headrace's time is that of `headrace run` in an empty project, from typing to exit. All run
one after the other in each round, so the ratio survives a busy machine. The scripts are frozen: a
change of one is a commit of its own that says why.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from duckdb_extensions import import_extension

from benchmarks import pipeline_dbt
from benchmarks.harness import Figure, Measured, main
from benchmarks.headrace_cli import COMMAND
from benchmarks.peers import Unavailable
from benchmarks.watching import DeclaredPromises, watch

THREADS = 2
ROUNDS = 5

KEYS = {
    "region": ["r_regionkey"],
    "nation": ["n_nationkey"],
    "supplier": ["s_suppkey"],
    "customer": ["c_custkey"],
    "part": ["p_partkey"],
    "partsupp": ["ps_partkey", "ps_suppkey"],
    "orders": ["o_orderkey"],
    "lineitem": ["l_orderkey", "l_linenumber"],
}

STATEMENTS = Path(__file__).parent / "tpch"
ASSETS = {
    "lines": ["orderkey", "linenumber"],
    "orders_enriched": ["orderkey"],
    "part_supply": ["partkey", "suppkey"],
    "order_totals": ["orderkey"],
    "customer_value": ["custkey"],
    "part_margin": ["partkey"],
    "supplier_performance": ["suppkey"],
    "pricing_summary": ["returnflag", "linestatus"],
    "shipping_priority": ["orderkey"],
    "profit_by_nation": ["nation", "year"],
    "shipmode_priority": ["shipmode"],
    "monthly_revenue": ["region", "month"],
}
"""The assets in the order in which they can be computed, with their keys; the SQL stands in
`tpch/`."""

BY_HAND = """
import duckdb, json, sys
threads, statements = json.load(open(sys.argv[1]))
connection = duckdb.connect()
connection.execute(f"SET threads = {threads}; SET preserve_insertion_order = false")
for name, path, sql in statements:
    connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")
"""

READS_IN_PLACE = """
import duckdb, json, sys
threads, deliveries, statements = json.load(open(sys.argv[1]))
connection = duckdb.connect()
connection.execute(f"SET threads = {threads}; SET preserve_insertion_order = false")
for name, path in deliveries:
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")
for name, path, sql in statements:
    connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")
"""


def generate(folder: Path, scale: float) -> None:
    """Write the eight tables of TPC-H as Parquet, in a process's own memory."""
    connection = duckdb.connect()
    import_extension("tpch")
    connection.execute(f"SET threads = {THREADS}; LOAD tpch; CALL dbgen(sf = {scale})")
    folder.mkdir(parents=True)
    for name in KEYS:
        connection.execute(
            f"COPY {name} TO '{folder / name}.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )
    connection.close()


def project(folder: Path, data: Path, *, unique: bool) -> None:
    """Write a project over the tables: not-null keys and counts are checked, with `unique` every
    key's uniqueness as well.
    """
    _write(folder / "headrace.toml", '[project]\nname = "tpch"\n[run]\nworkers = 1\n')
    _write(folder / "owners.yaml", "core: {kind: team, contact: ['mailto:core@example.com']}\n")
    (folder / "landing").mkdir()
    for name, keys in KEYS.items():
        (folder / "landing" / f"{name}.parquet").hardlink_to(data / f"{name}.parquet")
        checks = _checks(keys, unique=unique)
        _write(
            folder / f"sources/{name}.yaml",
            f"source: {name}\nowner: core\npartition: '*'\nfiles: landing/{name}.parquet\n{checks}",
        )
    for name, keys in ASSETS.items():
        _write(
            folder / f"assets/{name}.sql",
            f"/* headrace\nowner: core\n{_checks(keys, unique=unique)}*/\n{statement(name)}\n",
        )


def statement(name: str) -> str:
    """The SELECT of an asset."""
    return (STATEMENTS / f"{name}.sql").read_text(encoding="utf-8").strip()


def _checks(keys: list[str], *, unique: bool) -> str:
    columns = ", ".join(keys)
    uniqueness = f"  - unique: [{columns}]\n" if unique else ""
    return f"checks:\n  - not_null: [{columns}]\n  - row_count: {{min: 1}}\n{uniqueness}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@contextmanager
def fresh(base: Path, name: str) -> Iterator[Path]:
    """An empty folder that is gone afterwards, so that a round doesn't pay for the disk of the one
    before.
    """
    folder = base / name
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def by_hand(base: Path, data: Path) -> DeclaredPromises:
    """The same statements in one DuckDB process."""
    with fresh(base, "hand") as out:
        loads = {name: f"SELECT * FROM read_parquet('{data / name}.parquet')" for name in KEYS}
        computed = {name: statement(name) for name in ASSETS}
        statements = [
            (name, f"{out / name}.parquet", sql) for name, sql in (loads | computed).items()
        ]
        (out / "statements.json").write_text(json.dumps([THREADS, statements]), encoding="utf-8")
        return watch([sys.executable, "-c", BY_HAND, str(out / "statements.json")])


def reading_in_place(base: Path, data: Path) -> DeclaredPromises:
    """The assets' statements in one DuckDB process, over the delivered files themselves."""
    with fresh(base, "in-place") as out:
        deliveries = [(name, f"{data / name}.parquet") for name in KEYS]
        statements = [(name, f"{out / name}.parquet", statement(name)) for name in ASSETS]
        work = json.dumps([THREADS, deliveries, statements])
        (out / "statements.json").write_text(work, encoding="utf-8")
        return watch([sys.executable, "-c", READS_IN_PLACE, str(out / "statements.json")])


def through_headrace(base: Path, data: Path, *, unique: bool) -> DeclaredPromises:
    """`headrace run` in a new project."""
    with fresh(base, "project") as folder:
        project(folder, data, unique=unique)
        return watch([str(COMMAND), "run", "--json", "--project", str(folder)])


def through_dbt(base: Path, data: Path) -> DeclaredPromises:
    """`dbt build` in a new project, every key tested for uniqueness. Raises Unavailable."""
    statements = {name: statement(name) for name in ASSETS}
    with fresh(base, "dbt") as folder:
        pipeline_dbt.write(folder, data, KEYS, ASSETS, statements, unique=True, threads=THREADS)
        return pipeline_dbt.build(folder)


def measure(*, quick: bool) -> Measured:
    """Rounds of: both scripts, with Headrace, with Headrace and every key unique, and with dbt."""
    rounds = []
    dbt: list[float] = []
    notes = {"dbt": "not measured: --quick takes no peers" if quick else pipeline_dbt.NOTE}
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        base, data = Path(name), Path(name, "data")
        generate(data, 0.01 if quick else 1)
        for _ in range(1 if quick else ROUNDS):
            rounds.append(
                (
                    by_hand(base, data),
                    reading_in_place(base, data),
                    through_headrace(base, data, unique=False),
                    through_headrace(base, data, unique=True),
                )
            )
            if quick:
                continue
            try:
                dbt.append(rounds[-1][3].seconds / through_dbt(base, data).seconds)
            except Unavailable as error:
                notes["dbt"] = f"not measured: {error}"
    seconds = {"by hand, seconds": statistics.median(hand.seconds for hand, *_ in rounds)}
    in_place = {
        "reading deliveries where they lie, seconds": statistics.median(
            place.seconds for _, place, *_ in rounds
        )
    }
    memory = {"by hand, MB": statistics.median(hand.peak_mb for hand, *_ in rounds)}
    figures = [
        ratio(
            "pipeline_to_by_hand",
            1.0,
            [plain.seconds / hand.seconds for hand, _, plain, _ in rounds],
            seconds,
        ),
        ratio(
            "pipeline_to_reading_in_place",
            1.25,
            [plain.seconds / place.seconds for _, place, plain, _ in rounds],
            in_place,
        ),
        ratio(
            "pipeline_with_unique_keys_to_by_hand",
            1.15,
            [unique.seconds / hand.seconds for hand, _, _, unique in rounds],
            seconds,
        ),
        ratio(
            "pipeline_memory_to_by_hand",
            1.2,
            [plain.peak_mb / hand.peak_mb for hand, _, plain, _ in rounds],
            memory,
        ),
    ]
    if dbt:
        figures.append(ratio("pipeline_with_unique_keys_to_dbt", 0.67, dbt, {}))
    return Measured(figures, notes)


def ratio(name: str, goal: float, runs: list[float], against: dict[str, float]) -> Figure:
    """The median of ratios, each of two runs of one round."""
    return Figure(
        name=name, value=statistics.median(runs), unit="×", goal=goal, runs=runs, against=against
    )


if __name__ == "__main__":
    try:
        main(__doc__, measure)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stderr}")
