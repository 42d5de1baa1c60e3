"""A year of flights backfilled: 365 days × four assets, against one DuckDB script by hand, Dagster
and SQLMesh.

By hand means one process that computes the same year in one go on as many threads and writes the
same Parquet (a file a day and asset, same codec), and does nothing else: no checks, no sync, no
catalog, nothing to go back to. Ours is `headrace backfill`, from typing to exit; once from what is
ingested already, once from 365 CSV files, which by hand are read in one go. Each round does both,
so the ratio survives a busy machine. Peers get the same SQL over the same rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import beside, partitions
from benchmarks.harness import Figure, Measured, main
from benchmarks.headrace_cli import COMMAND, run
from benchmarks.peers import Unavailable, environment, program
from benchmarks.watching import DeclaredPromises, watch

DAYS, DAYS_QUICK = 365, 10
ROUNDS = 5
ENVIRONMENTS = {"dagster": "dagster_backfill", "sqlmesh": "sqlmesh"}
"""Peer → the list of what is installed for it."""
PEERS = tuple(ENVIRONMENTS)
PEER_TIMEOUT_S = 300.0
GOALS = {"dagster": 10.0, "sqlmesh": 1.0}
"""How many times as long as ours a peer's way must take; the fastest of its ways counts."""
BY_HAND = """
import duckdb, json, sys
threads, source, out, statements = json.load(open(sys.argv[1]))
connection = duckdb.connect()
connection.execute(f"SET threads = {threads}; SET preserve_insertion_order = false; SET TimeZone = 'America/New_York'")
connection.execute(f"CREATE TABLE flights AS SELECT * FROM {source}")
for name, sql in statements.items():
    connection.execute(f"CREATE TABLE {name} AS {sql}")
    columns = f"SELECT *, flight_date AS day FROM {name}"
    connection.execute(f"COPY ({columns}) TO '{out}/{name}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day))")
print(json.dumps({name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in statements}))
"""
THREADS = 2
NUMBERS_BEFORE = (
    "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay"
)
COLUMNS = {
    **dict.fromkeys(NUMBERS_BEFORE.split(), "BIGINT"),
    "carrier": "VARCHAR",
    "flight": "BIGINT",
    **dict.fromkeys(("tailnum", "origin", "dest"), "VARCHAR"),
    **dict.fromkeys(("air_time", "distance", "hour", "minute"), "BIGINT"),
    "time_hour": "TIMESTAMPTZ",
}
"""Of the vendor's files. By hand they are declared: to have DuckDB guess them takes it thirty times
as long."""


class Year:
    """One project with a year of deliveries, and the script beside it."""

    def __init__(self, folder: Path, days: int) -> None:
        self.folder, self.days = folder, days
        self.project = folder / "project"
        partitions.project(self.project, days, batch="auto")
        run(self.project, "validate")

    @property
    def last(self) -> str:
        """The last day."""
        return beside.day(self.days - 1)

    def ingest(self) -> None:
        """Have the source's table there before anything is measured."""
        taken = run(self.project, "run", "flights", "--now", partitions.NOW)
        _all_there(len(taken["published"]), self.days)

    def backfill(self, *selected: str) -> DeclaredPromises:
        """`headrace backfill` of the whole year."""
        return watch(
            [
                str(COMMAND),
                "backfill",
                *selected,
                "--from",
                beside.day(0),
                "--to",
                self.last,
                "--reason",
                "a benchmark",
                "--mode",
                "all",
                "--yes",
                "--json",
                "--project",
                str(self.project),
                "--now",
                partitions.NOW,
            ]
        )

    def by_hand(self, source: str) -> DeclaredPromises:
        """The same in one process."""
        out = self.folder / "hand"
        out.mkdir()
        statements = {name: sql for name, (_, sql) in partitions.ASSETS.items()}
        order = out / "order.json"
        order.write_text(json.dumps([THREADS, source, str(out), statements]), encoding="utf-8")
        try:
            declared_promises = watch([sys.executable, "-c", BY_HAND, str(order)])
            self._same_files(out)
        finally:
            shutil.rmtree(out)
        return declared_promises

    def _same_files(self, out: Path) -> None:
        for name in partitions.ASSETS:
            _all_there(len(list(out.glob(f"{name}/day=*"))), self.days)


