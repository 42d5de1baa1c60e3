"""Types of expressions, as far as they are certain, and literals that compare."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from sqlglot import exp

from headrace_advisor.analysis.functions import gives_several
from headrace_advisor.analysis.statements import TEMPLATE_CHARACTER
from headrace_advisor.analysis.tables import family

ColumnType = Callable[[exp.Column], str]

_TEXT_FUNCTIONS = (exp.Upper, exp.Lower, exp.Trim, exp.Concat, exp.DPipe, exp.Substring)
_SAME = (exp.Max, exp.Min, exp.Paren, exp.Alias, exp.AnyValue, exp.Lag, exp.Lead, exp.FirstValue)
_WHOLE = (exp.Count, exp.RowNumber, exp.Length)


_EXACT_MAX = 15
"""Characters of numbers that a float holds, too."""


def type_of(  # complexipy: ignore (a case per kind of value)
    value: exp.Expr, column_type: ColumnType
) -> str:
    """Return the family of an expression's type; empty if it isn't certain."""
    if isinstance(value, exp.Column):
        return column_type(value)
    if isinstance(value, exp.Literal):
        if value.is_string:
            return "text"
        return "number" if _is_exact(value.name) else ""
    if isinstance(value, exp.Boolean):
        return "boolean"
    if isinstance(value, exp.Cast):
        return family(value.to.sql("duckdb"))
    if isinstance(value, _WHOLE):
        return "number"
    if isinstance(value, exp.Window):
        return type_of(value.this, column_type)
    if isinstance(value, exp.Max | exp.Min) and gives_several(value):
        return "list"
    if isinstance(value, _SAME):
        return type_of(value.this, column_type)
    if isinstance(value, _TEXT_FUNCTIONS):
        return "text"
    return _combined(value, column_type)


def _combined(  # complexipy: ignore (a case per kind of value)
    value: exp.Expr, column_type: ColumnType
) -> str:
    if isinstance(value, exp.Case):
        branches = [branch.args["true"] for branch in value.args["ifs"]]
        default = value.args.get("default")
        parts = [*branches, *([default] if default is not None else [])]
    elif isinstance(value, exp.Coalesce):
        parts = [value.this, *value.expressions]
    elif isinstance(value, exp.Add | exp.Sub | exp.Mul):
        types = {type_of(part, column_type) for part in (value.this, value.expression)}
        return "number" if types == {"number"} else ""
    elif isinstance(value, exp.Neg | exp.Sum):
        inner = type_of(value.this, column_type)
        return inner if inner in ("number", "float") else ""
    else:
        return ""
    types = {type_of(part, column_type) for part in parts if not isinstance(part, exp.Null)}
    return types.pop() if len(types) == 1 else ""


_DATE = re.compile(r"t\d{4}-\d{2}-\d{2}")


def constant_text(  # complexipy: ignore (a case per kind of value)
    value: exp.Expr,
) -> str | None:
    """Return a literal as text that differs for values that differ in every database.

    Texts that differ only in upper and lower case, or in spaces at the end, may be equal.
    """
    if isinstance(value, exp.Cast) and not isinstance(value, exp.TryCast):
        inner = constant_text(value.this)
        to = family(value.to.sql("duckdb"))
        if to == "date" and inner is not None and _DATE.fullmatch(inner):
            return f"d{inner[1:]}"
        same = to == "text"
        return inner if same and inner is not None and inner[:1] == "t" else None
    if isinstance(value, exp.Neg):
        inner = constant_text(value.this)
        return f"n{-Decimal(inner[1:])}" if inner is not None and inner[:1] == "n" else None
    if isinstance(value, exp.Boolean):
        return f"b{bool(value.this)}"
    if not isinstance(value, exp.Literal):
        return None
    if value.is_string and TEMPLATE_CHARACTER in value.name:
        return None
    if value.is_string:
        return f"t{value.name.rstrip().casefold()}"
    return f"n{Decimal(value.name).normalize()}" if _is_exact(value.name) else None


def _is_exact(number: str) -> bool:
    """Whether databases read a number without rounding it to a float."""
    return len(number) <= _EXACT_MAX and number.replace(".", "", 1).isdecimal()
