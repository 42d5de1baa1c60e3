"""`row_outside_partition`: the check that each row belongs to the partition it was staged for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from headrace.checks import profile_plan
from headrace.checks.check_kinds import (
    SELF,
    AggregateCheck,
    CheckedPartition,
    CheckFinding,
    CheckSubject,
    StagedScanner,
    rows,
)
from headrace.checks.evaluation import (
    Item,
    guarded,
)
from headrace.lake import (
    PARTITION_COLUMN,
)
from headrace.lake.row_routing import NOWHERE, PartitionBounds, bounds_of, outside
from headrace.lake.sqltext import literal, quote
from headrace.model import CheckSpec, Grain, Place
from headrace.model.partitions import SEPARATOR

# `row_outside_partition`: rows that don't belong to the partition for which they were staged. Every
# asset with a partition column is checked.

NAME = "row_outside_partition"
CHECK = CheckSpec(kind=NAME, name=NAME, place=Place(file=""))


def rows_outside(subject: CheckSubject, column: str, grain: Grain, key: str) -> AggregateCheck:
    """Return a check for rows whose column is null or outside the bounds of their partition.

    No scan is needed if the file's minimum and maximum prove that there are none. Raises
    `CheckUnusable` or `UnroutableColumn`.
    """
    column = subject.column(column)
    bounds = bounds_of(key, grain, subject.timezone, subject.columns[column])
    known = subject.statistics.get(column)
    if known is not None and _proved(bounds, known.nulls, known.minimum, known.maximum):
        return AggregateCheck(lambda part, _: CheckFinding(part.rows))
    bad = outside(column, bounds)

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        return _outside(column, part, int(values[0]))

    failing = f"SELECT * FROM {quote(SELF)} WHERE {bad}"
    return AggregateCheck(judge, (f"count(*) FILTER (WHERE {bad})",), failing, column)


def rows_outside_each(
    subject: CheckSubject, reader: StagedScanner, column: str, grain: Grain, keys: Sequence[str]
) -> AggregateCheck:
    """Return `rows_outside` for each of several partitions.

    The scan computes minimum and maximum, which the profiles of most columns need anyway. Rows are
    counted only for a partition where these don't prove that all of them are in their place.
    """
    column = subject.column(column)
    kind = subject.columns[column]
    every = {key: bounds_of(key, grain, subject.timezone, kind) for key in keys}

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        bounds = every.get(part.key)
        if bounds is None:  # rows of none of the partitions asked for
            return _outside(column, part, part.rows)
        if _proved(bounds, *values):
            return CheckFinding(part.rows)
        query = f"SELECT * FROM {quote(SELF)} WHERE {outside(column, bounds)}"
        return _outside(column, part, reader.count(query, part.key))

    return AggregateCheck(
        judge,
        (profile_plan.nulls_sql(column), *profile_plan.bounds_sql(column, kind)),
        f"SELECT * FROM {quote(SELF)}",
        column,
    )


def _outside(column: str, part: CheckedPartition, count: int) -> CheckFinding:
    where = part.key or "the partitions asked for"
    return CheckFinding(
        part.rows, count, f"{column}: {rows(count)} outside {where}" if count else ""
    )


def rows_nowhere() -> AggregateCheck:
    """Return a check for rows that were staged without a partition."""
    bad = f"{quote(PARTITION_COLUMN)} = {literal(NOWHERE)}"

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        count = int(values[0])
        return CheckFinding(
            part.rows,
            count,
            f"{rows(count)} of none of the partitions asked for" if count else "",
        )

    return AggregateCheck(
        judge, (f"count(*) FILTER (WHERE {bad})",), f"SELECT * FROM {quote(SELF)} WHERE {bad}"
    )


def rows_of_another_key(subject: CheckSubject, column: str, key: str) -> AggregateCheck:
    """Return a check for rows whose key isn't that of their partition. Raises `CheckUnusable`."""
    column = subject.column(column)
    bad = f"(CAST({quote(column)} AS VARCHAR) IS DISTINCT FROM {literal(key)})"

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        count = int(values[0])
        return CheckFinding(
            part.rows,
            count,
            f"{column}: {rows(count)} with another key than {part.key}" if count else "",
        )

    return AggregateCheck(
        judge,
        (f"count(*) FILTER (WHERE {bad})",),
        f"SELECT * FROM {quote(SELF)} WHERE {bad}",
        column,
    )


def _proved(bounds: PartitionBounds, nulls: int, minimum: str | None, maximum: str | None) -> bool:
    """Return whether a column's statistics show that all rows are within a partition's bounds."""
    if nulls or minimum is None or maximum is None:
        return False
    least, greatest = _comparable_time(minimum, bounds), _comparable_time(maximum, bounds)
    return (
        least is not None
        and greatest is not None
        and bounds.first <= least
        and greatest < bounds.beyond
    )


def _comparable_time(bound: str, bounds: PartitionBounds) -> datetime | None:
    """Return a statistic as a time to compare with the bounds.

    None for infinities, years that Python can't represent, and times that aren't comparable.
    """
    try:
        result = datetime.fromisoformat(bound)
    except ValueError:
        return None
    if (result.tzinfo is None) != (bounds.first.tzinfo is None):
        return None
    return result.astimezone(UTC) if result.tzinfo else result


PartitionCheck = tuple[str | None, Grain, str]
"""The column that routes rows, the grain and the time zone.

The column is None if there is none, or if the asset code is trusted to return the right rows.
"""


def _keyed(subject: CheckSubject, reader: StagedScanner, key: tuple[str, str] | None) -> list[Item]:
    """Return the check that each row has its partition's key.

    There is none if the rows don't have the key's column: then the file decides where they belong.
    """
    if (
        key is None
        or not reader.file.rows
        or key[0].lower() not in {name.lower() for name in subject.columns}
    ):
        return []
    return [guarded(Item(CHECK), lambda: rows_of_another_key(subject, *key))]


def placement_checks(
    subject: CheckSubject,
    reader: StagedScanner,
    parts: Sequence[CheckedPartition],
    keys: Sequence[str],
    partition_check: PartitionCheck | None,
    key: tuple[str, str] | None,
) -> list[Item]:
    """Return the checks that each row belongs to its partition.

    They don't count as checks of the asset and are reported only if they fail. `keys` are the
    requested partitions.
    """
    checks = _routed(subject, reader, keys or [part.key for part in parts], partition_check)
    checks += _keyed(subject, reader, key)
    if not checks and any(part.key == NOWHERE for part in parts):
        return [guarded(Item(CHECK), rows_nowhere)]
    return checks


def _routed(
    subject: CheckSubject,
    reader: StagedScanner,
    keys: Sequence[str],
    partition_check: PartitionCheck | None,
) -> list[Item]:
    """Return the check that the time of each row lies within its partition, if a column has it."""
    if partition_check is None or partition_check[0] is None or not reader.file.rows:
        return []
    column, grain = partition_check[0], partition_check[1]
    intervals = [key.partition(SEPARATOR)[0] for key in keys if key != NOWHERE]
    if reader.several:
        each = functools.partial(rows_outside_each, subject, reader, column, grain, intervals)
        return [guarded(Item(CHECK), each)]
    return [guarded(Item(CHECK), lambda: rows_outside(subject, column, grain, intervals[0]))]
