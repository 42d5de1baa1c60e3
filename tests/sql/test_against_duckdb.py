"""What `headrace.sql` says about columns before anything runs, against what DuckDB says about the
same statement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from headrace.sql import UNKNOWN
from headrace.sql.analysis import analyse
from headrace.sql.queries import resolve

TABLES = {
    "t": (
        "a integer, b bigint, s varchar, d date, ts timestamp, tz timestamptz, dec decimal(10,2),"
        " dbl double, fl float, si smallint, ti tinyint, h hugeint, ub ubigint, bo boolean, l"
        " integer[], st struct(x integer, y varchar), u uuid, bl blob, ui uinteger, tm time, iv"
        " interval"
    ),
    "u": "a integer, x double, y varchar",
}
KNOWN_TYPES_SHARE_MIN = 0.9


def _queries() -> list[str]:
    text = (Path(__file__).parent / "fixtures" / "corpus.sql").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [query.strip() for query in lines.split(";\n") if query.strip()]


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    for name, columns in TABLES.items():
        connection.execute(f"create table {name}({columns})")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def schemas(engine: duckdb.DuckDBPyConnection) -> dict[str, tuple[tuple[str, str], ...]]:
    return {name: _described(engine, f"select * from {name}") for name in TABLES}


def _described(engine: duckdb.DuckDBPyConnection, query: str) -> tuple[tuple[str, str], ...]:
    return tuple((row[0], row[1]) for row in engine.execute(f"describe {query}").fetchall())


@pytest.mark.parametrize("query", _queries())
def test_columns_are_those_that_duckdb_gives(
    query: str, engine: duckdb.DuckDBPyConnection, schemas: dict[str, tuple[tuple[str, str], ...]]
) -> None:
    """A wrong name or a wrong type would make `apply` create a table that the body's result doesn't
    fit."""
    expected = _described(engine, query)
    analysis = analyse(query, file="corpus.sql", line=1, name="q")
    assert not analysis.problems
    result = resolve(analysis, schemas)
    assert [
        problem
        for problem in result.problems
        if problem.code not in ("unnamed_column", "duplicate_column")
    ] == []
    if result.columns is not None:
        assert [name for name, _ in result.columns] == [name for name, _ in expected]
        wrong = [
            (name, mine, theirs)
            for (name, mine), (_, theirs) in zip(result.columns, expected, strict=True)
            if mine not in (theirs, UNKNOWN)
        ]
        assert wrong == []


def test_most_types_are_known(
    engine: duckdb.DuckDBPyConnection, schemas: dict[str, tuple[tuple[str, str], ...]]
) -> None:
    """Answering UNKNOWN to everything would pass the test above."""
    known, all_ = 0, 0
    unknown: list[str] = []
    for query in _queries():
        expected = _described(engine, query)
        result = resolve(analyse(query, file="corpus.sql", line=1, name="q"), schemas)
        all_ += len(expected)
        known += sum(type_ != UNKNOWN for _, type_ in result.columns or ())
        unknown += [
            f"{name}: {query[:60]}" for name, type_ in result.columns or () if type_ == UNKNOWN
        ]
        if result.columns is None:
            unknown.append(f"* {query[:80]}")
    print(f"types known: {known} of {all_}; not: {unknown}")
    assert known / all_ >= KNOWN_TYPES_SHARE_MIN
