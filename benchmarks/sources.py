"""Sources: each kind of file against the bare library on the same bytes, a delivery of 100 million
rows, and 10,000 files at once.

A kind's figure is rows/s from the delivered file to a staged Parquet file (bytes kept by content,
header compared, values cast strictly, statistics and footer) over rows/s of the library that reads
the same bytes into the same columns of a Parquet file; both in one process, with the same threads,
one after the other in each round. The large delivery and the many files go through `headrace run`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from benchmarks.harness import Figure, main
from benchmarks.headrace_cli import run
from headrace.connect import DetectedDelivery, SourceSchema
from headrace.connect.files import observe
from headrace.connect.ingest import ReadRules, prepare
from headrace.connect.prepared import PreparedDelivery
from headrace.connect.raw_files import store_raw
from headrace.lake import LakeTable
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import stage
from headrace.model import Grain, PartitionSpec, Place, Source

ROWS = {
    "csv": 3_000_000,
    "jsonl": 1_000_000,
    "parquet": 6_000_000,
    "excel": 100_000,
    "fixed_width": 2_000_000,
    "json": 1_000_000,
    "xml": 200_000,
}
ROWS_QUICK = 500
LARGE_ROWS = 100_000_000
LARGE_ROWS_QUICK = 10_000
FILES = 10_000
FILES_QUICK = 20
ROUNDS = 5
GOALS = {"json": 0.6, "jsonl": 0.6, "xml": 0.6}
GOAL = 0.8
THREADS = 2
NOW = "2053-01-02T12:00Z"
NAMES = ("id", "amount", "who", "day")
TYPES = ("BIGINT", "DOUBLE", "VARCHAR", "DATE")
FIXED = [
    {"name": "id", "width": 10, "type": "bigint"},
    {"name": "amount", "width": 12, "type": "double"},
    {"name": "who", "width": 12},
    {"name": "day", "width": 10, "type": "date"},
]
OPTIONS: dict[str, dict[str, Any]] = {
    "fixed_width": {"fixed_width": FIXED},
    "json": {"json": {}},
    "xml": {"xml": {"records": "/rows/row"}},
}
ENDINGS = {
    "csv": "csv",
    "jsonl": "jsonl",
    "parquet": "parquet",
    "excel": "xlsx",
    "fixed_width": "txt",
    "json": "json",
    "xml": "xml",
}

TOML = '[project]\nname = "sources"\ntimezone = "UTC"\n[run]\nworkers = {workers}\n'
OWNERS = "core: {kind: team, contact: ['mailto:core@example.com']}\n"


# Kinds
# --------------------------------------------------------------------------------------------------


def values(count: int) -> list[tuple[int, float, str, str]]:
    """Rows that a shop might have; the same each time."""
    chance = random.Random(7)
    first = date(2020, 1, 1)
    days = [(first + timedelta(days=n)).isoformat() for n in range(1000)]
    return [
        (n, round(chance.random() * 1000, 2), f"name {chance.randrange(9999)}", days[n % 1000])
        for n in range(count)
    ]


def write(kind: str, path: Path, count: int) -> None:
    """The same rows as a file of one kind."""
    rows = values(count)
    if kind == "excel":
        _workbook(path, rows)
    elif kind == "parquet":
        _parquet(path, rows)
    else:
        with path.open("w", encoding="utf-8") as out:
            out.writelines(_TEXT[kind](rows))


def _text_csv(rows: list[tuple[int, float, str, str]]) -> Any:
    yield ",".join(NAMES) + "\n"
    yield from (f"{a},{b},{c},{d}\n" for a, b, c, d in rows)


def _text_jsonl(rows: list[tuple[int, float, str, str]]) -> Any:
    yield from (json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in rows)


def _text_json(rows: list[tuple[int, float, str, str]]) -> Any:
    yield "["
    yield from (
        (",\n" if n else "") + json.dumps(dict(zip(NAMES, row, strict=True)))
        for n, row in enumerate(rows)
    )
    yield "]\n"


def _text_fixed(rows: list[tuple[int, float, str, str]]) -> Any:
    yield from (f"{a:10}{b:12.2f}{c:12}{d:10}\n" for a, b, c, d in rows)


def _text_xml(rows: list[tuple[int, float, str, str]]) -> Any:
    yield "<rows>\n"
    yield from (
        f"<row><id>{a}</id><amount>{b}</amount><who>{c}</who><day>{d}</day></row>\n"
        for a, b, c, d in rows
    )
    yield "</rows>\n"


_TEXT: dict[str, Callable[..., Any]] = {
    "csv": _text_csv,
    "jsonl": _text_jsonl,
    "json": _text_json,
    "fixed_width": _text_fixed,
    "xml": _text_xml,
}


def _workbook(path: Path, rows: list[tuple[int, float, str, str]]) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet, days = book.add_worksheet("Data"), book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_row(0, 0, NAMES)
        for number, row in enumerate(rows, 1):
            sheet.write_row(number, 0, row[:3])
            sheet.write_datetime(number, 3, date.fromisoformat(row[3]), days)


def _parquet(path: Path, rows: list[tuple[int, float, str, str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [list(column) for column in zip(*rows, strict=True)]
    columns[3] = [date.fromisoformat(day) for day in columns[3]]
    pq.write_table(pa.table(dict(zip(NAMES, columns, strict=True))), path)


def bare(kind: str, path: Path, target: Path) -> None:
    """The library that everybody would take, from the same bytes to the same columns of a Parquet
    file.
    """
    if kind in ("excel", "xml"):
        _bare_python(kind, path, target)
        return
    columns = (
        "{" + ", ".join(f"'{name}': '{of}'" for name, of in zip(NAMES, TYPES, strict=True)) + "}"
    )
    places, start = [], 1
    for column, of in zip(FIXED, TYPES, strict=True):
        places.append(
            f"CAST(trim(substring(line, {start}, {column['width']})) AS {of}) AS {column['name']}"
        )
        start += int(str(column["width"]))
    sources = {
        "csv": (
            f"SELECT * FROM read_csv('{path}', header=true, auto_detect=false, columns={columns})"
        ),
        "jsonl": (
            f"SELECT * FROM read_json('{path}', format='newline_delimited', auto_detect=false,"
            f" columns={columns})"
        ),
        "json": (
            f"SELECT * FROM read_json('{path}', format='array', auto_detect=false,"
            f" columns={columns})"
        ),
        "parquet": f"SELECT * FROM read_parquet('{path}')",
        "fixed_width": (
            f"SELECT {', '.join(places)} FROM read_csv('{path}', header=false, auto_detect=false,"
            " columns={'line': 'VARCHAR'}, delim='\x01', quote='', escape='')"
        ),
    }
    with duckdb.connect(config={"threads": THREADS}) as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(
            f"COPY ({sources[kind]}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )


def _bare_python(kind: str, path: Path, target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = _bare_excel(path) if kind == "excel" else _bare_xml(path)
    columns = [list(column) for column in zip(*rows, strict=True)]
    pq.write_table(pa.table(dict(zip(NAMES, columns, strict=True))), target, compression="zstd")


def _bare_excel(path: Path) -> list[Any]:
    from python_calamine import CalamineWorkbook

    return CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()[1:]  # type: ignore[return-value]


def _bare_xml(path: Path) -> list[Any]:
    from xml.etree.ElementTree import iterparse

    rows = []
    for _, element in iterparse(path):
        if element.tag == "row":
            result = {child.tag: child.text or "" for child in element}
            rows.append(
                (
                    int(result["id"]),
                    float(result["amount"]),
                    result["who"],
                    date.fromisoformat(result["day"]),
                )
            )
            element.clear()
    return rows


class Taking:
    """Takes one kind of file in as a worker does, up to the staged file."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind = root, kind
        for folder in ("lake", "raw", "tmp"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.session = DuckDBSession(
            root / "lake", readable=[root / "raw", root / "tmp"], threads=THREADS
        )
        self.pinned: SourceSchema | None = None
        self.table: LakeTable | None = None

    def take(self, path: Path) -> int:
        """How many rows were staged."""
        facts = path.stat()
        result = DetectedDelivery("bench", "*", path.name, facts.st_size, facts.st_mtime_ns // 1000)
        kept = store_raw(path.parent, result, self.root / "raw")
        prepared = prepare(
            Path(kept.path),
            path.name,
            ReadRules(temporary=self.root / "tmp", options=OPTIONS.get(self.kind)),
            connection=self.session.connection,
            pinned=self.pinned,
        )
        if not isinstance(prepared, PreparedDelivery):
            raise SystemExit(f"{self.kind}: {prepared}")
        staged, self.table = stage(
            self.session,
            prepared.select_sql,
            target=TargetTable("bench", self.table),
            partition="*",
            hashed=False,
        )
        prepared.discard()
        self.pinned = prepared.schema
        (self.root / "lake" / staged.path).unlink()
        shutil.rmtree(self.root / "raw")
        return staged.rows


def kinds(base: Path, *, quick: bool) -> list[Figure]:
    """A figure for each kind of file."""
    figures = []
    for kind, rows in ROWS.items():
        count = ROWS_QUICK if quick else rows
        path = base / f"data.{ENDINGS[kind]}"
        write(kind, path, count)
        taking = Taking(base / kind, kind)
        taking.take(path)  # what a first delivery teaches is known from now on
        ratios, ours = [], []
        for _ in range(1 if quick else ROUNDS):
            began = time.perf_counter()
            bare(kind, path, base / "bare.parquet")
            between = time.perf_counter()
            if taking.take(path) != count:
                raise SystemExit(f"{kind}: rows were lost")
            mine = time.perf_counter() - between
            ratios.append((between - began) / mine)
            ours.append(count / mine)
        taking.session.close()
        path.unlink()
        figures.append(
            Figure(
                name=f"{kind}_against_library",
                value=statistics.median(ratios),
                unit="×",
                goal=GOALS.get(kind, GOAL),
                compare=">=",
                runs=ratios,
            )
        )
        figures.append(
            Figure(
                name=f"{kind}_rows_per_second",
                value=statistics.median(ours),
                unit="/s",
                goal=None,
                runs=ours,
            )
        )
    return figures


# Large, and many
# --------------------------------------------------------------------------------------------------


def project(folder: Path, source: str, *, workers: int) -> None:
    """A project with one source."""
    for name, text in {
        "headrace.toml": TOML.format(workers=workers),
        "owners.yaml": OWNERS,
        "sources/s.yaml": source,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "landing").mkdir()


def large(folder: Path, *, quick: bool) -> list[Figure]:
    """100 million rows in one CSV file: how much memory the worker needs, and how fast it is."""
    count = LARGE_ROWS_QUICK if quick else LARGE_ROWS
    project(folder, "source: large\nowner: core\nfiles: landing/large.csv\n", workers=1)
    with duckdb.connect() as connection:
        rows = f"SELECT range AS id, range % 977 AS v FROM range({count})"
        connection.execute(f"COPY ({rows}) TO '{folder}/landing/large.csv' (FORMAT csv, HEADER)")
    began = time.perf_counter()
    document = run(folder, "run", "large", "--now", NOW)
    seconds = time.perf_counter() - began
    if [item["rows"] for item in document["published"]] != [count]:
        raise SystemExit(f"the large delivery wasn't published: {document}")
    with sqlite3.connect(folder / ".headrace/state.db") as state:
        measures = msgspec.json.decode(state.execute("select measures from attempt").fetchone()[0])
    peak = measures["peak_memory_bytes"] / 2**30
    return [
        Figure(name="large_delivery_peak_memory", value=peak, unit="GiB", goal=1.0, runs=[peak]),
        Figure(
            name="large_delivery_rows_per_second",
            value=count / seconds,
            unit="/s",
            goal=None,
            runs=[count / seconds],
        ),
    ]


def many(folder: Path, *, quick: bool) -> list[Figure]:
    """10,000 files that wait at once: how long a look takes, and how many are ingested a second."""
    count = FILES_QUICK if quick else FILES
    project(
        folder,
        "source: many\nowner: core\npartition: day\nfiles: landing/{date:%Y-%m-%d}.csv\n",
        workers=THREADS,
    )
    first = date(2025, 1, 1)
    for n in range(count):
        (folder / f"landing/{first + timedelta(days=n)}.csv").write_text(
            f"id,v\n1,{n}\n2,{n}.5\n", encoding="utf-8"
        )
    time.sleep(1.5)  # files of this second may still be being written
    source = Source(
        name="many",
        owner="core",
        files="landing/{date:%Y-%m-%d}.csv",
        partition=PartitionSpec(grain=Grain.DAY),
        place=Place(file=""),
    )
    observations = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        if len(observe(folder, source, known={}).found) != count:
            raise SystemExit("a look didn't find all files")
        observations.append(time.perf_counter() - began)
    began = time.perf_counter()
    document = run(folder, "run", "many", "--now", NOW)
    rate = count / (time.perf_counter() - began)
    if len(document["published"]) != count:
        raise SystemExit(f"{len(document['published'])} of {count} files were published")
    return [
        Figure(
            name="look_at_10000_files",
            value=max(observations),
            unit="s",
            goal=2.0,
            runs=observations,
        ),
        Figure(
            name="files_taken_in_per_second",
            value=rate,
            unit="/s",
            goal=300.0,
            compare=">=",
            runs=[rate],
        ),
    ]


SECTIONS = ("kinds", "large", "many")


def measure(*, quick: bool, only: str | None) -> list[Figure]:
    """All sections, or one of them."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as base:
        if only in (None, "kinds"):
            figures += kinds(Path(base), quick=quick)
        if only in (None, "large"):
            figures += large(Path(base, "large"), quick=quick)
        if only in (None, "many"):
            figures += many(Path(base, "many"), quick=quick)
    return figures


def options(parser: argparse.ArgumentParser) -> None:
    """`--only large`: one section, since that takes minutes."""
    parser.add_argument("--only", choices=SECTIONS, help="one section of the benchmark")


if __name__ == "__main__":
    main(__doc__, measure, options)
