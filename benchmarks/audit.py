"""Twenty checks and the full profile of ten million rows of twelve columns, against one aggregate
written by hand and against peers.

The aggregate is what somebody would write for the same answers over the same file: nulls, least and
greatest value, mean, distinct values and five quantiles of each column, and the distinct keys. It
is run in the same session, turn by turn with the audit. Peers make the same twenty checks (no
profile) in environments of their own: Great Expectations on a pandas frame that lies in memory, dbt
on a table in DuckDB's own format.

Last, what the audit of one partition takes, a large and a small one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import Figure, Measured, main
from benchmarks.peers import Unavailable, environment, program
from headrace.checks import Audit, Verdict
from headrace.checks.audit import AuditRequest, audit
from headrace.lake import LakeTable, StagedFile
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal, quote
from headrace.lake.staging import hash_aggregate, stage
from headrace.model import CheckSpec, Place

ROWS, ROWS_QUICK = 10_000_000, 200_000
SMALL_ROWS = 900
PARTITION_ROWS = 300_000
PARTITION_COLUMNS = 'id, customer, origin, dest, delay, amount, quantity, email, day, "at"'
PARTITION_RUNS, PARTITION_RUNS_QUICK = 30, 2
PARTITION_MS_MAX, BEYOND_HASHING_MS_MAX, SMALL_MS_MAX = 35.0, 15.0, 1.0
RUNS, RUNS_QUICK = 3, 1
SMALL_RUNS, SMALL_RUNS_QUICK = 200, 5
THREADS = 2
PEER_RUNS = 3
PEER_BUDGET_S = 100.0
"""A peer's runs end once the next one would take them past that; there is always one."""
PEER_TIMEOUT_S = 240.0
"""With reading the file: two peers that hang leave the whole at a quarter of an hour."""
PEER_MEMORY_GIB = 16
OVER_BY_HAND_MAX, GREAT_EXPECTATIONS_MIN, DBT_MIN = 1.5, 10.0, 3.0
NUMBERS = ("id", "customer", "delay", "amount", "quantity", "weight")
TABLE = """SELECT i AS id, (hash(i) % 100000)::INTEGER AS customer, ['EWR', 'JFK', 'LGA'][1 + (hash(i * 3) % 3)::INTEGER] AS origin,
 'X' || (hash(i * 5) % 200) AS dest, CASE WHEN hash(i * 7) % 20 = 0 THEN NULL ELSE (hash(i * 7) % 6000) / 10.0 - 60 END::DOUBLE AS delay,
 (hash(i * 11) % 500000 / 100.0)::DECIMAL(10, 2) AS amount, (hash(i * 13) % 10)::INTEGER AS quantity, hash(i * 17) % 10 < 9 AS paid,
 'c' || (hash(i * 19) % 1000000) || '@example.org' AS email, DATE '2024-03-01' AS day,
 TIMESTAMP '2024-03-01' + INTERVAL 1 SECOND * (hash(i * 23) % 86400)::INTEGER AS at, (hash(i * 29) % 1000000 / 1000.0)::DOUBLE AS weight
 FROM range({rows}) r(i)"""
CHECKS: tuple[dict[str, Any], ...] = (
    {"kind": "unique", "columns": ["id"]},
    *(
        {"kind": "not_null", "columns": [column]}
        for column in ("id", "customer", "origin", "dest", "amount", "email", "at", "weight")
    ),
    {"kind": "range", "column": "id", "min": 0},
    {"kind": "range", "column": "customer", "min": 0, "max": 100000},
    {"kind": "range", "column": "delay", "min": -60, "max": 600},
    {"kind": "range", "column": "amount", "min": 0, "max": 5000},
    {"kind": "range", "column": "quantity", "min": 0, "max": 9},
    {"kind": "range", "column": "weight", "min": 0, "max": 1000},
    {"kind": "accepted_values", "column": "origin", "values": ["EWR", "JFK", "LGA"]},
    {"kind": "accepted_values", "column": "paid", "values": [True, False]},
    {"kind": "regex", "column": "dest", "pattern": "X[0-9]+"},
    {"kind": "regex", "column": "email", "pattern": "[^@]+@example[.]org"},
    {"kind": "row_count", "min": 1},
)
PARTITION_CHECKS: tuple[dict[str, Any], ...] = (
    {"kind": "unique", "columns": ["id"]},
    {"kind": "not_null", "columns": ["customer"]},
    {"kind": "range", "column": "amount", "min": 0, "max": 5000},
)