def measure(*, quick: bool, peers: str) -> Measured:
    """Ratios to the script by hand, and peers."""
    days, rounds = (DAYS_QUICK, 1) if quick else (DAYS, ROUNDS)
    named = _named(peers, quick=quick)
    with tempfile.TemporaryDirectory(prefix="headrace-backfill-") as base:
        folder = Path(base)
        assets = [_assets(folder / f"assets{n}", days) for n in _rounds("the assets", rounds)]
        whole = [_whole(folder / f"whole{n}", days) for n in _rounds("with the deliveries", rounds)]
        ours = [mine.seconds for mine, _ in assets]
        result, notes = _peers(folder, days, named)
    figures = [
        _ratio("backfill_to_by_hand", assets, 0.9),
        _ratio("backfill_with_deliveries_to_by_hand", whole, 1.5),
        Figure(
            name="backfill_seconds", value=statistics.median(ours), unit="s", goal=None, runs=ours
        ),
        Figure(
            name="backfill_peak_mb",
            value=max(mine.peak_mb for mine, _ in assets),
            unit="MB",
            goal=None,
            runs=[mine.peak_mb for mine, _ in assets],
        ),
    ]
    return Measured([*figures, *_times(ours, result)], notes)


def _rounds(what: str, count: int) -> Iterator[int]:
    for n in range(count):
        print(f"  {what}, {n + 1} of {count} …", file=sys.stderr, flush=True)
        yield n


def _assets(folder: Path, days: int) -> tuple[DeclaredPromises, DeclaredPromises]:
    """Four assets from what is ingested, by Headrace and by hand."""
    year = Year(folder, days)
    year.ingest()
    mine = year.backfill(*partitions.ASSETS)
    hand = year.by_hand(f"read_parquet('{year.project}/.headrace/lake/main/flights/*.parquet')")
    shutil.rmtree(folder)
    return mine, hand


def _whole(folder: Path, days: int) -> tuple[DeclaredPromises, DeclaredPromises]:
    """The same from the files of the vendor."""
    year = Year(folder, days)
    mine = year.backfill(*(f"+{name}" for name in partitions.ASSETS))
    hand = year.by_hand(
        f"read_csv('{year.project}/landing/flights_*.csv', header = true, auto_detect = false,"
        f" columns = {COLUMNS})"
    )
    shutil.rmtree(folder)
    return mine, hand


def _ratio(
    name: str, runs: Sequence[tuple[DeclaredPromises, DeclaredPromises]], goal: float
) -> Figure:
    each = [mine.seconds / hand.seconds for mine, hand in runs]
    against = {"by hand, seconds": statistics.median(hand.seconds for _, hand in runs)}
    return Figure(
        name=name, value=statistics.median(each), unit="×", goal=goal, runs=each, against=against
    )


# Peers


def _named(peers: str, *, quick: bool) -> Sequence[str]:
    if peers == "none" or (peers == "all" and quick):
        return ()
    return PEERS if peers == "all" else peers.split(",")


def _peers(
    folder: Path, days: int, named: Sequence[str]
) -> tuple[dict[str, Mapping[str, float]], dict[str, str]]:
    """Peer → its ways → seconds for the year, from the rows that Headrace has ingested; and what
    has to be said of them.
    """
    if not named:
        return {}, {}
    year = Year(folder / "source", days)
    year.ingest()
    order = folder / "order.json"
    rows = f"{year.project}/.headrace/lake/main/flights/*.parquet"
    order.write_text(
        json.dumps(
            {
                "days": days,
                "rows": rows,
                "assets": {n: sql for n, (_, sql) in partitions.ASSETS.items()},
            }
        )
    )
    result: dict[str, Mapping[str, float]] = {}
    notes: dict[str, str] = {}
    for peer in named:
        print(f"  {peer} …", file=sys.stderr, flush=True)
        try:
            python = environment(ENVIRONMENTS[peer]) / "python"
            told = program(
                f"{peer}_backfill",
                python,
                [str(folder / peer), str(order)],
                environ={},
                timeout=PEER_TIMEOUT_S,
            )
            result[peer], notes[peer] = told["seconds"], told["notes"]
        except Unavailable as error:
            notes[peer] = f"not measured: {error}"
    return result, notes


def _times(ours: Sequence[float], result: Mapping[str, Mapping[str, float]]) -> list[Figure]:
    return [
        Figure(
            name=f"{peer}_to_headrace",
            value=min(ways.values()) / statistics.median(ours),
            unit="×",
            goal=GOALS[peer],
            compare=">=",
            runs=[min(ways.values()) / each for each in ours],
            against={f"{way}, seconds": seconds for way, seconds in ways.items()},
        )
        for peer, ways in result.items()
    ]


def _all_there(result: int, wanted: int) -> None:
    if result != wanted:
        raise SystemExit(f"{result} instead of {wanted}")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peers",
        default="all",
        metavar="NAMES",
        help=f"none, all, or some of {','.join(PEERS)}; --quick takes none",
    )


if __name__ == "__main__":
    try:
        main(__doc__, measure, _options)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stderr}")
