"""Lineage against DuckDB: a column without which a query gives something else, or nothing, is used.

Each column that the lineage doesn't name is emptied, filled with other values, and removed.
`make lineage` tries more queries, `make lineage SEED=7` one seed again.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Collection, Iterator

import duckdb
import pytest
from drawn_queries import TABLES, Draw

from headrace.sql.analysis import analyse
from headrace.sql.engine_faults import WrongResult, refuse_faulty
from headrace.sql.queries import resolve
from headrace.sql.values import Resolved

QUERIES = 40
"""Queries of each seed."""
SEEDS = (
    [int(os.environ["SEED"])]
    if os.environ.get("SEED")
    else list(range(int(os.environ.get("SEEDS") or "3")))
)
SCHEMAS = {name: tuple(columns.items()) for name, columns in TABLES.items()}
Column = tuple[str, str]
EVERYTHING = {(name, column) for name, columns in TABLES.items() for column in columns}
Rows = list[str]


def value(rng: random.Random, kind: str) -> str:
    if rng.random() < 0.15:
        return "null"
    number = rng.randrange(5)
    if kind == "integer":
        return str(number)
    if kind == "varchar":
        return f"'{rng.choice('pqr')}'"
    if kind.endswith("[]"):
        return f"[{number}, {rng.randrange(4)}]" if number else "[]::integer[]"
    return f"{{'x': {number}, 'y': '{rng.choice('pqr')}'}}"


class Data:
    """The tables, and beside them views in which some columns are other."""

    def __init__(self, rng: random.Random) -> None:
        self._prepared: list[str] = []
        self._connect()
        self.prepare("create macro memory.main.doubled(v) as v * 2; create schema other")
        for name, columns in TABLES.items():
            pairs = [f"{column} {kind}, {column}_other {kind}" for column, kind in columns.items()]
            self.prepare(f"create table all_{name}({', '.join(pairs)})")
            for place in range(7):
                values = [value(rng, kind) for kind in columns.values() for _ in range(2)]
                values[0] = str(place % 5)
                self.prepare(f"insert into all_{name} values ({', '.join(values)})")
            self.prepare(f"create view {name} as select {', '.join(columns)} from all_{name}")

    def prepare(self, sql: str) -> None:
        """Change the tables, also those of a connection that follows this one."""
        self._prepared.append(sql)
        self.engine.execute(sql)

    def _connect(self) -> None:
        self.engine = duckdb.connect(config={"threads": 1})
        for sql in self._prepared:
            self.engine.execute(sql)

    def rows(self, sql: str, schema: str = "main") -> Rows | str:
        """Return the rows in an order of their own, or the error."""
        self.engine.execute(f"use memory.{schema}")
        try:
            return sorted(map(repr, self.engine.execute(sql).fetchall()))
        except duckdb.InternalException as error:
            self._connect()  # the engine allows nothing more after a failure of its own
            return str(error)
        except duckdb.Error as error:
            return str(error)

    def rows_without(self, sql: str, lost: Collection[Column], how: str) -> Rows | str:
        """Return the rows that a query gives if columns are null, other, or gone."""
        for name, columns in TABLES.items():
            items = []
            for column, kind in columns.items():
                if (name, column) not in lost:
                    items.append(column)
                elif how != "gone":
                    new = f"null::{kind}" if how == "null" else f"{column}_other"
                    items.append(f"{new} as {column}")
            self.engine.execute(
                f"create or replace view other.{name} as"
                f" select {', '.join(items) or 'null as no_column'} from main.all_{name}"
            )
        return self.rows(sql, "other")

    def missing(
        self, sql: str, rows: Rows, used: set[Column], named: set[Column]
    ) -> Iterator[tuple[str, Column]]:
        """Yield each column whose loss alters or ends a query, and that it doesn't use.

        One that it only names may end it, but not alter its rows.
        """
        for how, lost in (("null", used), ("other", used), ("gone", named)):
            unused = EVERYTHING - lost - excluded(sql)
            if self.rows_without(sql, unused, how) == rows:
                continue
            for one in sorted(unused):
                found = self.rows_without(sql, [one], how)
                if found == rows or (isinstance(found, str) and one in named):
                    continue
                ends = how == "gone" and isinstance(found, str)
                if ends or not self._is_chance(sql, one, how):
                    yield how, one

    def _is_chance(self, sql: str, one: Column, how: str) -> bool:
        """Return whether only another plan brings equal keys in another order."""
        self.engine.execute("pragma disable_optimizer")
        try:
            return self.rows(sql) == self.rows_without(sql, [one], how)
        finally:
            self.engine.execute("pragma enable_optimizer")


def queries(seed: int, data: Data) -> Iterator[tuple[str, Rows]]:
    """Yield queries that DuckDB runs, with their rows."""
    rng = random.Random(seed)
    count = 0
    while count < QUERIES:
        sql = Draw(rng).query(2).sql
        rows = data.rows(sql)
        names = Counter(re.findall(r"\b[qw]\d+\b", sql))
        if isinstance(rows, str) or 1 in names.values():  # DuckDB skips unused CTEs and windows
            continue
        if is_faulty(sql):
            continue
        count += 1
        yield sql, rows


def is_faulty(sql: str) -> bool:
    """Whether DuckDB's answer may be wrong, so that it is refused and shows nothing."""
    try:
        refuse_faulty(sql)
    except WrongResult:
        return True
    return False


def resolved(sql: str) -> Resolved:
    analysis = analyse(sql, file="x.sql", line=1, name="x")
    assert analysis.usable, (sql, analysis.problems)
    return resolve(analysis, SCHEMAS)


def excluded(sql: str) -> set[Column]:
    """Return the columns that a star leaves out by name."""
    names = re.findall(r"exclude \((\w+)\)", sql)
    return {(table, name) for name in names for table, columns in TABLES.items() if name in columns}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_column_that_matters_is_missing(seed: int) -> None:
    """Would catch: a clause, or a kind of expression, whose columns are in no lineage, so that
    nothing is held when they are lost."""
    data = Data(random.Random(seed))
    missing, claimed, tried = [], 0, 0
    for sql, rows in queries(seed, data):
        result = resolved(sql)
        if any(problem.code == "duplicate_column" for problem in result.problems):
            continue  # it is refused
        wrong = [problem for problem in result.problems if problem.code != "unnamed_column"]
        assert not wrong, (seed, sql, wrong)
        edges = [*result.filters, *(e for edges in result.lineage.values() for e in edges)]
        used = {(edge.input, edge.column.lower()) for edge in edges}
        named = used | {(edge.input, edge.column.lower()) for edge in result.mentions}
        tried += 1
        claimed += len(named)
        missing += [(how, column, sql) for how, column in data.missing(sql, rows, used, named)]
    print(f"seed {seed}: {tried} queries, {claimed / tried:.1f} of {len(EVERYTHING)} columns used")
    assert not missing, "\n".join(map(str, missing[:5]))
    assert claimed / tried < 0.6 * len(EVERYTHING)