def measure(*, quick: bool, rows: int | None, peers: bool) -> Measured:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="headrace-audit-") as name:
        folder = Path(name)
        with DuckDBSession(folder / "lake", threads=THREADS) as session:
            count = rows or (ROWS_QUICK if quick else ROWS)
            _progress(f"writing {count:,} rows")
            staged, table = _staged(session, count)
            figures, ours = _beside_by_hand(session, staged, table, RUNS_QUICK if quick else RUNS)
            _progress(f"the profile of {SMALL_ROWS} rows")
            figures += _small(session, SMALL_RUNS_QUICK if quick else SMALL_RUNS)
            _progress(f"one partition of {PARTITION_ROWS:,} rows, and of {SMALL_ROWS}")
            runs = PARTITION_RUNS_QUICK if quick else PARTITION_RUNS
            figures += _partition(session, runs)
        notes = {
            "rows": (
                f"{count:,} rows of {len(table.columns) - 1} columns, {len(CHECKS)} checks,"
                f" {THREADS} threads"
            )
        }
        if peers:
            figures += _peers(folder, folder / "lake" / staged.path, ours, notes)
    return Measured(figures, notes)


def _staged(session: DuckDBSession, rows: int, columns: str = "*") -> tuple[StagedFile, LakeTable]:
    return stage(
        session,
        f"SELECT {columns} FROM ({TABLE.format(rows=rows)})",
        target=TargetTable("t"),
        partition="*",
        hashed=False,
    )


def _audit(
    session: DuckDBSession,
    staged: StagedFile,
    table: LakeTable,
    *,
    described: bool = True,
    checks: tuple[dict[str, Any], ...] = CHECKS,
) -> Audit:
    specs = [
        CheckSpec(
            kind=item["kind"],
            name=f"{item['kind']}_{n}",
            arguments={k: v for k, v in item.items() if k != "kind"},
            place=Place(file=""),
        )
        for n, item in enumerate(checks)
    ]
    request = AuditRequest(checks=specs, now_us=0)
    result = audit(session, staged, table, request, described=described)
    assert result.verdict is Verdict.PASSED, result.results
    return result


def by_hand(file: Path, columns: tuple[str, ...]) -> str:
    """The aggregate that somebody would write."""
    wanted = ["count(*)", "count(DISTINCT id)"]
    for column in columns:
        name = quote(column)
        wanted += [
            f"count({name})",
            f"min({name})",
            f"max({name})",
            f"approx_count_distinct({name})",
        ]
        if column in NUMBERS:
            wanted += [f"avg({name})", f"approx_quantile({name}, [0.05, 0.25, 0.5, 0.75, 0.95])"]
    return f"SELECT {', '.join(wanted)} FROM read_parquet({literal(str(file))})"


def _beside_by_hand(
    session: DuckDBSession, staged: StagedFile, table: LakeTable, runs: int
) -> tuple[list[Figure], float]:
    query = by_hand(
        session.data_folder / staged.path, tuple(column.name for column in table.columns[1:])
    )
    audits, checks, hands = [], [], []
    profiles = {json.dumps(_audit(session, staged, table).metrics.hex())}
    for number in range(1, runs + 1):
        _progress(f"by hand, audit and checks alone: {number} of {runs}")
        hands.append(_seconds(lambda: session.connection.execute(query).fetchall()))
        audits.append(
            _seconds(lambda: profiles.add(json.dumps(_audit(session, staged, table).metrics.hex())))
        )
        checks.append(_seconds(lambda: _audit(session, staged, table, described=False)))
    assert len(profiles) == 1, "another profile of the same data"
    ratios = [ours / hand for ours, hand in zip(audits, hands, strict=True)]
    ours = statistics.median(audits)
    told = {
        "by hand, s": statistics.median(hands),
        "audit, s": ours,
        "checks alone, s": statistics.median(checks),
    }
    figure = Figure(
        name="audit over an aggregate by hand",
        value=statistics.median(ratios),
        unit="×",
        goal=OVER_BY_HAND_MAX,
        runs=ratios,
        against=told,
    )
    return [
        figure,
        Figure(
            name="checks without a profile",
            value=statistics.median(checks),
            unit="s",
            goal=None,
            runs=checks,
        ),
    ], ours


