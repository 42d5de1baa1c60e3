"""Conversions that a contract declares, as SQL over the columns of one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from headrace.checks.drift import conversion_at, converted_since, in_force
from headrace.connect import Drift
from headrace.model import ContractColumn

if TYPE_CHECKING:
    from headrace.sql.parsing import Conversion


class Conversions(NamedTuple):
    """The conversions in force for one file."""

    computed: dict[str, str]
    """Column → SQL of its values, over the names that the table has for the file's columns."""
    as_is: dict[str, str]
    """Columns whose changed values are accepted as they are → the first interval with them."""


def conversions(
    columns: Sequence[ContractColumn],
    interval: str,
    names: Mapping[str, str],
    header: Sequence[str],
) -> Conversions | Drift:
    """Return the conversions of a contract's columns in an interval.

    `names` maps a file's name of a column to the table's. Only columns that have the expected name
    in the file are converted. Returns a Drift if the file lacks a column that an expression reads.
    """
    found_as = {column: name for name, column in names.items()}
    renamed = {name: names.get(name, name) for name in header}
    computed: dict[str, str] = {}
    as_is: dict[str, str] = {}
    for column in columns:
        text = conversion_at(column, interval)
        name = found_as.get(column.name)
        if text is None or name != in_force(column, interval):
            continue
        expression = _expression(column, text, header)
        if isinstance(expression, Drift):
            return expression
        if expression.columns == (name,) and expression.is_identity:
            as_is[column.name] = converted_since(column, interval)
        else:
            computed[column.name] = expression.over(renamed)
    return Conversions(computed, as_is)


def _expression(column: ContractColumn, text: str, header: Sequence[str]) -> Conversion | Drift:
    """Return a column's conversion; a Drift if it can't be used for a file with this header."""
    # imported here: it loads the SQL parser
    from headrace.sql.parsing import InvalidSelect, parse_conversion

    try:
        expression = parse_conversion(text)
    except InvalidSelect as why:
        return Drift((), (), f"the conversion of {column.name} can't be used: {why.message}")
    lacking = [name for name in expression.columns if name not in header]
    if not lacking:
        return expression
    message = f"the conversion of {column.name} reads {lacking[0]!r}, which it doesn't have"
    return Drift(tuple(lacking), (), message)
