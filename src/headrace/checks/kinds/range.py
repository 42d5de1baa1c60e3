"""The check kind `range`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from headrace.checks.check_kinds import (
    FLOATS,
    AggregateCheck,
    CheckFinding,
    CheckKind,
    CheckSubject,
    CheckUnusable,
    rows,
    rows_breaking,
    same_column,
    value,
    within,
)
from headrace.checks.proposals import (
    MARGIN,
    ROWS_MIN,
    Memory,
    MutationKind,
    Proposal,
    Remembered,
)
from headrace.lake import ColumnStatistics
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec
from headrace.model.check_kinds import in_order, read_column, wider
from headrace.model.fields import Fields
from headrace.model.texts import marked

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


class Range(CheckKind):
    """`range: {column: distance, min: 0, max: 5000}`: each value is at least `min` and at most
    `max`. Null passes; NaN fails.
    """

    name = "range"
    fields = ("column", "min", "max")
    example = "range: {column: distance, min: 0}"
    reads_only_rows = True
    detects = frozenset({MutationKind.SCALE, MutationKind.SIGN, MutationKind.SWAPPED})

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the column and one or both bounds: numbers, or dates and times as texts."""
        column = read_column(fields)
        bounds = {name: fields.raw(name) for name in ("min", "max") if name in fields}
        for name, bound in bounds.items():
            if isinstance(bound, bool) or not isinstance(bound, (int, float, str)):
                fields.wrong(name, "a number, or a date or time as text")
                return None
        if not bounds:
            fields.report.error(
                "bad_check",
                fields.block.line,
                f"{fields.what} has neither `min` nor `max`",
                "give at least one",
            )
            return None
        if len(bounds) == 2 and not in_order(fields, bounds["min"], bounds["max"]):
            return None
        return None if column is None else {"column": column, **bounds}

    def measure(self, check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
        """Count rows outside the bounds, unless statistics prove that there are none."""
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
        if check.where is None and _is_proved(
            subject.statistics.get(column), column_type, least, most
        ):
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

    def looser(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Return whether the bounds of the same column admit more."""
        return before.get("column") == after.get("column") and wider(before, after)

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether its bounds accept all that the other check of the column accepts."""
        return same_column(arguments, by) and within(arguments, by)

    def proposed(self, column: str, memory: Memory) -> Iterator[Proposal]:
        """Propose a lower and an upper bound as separate checks: only a useful one is suggested."""
        known = memory.columns.get(column)
        if (
            known is None or memory.rows < ROWS_MIN or column in memory.key or known.of_partition
        ):  # keys and times grow
            return
        for name, bound in _bounds(known).items():
            evidence = (
                f"from '{marked(known.minimum)}' to '{marked(known.maximum)}' in {memory.summary}"
            )
            yield Proposal({"column": column, name: bound}, evidence, name)

    def merged_by(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Merge both bounds of a column."""
        return (str(arguments["column"]),)

    def merged(self, several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the column with its bounds."""
        both = super().merged(several)
        return {name: both[name] for name in self.fields if name in both}


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


def _bounds(known: Remembered) -> dict[str, int | float]:
    if not isinstance(known.minimum, int | float | Decimal) or not isinstance(
        known.maximum, int | float | Decimal
    ):
        return {}
    low, high = float(known.minimum), float(known.maximum)
    if not (math.isfinite(low) and math.isfinite(high)) or max(abs(low), abs(high)) > 1e15:
        return {}
    bounds: dict[str, int | float] = {}
    if low < 0:
        bounds["min"] = -_wide(-low)
    elif low == 0 or not isinstance(known.minimum, float):  # a measured value may become negative
        bounds["min"] = 0
    return {**bounds, "max": _wide(high)} if high > 0 else bounds


def _wide(value: float) -> int | float:
    """Return `MARGIN` times the value, rounded up to one significant digit: 4,983 → 50,000."""
    wide = value * MARGIN
    unit = 10.0 ** math.floor(math.log10(wide))
    up = math.ceil(wide / unit - 1e-9) * unit
    return int(up) if up >= 1 else float(f"{up:.1g}")