def _small(session: DuckDBSession, runs: int) -> list[Figure]:
    """What the profile adds to a small partition's audit."""
    staged, table = _staged(session, SMALL_ROWS)
    described, bare = [], []
    for _ in range(runs):
        described.append(1000 * _seconds(lambda: _audit(session, staged, table)))
        bare.append(1000 * _seconds(lambda: _audit(session, staged, table, described=False)))
    more = [with_profile - without for with_profile, without in zip(described, bare, strict=True)]
    told = {"audit, ms": statistics.median(described), "checks alone, ms": statistics.median(bare)}
    return [
        Figure(
            name=f"profile of {SMALL_ROWS} rows",
            value=statistics.median(more),
            unit="ms",
            goal=None,
            runs=more,
            against=told,
        )
    ]


def _partition(session: DuckDBSession, runs: int) -> list[Figure]:
    """What the audit of one partition takes, beside reading and hashing all of its columns."""
    large, small = (
        _staged(session, rows, PARTITION_COLUMNS) for rows in (PARTITION_ROWS, SMALL_ROWS)
    )
    path = literal(str(session.data_folder / large[0].path))
    hashing = f"SELECT {hash_aggregate(large[1].columns)} FROM read_parquet({path})"
    audits, hashes, smalls = [], [], []
    for _ in range(runs):
        hashes.append(1000 * _seconds(lambda: session.connection.execute(hashing).fetchall()))
        audits.append(1000 * _seconds(lambda: _audit(session, *large, checks=PARTITION_CHECKS)))
        smalls.append(1000 * _seconds(lambda: _audit(session, *small, checks=PARTITION_CHECKS)))
    beyond = [audit - hashed for audit, hashed in zip(audits, hashes, strict=True)]
    told = {"reading and hashing, ms": statistics.median(hashes)}
    return [
        Figure(
            name=f"audit of {PARTITION_ROWS:,} rows",
            value=statistics.median(audits),
            unit="ms",
            goal=PARTITION_MS_MAX,
            runs=audits,
            against=told,
        ),
        Figure(
            name="the same beyond hashing",
            value=statistics.median(beyond),
            unit="ms",
            goal=BEYOND_HASHING_MS_MAX,
            runs=beyond,
        ),
        Figure(
            name=f"audit of {SMALL_ROWS} rows",
            value=statistics.median(smalls),
            unit="ms",
            goal=SMALL_MS_MAX,
            runs=smalls,
        ),
    ]


def _peers(folder: Path, file: Path, ours: float, notes: dict[str, str]) -> list[Figure]:
    figures = []
    for peer, goal, more in (
        ("great_expectations", GREAT_EXPECTATIONS_MIN, []),
        ("dbt_tests", DBT_MIN, [str(folder / "dbt"), str(THREADS)]),
    ):
        _progress(f"{peer}, at most {PEER_TIMEOUT_S:.0f} s")
        try:
            python = environment(peer) / "python"
            limits = [str(PEER_RUNS), str(PEER_BUDGET_S), str(PEER_MEMORY_GIB)]
            result = program(
                peer,
                python,
                [str(file), json.dumps(CHECKS), *limits, *more],
                environ={},
                timeout=PEER_TIMEOUT_S,
            )
        except Unavailable as error:
            _progress(f"{peer}: {error}")
            notes[peer] = str(error)
            continue
        ((who, seconds),) = result["figures"]["audit"].items()
        times = [item / ours for item in seconds]
        notes[peer] = f"{len(seconds)} runs, at most {result['peak_kib'] / 2**20:.1f} GiB of memory"
        told = {f"{who}, s": statistics.median(seconds)}
        figures.append(
            Figure(
                name=f"times as long in {who}",
                value=statistics.median(times),
                unit="×",
                goal=goal,
                compare=">=",
                runs=times,
                against=told,
            )
        )
    return figures


def _progress(what: str) -> None:
    """What is done now, for whoever waits: minutes pass between figures."""
    print(f"{time.strftime('%H:%M:%S')} {what} …", file=sys.stderr, flush=True)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, help="other than ten million")
    parser.add_argument(
        "--no-peers", dest="peers", action="store_false", help="only against the aggregate by hand"
    )


if __name__ == "__main__":
    main(__doc__, measure, _options)
