"""The check kind `not_null`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.checks.check_kinds import (
    LISTED_VALUES_MAX,
    AggregateCheck,
    CheckedPartition,
    CheckFinding,
    CheckKind,
    CheckSubject,
    condition,
    lowered,
    rows,
    rows_breaking,
)
from headrace.checks.proposals import (
    ROWS_MIN,
    Memory,
    MutationKind,
    Proposal,
)
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec
from headrace.model.check_kinds import read_columns
from headrace.model.fields import Fields


class NotNull(CheckKind):
    """`not_null: [carrier, origin]`: no row has a null in these columns."""

    name = "not_null"
    fields = ("columns",)
    short = "columns"
    example = "not_null: [carrier]"
    cause = "null_spike"
    reads_only_rows = True
    detects = frozenset({MutationKind.NULLS})

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the columns."""
        return read_columns(fields)

    def measure(self, check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
        """Count rows with nulls in the scan, unless the file's statistics prove there are none."""
        declared = [subject.column(name) for name in check.arguments["columns"]]
        columns = [column for column in declared if subject.nulls(column) != 0]
        if not columns and check.where is None:
            return AggregateCheck(_none)
        columns = columns or declared
        any_null = " OR ".join(f"{quote(column)} IS NULL" for column in columns)
        counted = rows_breaking(
            check, any_null, lambda count: f"{columns[0]}: {rows(count)} with null"
        )
        return counted if len(columns) == 1 else _by_column(check, columns, counted)

    def looser(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Return whether columns were removed and none added."""
        return set(after["columns"]) < set(before["columns"])

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether the other check is about all of the columns."""
        return lowered(arguments["columns"]) <= lowered(by["columns"])

    def proposed(self, column: str, memory: Memory) -> Iterator[Proposal]:
        """Propose it for a column that is never null."""
        known = memory.columns.get(column)
        if known is not None and not known.nulls and memory.rows >= ROWS_MIN:
            yield Proposal({"columns": [column]}, f"never null in {memory.summary}")

    def merged_by(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Merge all proposals into one check."""
        del arguments
        return ()

    def merged(self, several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return all columns."""
        return {"columns": [column for arguments in several for column in arguments["columns"]]}


def _by_column(check: CheckSpec, columns: Sequence[str], counted: AggregateCheck) -> AggregateCheck:
    """Count nulls per column too: a check of 13 columns then names those that have any."""
    null_counts = tuple(
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

    return msgspec.structs.replace(
        counted, judge=judge, aggregates=(*counted.aggregates, *null_counts)
    )


def _detail(nulls: Sequence[tuple[str, int]]) -> str:
    """Return `origin: 2 rows with null, id: 1 row with null`, the column with most nulls first."""
    worst = sorted(nulls, key=lambda item: -item[1])
    first = ", ".join(
        f"{column}: {rows(count)} with null" for column, count in worst[:LISTED_VALUES_MAX]
    )
    more = f", … ({len(worst)} columns in all)" if len(worst) > LISTED_VALUES_MAX else ""
    return f"{first}{more}"


def _none(part: CheckedPartition, _: tuple[Any, ...]) -> CheckFinding:
    return CheckFinding(part.rows)
