"""What kind of value an expression of SQL has, as far as its statement says.

Kinds: `int`, `decimal`, `float`, `text`, `bool`, `date`, `timestamp`, `timestamptz`, `time`,
`interval`; `string` and `null` for literals that take the type of what is beside them; `moment` for
a date or a timestamp; `total` for a sum that may be one of decimals; `fraction` for a decimal of
the origin that is a DOUBLE here; `other`; `odd` as `column_kind` says; empty for one that isn't
known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

_TYPES: Mapping[exp.DType, str] = {
    **dict.fromkeys(
        (exp.DType.INT, exp.DType.BIGINT, exp.DType.SMALLINT, exp.DType.UTINYINT), "int"
    ),
    exp.DType.DECIMAL: "decimal",
    exp.DType.DOUBLE: "float",
    exp.DType.FLOAT: "float",
    exp.DType.TEXT: "text",
    exp.DType.VARCHAR: "text",
    exp.DType.NVARCHAR: "text",
    exp.DType.CHAR: "text",
    exp.DType.NCHAR: "text",
    exp.DType.DATETIME2: "timestamp",
    exp.DType.BOOLEAN: "bool",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMP: "timestamp",
    exp.DType.TIMESTAMPTZ: "timestamptz",
    exp.DType.TIME: "time",
    exp.DType.INTERVAL: "interval",
}
_NUMBERS = ("int", "decimal", "float")
_BY_ARGUMENT: Mapping[str, Mapping[str, str]] = {
    "average": {"float": "float"},
    "sum": {"float": "float", "fraction": "fraction"},
    "trunc": {"date": "timestamptz", "timestamp": "timestamp", "timestamptz": "timestamptz"},
}
"""Constructs whose kind depends on that of their argument, else it is as `_OTHERWISE` says."""
_OTHERWISE = {"average": "fraction", "sum": "total", "trunc": "moment"}
_DEPTH_MAX = 30
DIGITS_MAX = 18
"""Of a decimal, of which two can be multiplied within 38 digits."""
_WORDS = re.compile(r"\D*[^\W\d_]\D*")


def type_name(kind: exp.DataType) -> str:
    """Return a type's name, without its arguments."""
    return str(kind.this.name) if isinstance(kind.this, exp.DType) else str(kind.this)


ColumnKinds = Callable[[exp.Table], Mapping[str, str]]


def kind_of_type(kind: exp.DataType) -> str:
    """Return the kind of a column of a type; of a decimal, only if others keep their digits."""
    digits = kind.expressions[0].name if kind.expressions else ""
    is_wide = not digits.isdigit() or int(digits) > DIGITS_MAX
    known = _TYPES.get(kind.this, "other") if isinstance(kind.this, exp.DType) else "other"
    return "total" if known == "decimal" and is_wide else known


def column_kind(kind: exp.DataType, dialect: str) -> str:
    """Return the kind of a stored column of a type; empty where that says too little.

    `odd` is a type that its database compares or computes with in a way of its own.
    """
    known = kind_of_type(kind)
    if dialect == "sqlite" or (known == "float" and dialect in _NOT_A_NUMBER):
        return ""
    if kind.this == exp.DType.UUID:
        return "other"
    is_odd = known == "other" or kind.this in (exp.DType.FLOAT, exp.DType.CHAR, exp.DType.NCHAR)
    return "odd" if is_odd else known


def kind_of_written_type(text: str, dialect: str) -> str:
    """Return the kind of a stored column by its written type; empty without one."""
    try:
        return column_kind(exp.DataType.build(text, dialect=dialect), dialect) if text else ""
    except (SqlglotError, ValueError):
        return "odd"


_NOT_A_NUMBER = ("bigquery", "trino", "presto", "athena")
"""Dialects in which NaN isn't equal to itself."""


