"""`not_null: [carrier, origin]`: no row has a null there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.checks.check_kinds import (
    LISTED_VALUES_MAX,
    AggregateCheck,
    CheckedPartition,
    CheckFinding,
    CheckSubject,
    check_kind,
    condition,
    rows,
    rows_breaking,
)
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec


@check_kind("not_null")
def not_null(check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
    """Count rows with nulls in the scan, unless the file's statistics prove that there are none."""
    declared = [subject.column(name) for name in check.arguments["columns"]]
    columns = [column for column in declared if subject.nulls(column) != 0]
    if not columns and check.where is None:
        return AggregateCheck(_none)
    columns = columns or declared
    any_null = " OR ".join(f"{quote(column)} IS NULL" for column in columns)
    counted = rows_breaking(check, any_null, lambda count: f"{columns[0]}: {rows(count)} with null")
    return counted if len(columns) == 1 else _by_column(check, columns, counted)


def _by_column(check: CheckSpec, columns: Sequence[str], counted: AggregateCheck) -> AggregateCheck:
    """Count nulls per column too: a check of 13 columns then names those that have any."""
    own = tuple(
        f"count(*) FILTER (WHERE {condition(check, f'{quote(column)} IS NULL')})"
        for column in columns
    )

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        finding = counted.judge(part, values[: len(counted.aggregates)])
        if not finding.failing:
            return finding
        nulls = zip(columns, values[len(counted.aggregates) :], strict=True)
        return msgspec.structs.replace(
            finding, detail=_detail([(column, int(count)) for column, count in nulls if count])
        )

    return msgspec.structs.replace(counted, judge=judge, aggregates=(*counted.aggregates, *own))


def _detail(nulls: Sequence[tuple[str, int]]) -> str:
    """Return `origin: 2 rows with null, id: 1 row with null`, the column with most nulls first."""
    worst = sorted(nulls, key=lambda item: -item[1])
    text = ", ".join(
        f"{column}: {rows(count)} with null" for column, count in worst[:LISTED_VALUES_MAX]
    )
    return text if len(worst) <= LISTED_VALUES_MAX else f"{text}, … ({len(worst)} columns in all)"


def _none(part: CheckedPartition, _: tuple[Any, ...]) -> CheckFinding:
    return CheckFinding(part.rows)
