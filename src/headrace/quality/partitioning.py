"""Rows that aren't of the partition they were staged for: `row_outside_partition`, checked of every asset with a partition column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from headrace.lake import PARTITION_COLUMN, ColumnStatistics
from headrace.lake.routing import NOWHERE, PartitionBounds, bounds_of, outside
from headrace.lake.session import literal, quote
from headrace.model import CheckSpec, Grain, Place
from headrace.quality.kinds import SELF, AggregateCheck, CheckedPartition, CheckFinding, CheckSubject, rows

NAME = "row_outside_partition"
CHECK = CheckSpec(kind=NAME, name=NAME, place=Place(file=""))


def rows_outside(subject: CheckSubject, column: str, grain: Grain, keys: Sequence[str], *, several: bool) -> AggregateCheck:
    """How to find rows whose column lies outside their partition, or is null; known at no scan where the file's least and
    greatest value prove that there are none. Raises `CheckUnusable` or `UnroutableColumn`."""
    column = subject.column(column)
    every = [bounds_of(key, grain, subject.timezone, subject.columns[column]) for key in keys]
    if not several and _proved(every[0], subject.statistics.get(column)):
        return AggregateCheck(lambda part, _: CheckFinding(part.rows))
    bad = _misplaced(column, every) if several else outside(column, every[0])

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        count = int(values[0])
        return CheckFinding(part.rows, count, f"{column}: {rows(count)} outside {part.key or 'the partitions asked for'}" if count else "")

    text = f"SELECT * FROM {quote(SELF)}" + ("" if several else f" WHERE {bad}")
    return AggregateCheck(judge, (f"count(*) FILTER (WHERE {bad})",), text, column)


def rows_nowhere() -> AggregateCheck:
    """How to find rows that were given no partition when they were staged."""
    bad = f"{quote(PARTITION_COLUMN)} = {literal(NOWHERE)}"

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        count = int(values[0])
        return CheckFinding(part.rows, count, f"{rows(count)} of none of the partitions asked for" if count else "")

    return AggregateCheck(judge, (f"count(*) FILTER (WHERE {bad})",), f"SELECT * FROM {quote(SELF)} WHERE {bad}")


def rows_of_another_key(subject: CheckSubject, column: str, key: str) -> AggregateCheck:
    """How to find rows whose key isn't that of their partition. Raises `CheckUnusable`."""
    column = subject.column(column)
    bad = f"(CAST({quote(column)} AS VARCHAR) IS DISTINCT FROM {literal(key)})"

    def judge(part: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
        count = int(values[0])
        return CheckFinding(part.rows, count, f"{column}: {rows(count)} with another key than {part.key}" if count else "")

    return AggregateCheck(judge, (f"count(*) FILTER (WHERE {bad})",), f"SELECT * FROM {quote(SELF)} WHERE {bad}", column)


def _misplaced(column: str, every: Sequence[PartitionBounds]) -> str:
    """A partition's key is looked up once for all rows that have it, where the file has it as a dictionary."""
    name = quote(column)
    low, high = (
        _of_key({bounds.key: bounds.low for bounds in every}),
        _of_key({partition_bounds.key: partition_bounds.high for partition_bounds in every}),
    )
    return f"(NOT coalesce({name} >= {low} AND {name} < {high}, false))"


def _of_key(values: Mapping[str, str]) -> str:
    """SQL for what belongs to the key of a row's partition; null where nothing does."""
    return f"MAP {{{', '.join(f'{literal(key)}: {value}' for key, value in values.items())}}}[{quote(PARTITION_COLUMN)}]"


def _proved(bounds: PartitionBounds, known: ColumnStatistics | None) -> bool:
    if known is None or known.nulls or known.minimum is None or known.maximum is None:
        return False
    least, greatest = _moment(known.minimum, bounds), _moment(known.maximum, bounds)
    return least is not None and greatest is not None and bounds.first <= least and greatest < bounds.beyond


def _moment(text: str, bounds: PartitionBounds) -> datetime | None:
    """A statistic as a value that compares with the bounds; None for infinities and years that Python doesn't know."""
    try:
        result = datetime.fromisoformat(text)
    except ValueError:
        return None
    if (result.tzinfo is None) != (bounds.first.tzinfo is None):
        return None
    return result.astimezone(UTC) if result.tzinfo else result