class Kinds:
    """The kinds of a statement's expressions. `gives`: of each construct that is known.

    `columns` returns the kinds of a table's columns, by name in lower case.
    """

    def __init__(self, gives: Mapping[str, str], columns: ColumnKinds | None = None) -> None:
        self._gives = gives
        self._columns = columns
        self._depth = 0
        self._nodes: Mapping[Any, Callable[[Any], str]] = {
            exp.Literal: self._of_literal,
            exp.Cast: lambda node: _TYPES.get(node.to.this, "other"),
            exp.Column: self._of_column,
            exp.Subquery: self._of_subquery,
            exp.Case: self._of_case,
            exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod | exp.IntDiv: self._of_arithmetic,
        }

    def of(self, node: exp.Expr | None) -> str:
        """Return the kind of an expression's value; empty if it isn't known."""
        if node is None or self._depth > _DEPTH_MAX:
            return ""
        self._depth += 1
        try:
            return self._of(node)
        finally:
            self._depth -= 1

    def _of(self, node: exp.Expr) -> str:
        for kind, kind_of in self._nodes.items():
            if isinstance(node, kind):
                return kind_of(node)
        gives = self._gives.get(type(node).__name__, "")
        if gives == "this":
            return self.of(node.this)
        if gives == "common":
            return self._common([node.this, *node.expressions, node.args.get("expression")])
        if gives in _BY_ARGUMENT:
            return _BY_ARGUMENT[gives].get(self.of(node.this), _OTHERWISE[gives])
        return gives

    def of_rows(self, query: exp.Query) -> Mapping[str, str]:
        """Return the kinds of a query's columns by name in lower case, none of those behind `*`."""
        if isinstance(query, exp.Subquery):
            return self.of_rows(query.this)
        if isinstance(query, exp.SetOperation):
            left, right = self.of_rows(query.left), self.of_rows(query.right)
            return {name: kind for name, kind in left.items() if right.get(name) == kind}
        sources = [*_sources(query)] if isinstance(query, exp.Select) else []
        if len(sources) != 1 or not isinstance(query.selects[0], exp.Star):
            return {part.alias_or_name.lower(): self.of(part) for part in query.selects}
        return self._of_rows_in(sources[0])

    def _of_rows_in(self, source: exp.Expr) -> Mapping[str, str]:
        named = source if isinstance(source, exp.Subquery) else _cte(source)
        if named is not None:
            return {} if named is source.find_ancestor(exp.CTE) else self.of_rows(named.this)
        return self._columns(source) if self._columns and isinstance(source, exp.Table) else {}

    def _of_literal(self, node: exp.Expr) -> str:
        if not node.name.isdigit() or node.args.get("is_string"):
            return "string" if node.args.get("is_string") else "decimal"
        is_position = isinstance(node.parent, exp.Group | exp.Ordered)
        return self._of_position(node, int(node.name)) if is_position else "int"

    def _of_subquery(self, node: exp.Expr) -> str:
        selects = node.this.selects if isinstance(node.this, exp.Query) else []
        return self.of(selects[0]) if len(selects) == 1 else ""

    def _of_case(self, node: exp.Expr) -> str:
        values = [part.args.get("true") for part in node.args["ifs"]]
        return self._common([*values, node.args.get("default")])

    def _of_position(self, node: exp.Expr, position: int) -> str:
        """Return the kind of a column that GROUP BY or ORDER BY means by its number."""
        query = node.find_ancestor(exp.Query)
        selects = query.selects if isinstance(query, exp.Query) else []
        return self.of(selects[position - 1]) if 0 < position <= len(selects) else ""

    def _common(self, nodes: list[exp.Expr | None]) -> str:
        return _joined({self.of(node) for node in nodes if node is not None})

    def _of_arithmetic(self, node: exp.Binary) -> str:
        if isinstance(node, exp.Add) and any(map(_is_word, node.flatten())):
            return "text"
        kinds = {self.of(node.left), self.of(node.right)} - {"null"}
        if "interval" in kinds:
            return _moved(kinds)
        if kinds & {"date", "timestamp", "timestamptz", "moment"}:
            return _of_times(self.of(node.left), self.of(node.right), node)
        if isinstance(node, exp.Div) and kinds <= {"int", "decimal", "total", "fraction", ""}:
            return "int" if kinds == {"int"} else "fraction"
        return _joined(kinds)

    def _of_column(self, column: exp.Column) -> str:
        if column.name.startswith("$partition_"):
            return "bound"
        select = column.find_ancestor(exp.Select)
        while select is not None:
            sources = [*_sources(select)]
            named = [s for s in sources if s.alias_or_name.lower() == column.table.lower()]
            candidates = named if column.table else sources
            if candidates:
                return self._in_source(candidates[0], column.name) if len(candidates) == 1 else ""
            select = select.find_ancestor(exp.Select)
        return ""

    def _in_source(self, source: exp.Expr, name: str) -> str:
        named = source if isinstance(source, exp.Subquery) else _cte(source)
        if _names_columns(source) or (named is not None and _names_columns(named)):
            return ""
        if named is None:
            assert isinstance(source, exp.Table)
            return self._columns(source).get(name.lower(), "") if self._columns else ""
        is_itself = named is source.find_ancestor(exp.CTE)
        return "" if is_itself else self._in_query(named.this, name)

    def _in_query(self, query: exp.Expr, name: str) -> str:
        if isinstance(query, exp.Subquery):
            return self.of_column_in(query.this, name)
        if isinstance(query, exp.SetOperation):
            kinds = {self.of_column_in(side, name) for side in (query.left, query.right)}
            return kinds.pop() if len(kinds) == 1 else ""
        return self.of_column_in(query, name)

    def of_column_in(self, query: exp.Expr, name: str) -> str:
        """Return the kind of a query's column."""
        self._depth += 1
        try:
            if not isinstance(query, exp.Select) or self._depth > _DEPTH_MAX:
                return ""
            parts = [p for p in query.selects if p.alias_or_name.lower() == name.lower()]
            if len(parts) == 1:
                return self.of(parts[0])
            sources = [*_sources(query)]
            is_star = len(query.selects) == 1 and isinstance(query.selects[0], exp.Star)
            return self._in_source(sources[0], name) if is_star and len(sources) == 1 else ""
        finally:
            self._depth -= 1


