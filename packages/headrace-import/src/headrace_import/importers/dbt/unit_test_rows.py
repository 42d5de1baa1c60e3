"""Rows that unit tests of dbt give and expect: mappings, CSV, and SQL that only lists values."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace_import.importers.dbt.outcome import Outcome
from headrace_import.importers.dbt.project_files import listed
from headrace_import.importers.sql_depth import parse_statement


class NotRows(Exception):
    """Rows that can't be written as values; the text says why."""


def rows_of(outcome: Outcome, given: Mapping[str, Any]) -> list[Any]:
    """Return the rows of an entry of `given` or `expect`. Raise NotRows."""
    kind, rows = given.get("format") or "dict", given.get("rows")
    fixture = given.get("fixture")
    if isinstance(fixture, str):
        rows = _fixture(outcome, fixture, "sql" if kind == "sql" else "csv")
    if not isinstance(rows, str):
        return listed(rows)
    return _sql_rows(rows, outcome.dialect) if kind == "sql" else _csv_rows(rows)


def _fixture(outcome: Outcome, name: str, ending: str) -> str:
    for file in outcome.nodes.files.role("test-paths", ending):
        if file.stem == name:
            return file.text
    raise NotRows(f"its fixture {name} isn't a {ending.upper()} file of this project")


def _csv_rows(text: str) -> list[dict[str, Any]]:
    cells = csv.DictReader(io.StringIO(text.strip(), newline=""), skipinitialspace=True)
    return [{name: _value(cell) for name, cell in row.items()} for row in cells]


def _value(value: Any) -> Any:
    """Return a cell of a CSV as dbt types it: numbers as numbers, nothing as null."""
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"-?(0|[1-9]\d{0,15})", value):
        return int(value)
    if re.fullmatch(r"-?(0|[1-9]\d{0,12})\.\d{1,6}", value):
        return float(value)
    return value or None


def _sql_rows(text: str, dialect: str) -> list[dict[str, Any]]:
    """Return the rows of `select 1 as id, 'a' as name union all select …`."""
    try:
        tree = parse_statement(text, dialect or "duckdb")
    except (SqlglotError, RecursionError, ValueError) as error:
        raise NotRows("its rows are SQL that can't be read") from error
    selects = _selects(tree)
    names = [column.alias for column in selects[0].expressions]
    if not names or "" in names or len(set(names)) < len(names):
        raise NotRows("its rows are SQL with columns that have no name, or the same")
    rows = [_sql_row(select) for select in selects]
    if any(len(row) != len(names) for row in rows):
        raise NotRows("its rows are SQL with other columns in each row")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _selects(tree: exp.Expr) -> list[exp.Select]:
    """Return the parts of a union in order, without recursion: there may be thousands."""
    parts: list[exp.Select] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Subquery) and _has_only(node, "this"):
            waiting.append(node.this)
        elif _is_plain_union(node):
            waiting += [node.expression, node.this]
        elif isinstance(node, exp.Select):
            parts.append(node)
        else:
            raise NotRows("its rows are SQL that does more than list values")
    return parts


def _is_plain_union(node: exp.Expr) -> bool:
    """Return whether a node is `… union all …`, without an order, a limit or `by name`."""
    known = ("this", "expression", "distinct")
    return isinstance(node, exp.Union) and _has_only(node, *known) and not node.args["distinct"]


def _has_only(node: exp.Expr, *parts: str) -> bool:
    return all(name in parts or not value for name, value in node.args.items())


def _sql_row(select: exp.Select) -> list[Any]:
    if any(value for key, value in select.args.items() if key not in ("expressions", "kind")):
        raise NotRows("its rows are SQL that does more than list values")
    return [_literal(column.unalias()) for column in select.expressions]


def _literal(node: exp.Expr) -> Any:
    if isinstance(node, exp.Cast):
        return _cast(_literal(node.this), node.to)
    if isinstance(node, exp.Neg):
        value = _literal(node.this)
        if isinstance(value, int | float):
            return -value
        raise NotRows("its rows are SQL with a number that isn't read exactly")
    reader = _LITERALS.get(type(node))
    if reader is None:
        raise NotRows("its rows are SQL that computes values")
    return reader(node)


def _cast(value: Any, kind: exp.DataType) -> Any:
    """Return a value as a type reads it; texts of dates stay texts. Raise NotRows."""
    if value is None or not kind.is_type(*exp.DataType.INTEGER_TYPES):
        return value
    number = _value(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise NotRows("its rows are SQL with a cast that changes a value")
    return number


_LITERALS: Mapping[type[exp.Expr], Callable[[exp.Expr], Any]] = {
    exp.Paren: lambda node: _literal(node.this),
    exp.Null: lambda _: None,
    exp.Boolean: lambda node: bool(node.this),
    exp.Literal: lambda node: str(node.this) if node.is_string else _value(str(node.this)),
}
