"""`range: {column: distance, min: 0, max: 5000}`: values lie between, both included. Null passes;
NaN lies nowhere.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from headrace.checks.check_kinds import (
    FLOATS,
    AggregateCheck,
    CheckFinding,
    CheckSubject,
    CheckUnusable,
    check_kind,
    rows,
    rows_breaking,
    value,
)
from headrace.lake import ColumnStatistics
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec

_EXACT = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "DECIMAL",
)


@check_kind("range")
def range_(check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
    """Count rows outside the bounds, unless the file's statistics prove that there are none."""
    column = subject.column(check.arguments["column"])
    least, most = check.arguments.get("min"), check.arguments.get("max")
    column_type, name = subject.columns[column], quote(column)
    if column_type == "VARCHAR" and not all(
        isinstance(bound, str) for bound in (least, most) if bound is not None
    ):
        raise CheckUnusable(
            f"column `{column}` is text, which numbers don't bound",
            hint="cast it in the body, or write the bounds as text",
        )
    if check.where is None and _is_proved(subject.statistics.get(column), column_type, least, most):
        return AggregateCheck(lambda part, _: CheckFinding(part.rows))
    bad = [f"{name} < {value(least, column_type)}"] if least is not None else []
    bad += [f"{name} > {value(most, column_type)}"] if most is not None else []
    bad += [f"isnan({name})"] if column_type in FLOATS else []
    return rows_breaking(
        check,
        " OR ".join(bad) or "false",
        lambda count: f"{column}: {rows(count)} {_outside(least, most)}",
        examples=column,
    )


def _is_proved(
    known: ColumnStatistics | None, column_type: str, least: object, most: object
) -> bool:
    """Return whether statistics prove it: those of whole numbers and decimals are exact."""
    if (
        known is None
        or known.minimum is None
        or known.maximum is None
        or not column_type.startswith(_EXACT)
        or column_type.endswith("]")
    ):
        return False
    try:
        above = least is None or Decimal(known.minimum) >= Decimal(str(least))
        return above and (most is None or Decimal(known.maximum) <= Decimal(str(most)))
    except InvalidOperation:  # a bound that isn't a number; DuckDB reports it
        return False


def _outside(least: object, most: object) -> str:
    if most is None:
        return f"below {least}"
    return f"above {most}" if least is None else f"outside {least} to {most}"