def _is_word(node: exp.Expr) -> bool:
    """Whether it is a text that no database takes for a number or a time."""
    return isinstance(node, exp.Literal) and node.is_string and bool(_WORDS.fullmatch(node.name))


def _sources(select: exp.Select) -> Iterator[exp.Expr]:
    start = select.args.get("from_")
    for part in (start, *select.args.get("joins", ())):
        if part is not None and isinstance(part.this, exp.Table | exp.Subquery):
            yield part.this


def _names_columns(source: exp.Expr) -> bool:
    alias = source.args.get("alias")
    return alias is not None and bool(alias.args.get("columns"))


def _cte(table: exp.Expr) -> exp.Expr | None:
    """Return the CTE that a table's name means."""
    node: exp.Expr | None = table if isinstance(table, exp.Table) and not table.db else None
    while node is not None:
        named: list[exp.CTE] = [
            cte for cte in getattr(node, "ctes", ()) if cte.alias.lower() == table.name.lower()
        ]
        if named:
            return named[0]
        node = node.parent
    return None


def _joined(kinds: set[str]) -> str:
    """Return the kind of values that are one column, or that are computed with each other."""
    kinds = kinds - {"null"}
    if "fraction" in kinds and kinds <= {"fraction", "total", "int", "decimal", ""}:
        return "fraction"
    if "total" in kinds and kinds <= {"total", "int", "decimal", ""}:
        return "total"
    if kinds <= set(_NUMBERS) and kinds:
        return max(kinds, key=_NUMBERS.index)
    if kinds <= {"text", "string"} and kinds:
        return "text"
    typed = kinds - {"string"}
    return typed.pop() if len(typed) == 1 else "null" if not kinds else ""


def _moved(kinds: set[str]) -> str:
    """Return the kind of a time and an interval together."""
    times = kinds - {"interval"}
    if not times:
        return "interval"
    kind = times.pop()
    if kind in ("int", "decimal", "float"):
        return "interval"
    return "timestamp" if kind in ("date", "timestamp") else kind if kind == "timestamptz" else ""


def _of_times(left: str, right: str, node: exp.Binary) -> str:
    if right in ("int", ""):
        return left if left == "date" and right == "int" else ""
    if isinstance(node, exp.Sub) and left == right == "date":
        return "int"
    if isinstance(node, exp.Sub) and left in _POINTS and right in _POINTS:
        return "interval"
    return ""


_POINTS = ("date", "timestamp", "timestamptz")
