"""Changes into a large table: 1 % of ten million keys merged, versioned (SCD 2) and appended,
staged and published.

The peer is DuckDB's own MERGE INTO on a DuckLake with a SQLite catalog, in a process of its own, on
the same rows and the same changes, turn by turn. Ours is all that an attempt and its publication do
to the data: the body, the search for the replaced rows, the new file and the deletions, the sync
and the catalog's transaction.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.harness import Figure, main
from headrace.lake import catalog
from headrace.lake.files import StagedFile, sync, verify
from headrace.lake.merging import StagedMerge, stage_merge
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal
from headrace.lake.staging import stage
from headrace.lake.tables import MergeRule, MergeState, SnapshotRule, StagedDeletes

ROWS = 10_000_000
ROWS_QUICK = 20_000
ROUNDS = 7
ROUNDS_QUICK = 2
THREADS = 2
SNAPSHOT_AT = ("2024-01-01", "2024-02-{:02d}")
COLUMNS = (
    "{key} AS id, 'customer ' || {key} AS name, ({key} % 1000)::INTEGER AS grp, ({key} *"
    " 1.5)::DECIMAL(18,2) AS amount, {day} AS day"
)


class Table:
    """A catalog and a folder, as a project has them, with one table in it."""

    def __init__(self, folder: Path) -> None:
        self._lake = folder / "lake"
        self._lake.mkdir(parents=True)
        self._tx = sqlite3.connect(folder / "state.db", isolation_level=None)
        self._tx.execute("PRAGMA journal_mode = wal")
        self._tx.execute("PRAGMA synchronous = normal")
        self._tx.execute("BEGIN IMMEDIATE")
        catalog.create(self._tx, f"{self._lake}/")
        self._tx.execute("COMMIT")
        self.session = DuckDBSession(self._lake, readable=[folder.parent], threads=THREADS)

    def close(self) -> None:
        """Give everything back."""
        self.session.close()
        self._tx.close()

    def merge(self, select: str, rule: MergeRule) -> float:
        """Merge the rows of a SELECT into the table and publish; seconds."""
        started = time.perf_counter()
        state = MergeState(tuple(catalog.state(self._tx, "t", None)), catalog.seen(self._tx, "t"))
        known = catalog.table(self._tx, "t")
        made = stage_merge(
            self.session, select, None, target=TargetTable("t", known), rule=rule, state=state
        )
        files: list[StagedFile | StagedDeletes] = [made.staged, *made.replacement.deletes]
        sync([verify(self._lake, file) for file in files])
        self._publish(lambda change: _merged(change, made))
        return time.perf_counter() - started

    def append(self, select: str, key: str) -> float:
        """Stage the rows as a partition and publish them; seconds."""
        started = time.perf_counter()
        staged, table = stage(
            self.session,
            select,
            target=TargetTable("t", catalog.table(self._tx, "t")),
            partition=key,
            hashed=False,
        )
        sync([verify(self._lake, staged)])

        def published(change: catalog.CatalogChange) -> None:
            change.create_table(table)
            change.replace("t", [key], [staged])

        self._publish(published)
        return time.perf_counter() - started

    def _publish(self, into: Callable[[catalog.CatalogChange], None]) -> None:
        self._tx.execute("BEGIN IMMEDIATE")
        change = catalog.CatalogChange.begin(self._tx, time.time_ns() // 1_000)
        into(change)
        change.finish("headrace", "publish")
        self._tx.execute("COMMIT")


def _merged(change: catalog.CatalogChange, made: StagedMerge) -> None:
    if change.table("t") is None:
        change.create_table(made.table)
    change.merge("t", made.staged, made.replacement)


def _peer(pipe: Connection, folder: str, base: str) -> None:
    """DuckLake in a process of its own: a path asks for the MERGE of its rows, None for the end."""
    import duckdb

    from headrace.lake.session import load

    database = duckdb.connect(config={"threads": THREADS})
    load(database, "ducklake", "sqlite_scanner")
    database.execute("SET preserve_insertion_order = false")
    database.execute(
        f"ATTACH {literal(f'ducklake:sqlite:{folder}/peer.db')} AS lake (DATA_PATH"
        f" {literal(f'{folder}/peer/')}, META_JOURNAL_MODE 'WAL', DATA_INLINING_ROW_LIMIT 0)"
    )
    database.execute(f"CREATE TABLE lake.t AS FROM read_parquet({literal(base)})")
    pipe.send(0.0)
    while (changes := pipe.recv()) is not None:
        started = time.perf_counter()
        database.execute(
            f"MERGE INTO lake.t USING (FROM read_parquet({literal(changes)})) AS new ON (t.id ="
            " new.id) WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT"
        )
        pipe.send(time.perf_counter() - started)


def _write(session: DuckDBSession, path: Path, rows: int, number: int | None) -> str:
    """The base (`number` None), or a round's changes: one in a hundred of its keys, spread over all
    of them.
    """
    day = "DATE '2024-01-01'" if number is None else f"DATE '2024-02-01' + {number}"
    chosen = "" if number is None else f"WHERE hash(key + {number}) % 100 = 0"
    columns = COLUMNS.format(key="key", day=day)
    keys = f"SELECT (range * 7919) % {rows} AS key FROM range({rows})"
    session.connection.execute(
        f"COPY (SELECT {columns} FROM ({keys}) {chosen}) TO {literal(str(path))} (FORMAT parquet,"
        " COMPRESSION zstd)"
    )
    return str(path)


def measure(*, quick: bool) -> list[Figure]:
    """The merge against its peer, then versions and appends."""
    rows, rounds = (ROWS_QUICK, ROUNDS_QUICK) if quick else (ROWS, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="headrace-materialise-") as name:
        folder = Path(name)
        merged = Table(folder / "merged")
        base = _write(merged.session, folder / "base.parquet", rows, None)
        changes = [
            _write(merged.session, folder / f"changes{n}.parquet", rows, n) for n in range(rounds)
        ]
        ours, peers = _merges(merged, folder, base, changes)
        merged.close()
        versions = _rounds(Table(folder / "versions"), base, changes, _version)
        appends = _rounds(Table(folder / "appends"), base, changes, _append)
    ratio = [own / peer for own, peer in zip(ours, peers, strict=True)]
    against = {
        "duckdb_merge_seconds": statistics.median(peers),
        "headrace_merge_seconds": statistics.median(ours),
    }
    return [
        Figure(
            name="merge_ratio",
            value=statistics.median(ratio),
            unit="×",
            goal=2.0,
            runs=ratio,
            against=against,
        ),
        Figure(name="merge_seconds", value=statistics.median(ours), unit="s", goal=None, runs=ours),
        Figure(
            name="snapshot_seconds",
            value=statistics.median(versions),
            unit="s",
            goal=None,
            runs=versions,
        ),
        Figure(
            name="append_seconds",
            value=statistics.median(appends),
            unit="s",
            goal=None,
            runs=appends,
        ),
    ]


def _merges(
    table: Table, folder: Path, base: str, changes: list[str]
) -> tuple[list[float], list[float]]:
    """Each round's changes by both, turn by turn."""
    pipe, theirs = multiprocessing.Pipe()
    peer = multiprocessing.get_context("spawn").Process(
        target=_peer, args=(theirs, str(folder), base), daemon=True
    )
    peer.start()
    pipe.recv()
    rule = MergeRule(keys=("id",))
    table.merge(_rows(base), rule)
    ours, peers = [], []
    for path in changes:
        ours.append(table.merge(_rows(path), rule))
        pipe.send(path)
        peers.append(pipe.recv())
    pipe.send(None)
    peer.join()
    return ours, peers


def _rounds(
    table: Table, base: str, changes: list[str], step: Callable[[Table, str, int], float]
) -> list[float]:
    step(table, base, 0)
    result = [step(table, path, number) for number, path in enumerate(changes, 1)]
    table.close()
    return result


def _version(table: Table, path: str, number: int) -> float:
    at = SNAPSHOT_AT[0] if not number else SNAPSHOT_AT[1].format(number)
    return table.merge(
        _rows(path), MergeRule(keys=("id",), versions=SnapshotRule(at=at, is_date=True))
    )


def _append(table: Table, path: str, number: int) -> float:
    return table.append(_rows(path), f"{number:012}")


def _rows(path: str) -> str:
    return f"SELECT * FROM read_parquet({literal(path)})"


if __name__ == "__main__":
    main(__doc__, measure)
