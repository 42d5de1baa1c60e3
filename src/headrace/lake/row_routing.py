"""SQL for the partition of a row, computed from the column that routes it (SEMANTICS §1).

Staging uses it to give each row its key, checks use it to verify that each row is in its partition.
A DATE is the local date; a TIMESTAMP without zone is local time (ambiguous: the first; in a gap:
the first instant after it); a TIMESTAMP WITH TIME ZONE is an instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from headrace.lake.sqltext import literal, quote
from headrace.model.errors import LakeError
from headrace.model.intervals import interval_of, local_us, offset_is_steady, to_us
from headrace.model.nodes import Grain

NOWHERE = ""
"""The key of rows outside the requested partitions.

No partition has this name, and checks reject it.
"""

_ZONED = "TIMESTAMP WITH TIME ZONE"
_SECOND = timedelta(seconds=1)
_FOLD_MAX = timedelta(hours=26)
"""26 hours: maximum distance of two readings of a wall clock; zones have moved by a whole day."""
_DAY = timedelta(days=1)
DAYS_IN_A_ROW_MIN = 8
"""The number of consecutive days from which on a date's text costs less than comparisons.

DuckDB takes 4 ms to plan the comparisons of 64 days, as long as to run them for 100,000 rows.
"""


class UnroutableColumn(LakeError):
    """The declared partition column isn't a date or a time."""


class PartitionBounds(msgspec.Struct, frozen=True):
    """A partition's `[low, high)` as SQL literals of the routing column's type.

    `first` and `beyond` are the same bounds as values, to compare with statistics.
    """

    key: str
    low: str
    high: str
    first: datetime
    """`low` as a value: with a zone for zoned columns, else local time without one."""
    beyond: datetime


def bounds_of(key: str, grain: Grain, timezone: str, column_type: str) -> PartitionBounds:
    """Return where a partition begins and ends in a column of that type.

    Raises UnroutableColumn for types that aren't dates or times.
    """
    interval = interval_of(key, grain, timezone)
    if column_type == _ZONED:
        first, beyond = interval.start.astimezone(UTC), interval.end.astimezone(UTC)
        return PartitionBounds(
            key, _literal(first, _ZONED), _literal(beyond, _ZONED), first, beyond
        )
    if column_type != "DATE" and not column_type.startswith("TIMESTAMP"):
        raise UnroutableColumn(
            f"the partition's column is {column_type}, which says no time",
            hint="cast it to DATE or TIMESTAMP",
        )
    first, beyond = _wall(interval.start, grain, timezone), _wall(interval.end, grain, timezone)
    sql_type = "DATE" if column_type == "DATE" and grain is not Grain.HOUR else "TIMESTAMP"
    return PartitionBounds(
        key, _literal(first, sql_type), _literal(beyond, sql_type), first, beyond
    )


def outside(column: str, bounds: PartitionBounds) -> str:
    """Return the SQL condition for rows outside the partition; null values are outside too."""
    name = quote(column)
    return f"({name} IS NULL OR {name} < {bounds.low} OR {name} >= {bounds.high})"


def key_expression(column: str, every: Sequence[PartitionBounds]) -> str:
    """Return SQL for the key of a row's partition among `every`, or `NOWHERE`.

    It is the text of the date for consecutive local days, else a binary tree of comparisons, so
    that the hours of a week need eight.
    """
    ordered = sorted(every, key=lambda bounds: (bounds.first, bounds.beyond))
    name = quote(column)
    inside = f"{name} >= {ordered[0].low} AND {name} < {ordered[-1].high}"
    within = (
        f"CAST(CAST({name} AS DATE) AS VARCHAR)"
        if _are_days_in_a_row(ordered)
        else _tree(name, ordered)
    )
    return f"CASE WHEN {inside} THEN {within} ELSE {literal(NOWHERE)} END"


def _are_days_in_a_row(ordered: Sequence[PartitionBounds]) -> bool:
    """Return whether the partitions are many days without gaps, in a column of local times."""
    if len(ordered) < DAYS_IN_A_ROW_MIN or ordered[0].first.tzinfo is not None:
        return False
    first = datetime.combine(ordered[0].first.date(), datetime.min.time())
    return all(
        bounds.first == first + at * _DAY
        and bounds.beyond - bounds.first == _DAY
        and bounds.key == bounds.first.date().isoformat()
        for at, bounds in enumerate(ordered)
    )


def _tree(name: str, ordered: Sequence[PartitionBounds]) -> str:
    if len(ordered) == 1:
        return (
            f"CASE WHEN {name} < {ordered[0].high} THEN {literal(ordered[0].key)} ELSE"
            f" {literal(NOWHERE)} END"
        )
    middle = len(ordered) // 2
    return (
        f"CASE WHEN {name} < {ordered[middle].low} THEN {_tree(name, ordered[:middle])} ELSE"
        f" {_tree(name, ordered[middle:])} END"
    )


def _literal(at: datetime, sql_type: str) -> str:
    if sql_type == "DATE":
        return f"DATE {literal(at.date().isoformat())}"
    return f"CAST({literal(at.isoformat(sep=' '))} AS {sql_type})"


def _wall(instant: datetime, grain: Grain, timezone: str) -> datetime:
    """Return the first local time that means `instant` or later.

    Days begin at their date's midnight; hours may begin in a repeated hour or after a gap.
    """
    wall_time = instant.replace(tzinfo=None)
    if grain is not Grain.HOUR:
        return datetime.combine(wall_time.date(), datetime.min.time())
    instant_us = to_us(instant)
    if offset_is_steady(instant_us, timezone):
        return wall_time
    return _first_meaning(instant_us, wall_time, timezone)


def _first_meaning(instant_us: int, wall_time: datetime, timezone: str) -> datetime:
    """Bisect: the instant that a wall clock means never decreases with it."""
    low, high = wall_time - _FOLD_MAX, wall_time + _FOLD_MAX
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        if local_us(middle.date(), middle.time(), timezone) >= instant_us:
            high = middle
        else:
            low = middle
    return high
