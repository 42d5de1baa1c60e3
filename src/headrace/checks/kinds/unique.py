"""The check kind `unique`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from headrace.checks.check_kinds import (
    SELF,
    AggregateCheck,
    CheckedPartition,
    CheckFinding,
    CheckKind,
    CheckSubject,
    lowered,
    rows,
    scope,
)
from headrace.checks.proposals import (
    Memory,
    MutationKind,
    Proposal,
)
from headrace.checks.values import INTEGERS
from headrace.lake import ColumnStatistics
from headrace.lake.sqltext import AS_WRITTEN, literal, quote
from headrace.model import CheckSpec
from headrace.model.check_kinds import read_columns
from headrace.model.fields import Fields

if TYPE_CHECKING:
    from headrace.checks.check_kinds import StagedScanner


# Counting keys with a bitmap. It is exact for whole numbers that lie close together: the scan sets
# one bit per key, in any order, and counts the bits. That costs a thirtieth of counting distinct
# keys with a hash table.

BITS_A_ROW_MAX = 32
"""Bits per row up to which a bitmap takes less memory than the hash table that counts keys."""
BITS_MAX = 2**28
"""A bitmap of 32 MiB per thread, plus one copy."""
NEAR_MAX = 2**62
"""Numbers up to here can be subtracted from one another as BIGINT."""
EPOCH_DAY = date(1970, 1, 1)


def bitmap_range(kind: str, known: ColumnStatistics | None) -> tuple[int, int] | None:
    """Return the least and greatest value of a column of whole numbers, or of dates as days.

    None for other columns, and for dates that Python's calendar lacks.
    """
    if known is None or known.minimum is None or known.maximum is None:
        return None
    if kind == "DATE":
        try:
            low, high = (
                (date.fromisoformat(bound) - EPOCH_DAY).days
                for bound in (known.minimum, known.maximum)
            )
        except ValueError:  # infinite, or before the year 1
            return None
        return low, high
    if kind not in INTEGERS:
        return None
    return int(known.minimum), int(known.maximum)


def counted_by_bitmap(
    columns: Mapping[str, str], ranges: Sequence[tuple[int, int]], rows: int
) -> str | None:
    """Return the aggregate for the number of distinct keys; None if the bitmap would be too large.

    `columns` maps the names of the key's columns to their types. A key is numbered as if each of
    its columns were a digit. Keys outside the ranges raise an error or are counted as another key.
    """
    size = math.prod(high - low + 1 for low, high in ranges)
    if size > min(BITS_A_ROW_MAX * rows, BITS_MAX):
        return None
    digits, factor = [], 1
    for (column, kind), (low, high) in zip(columns.items(), ranges, strict=True):
        digits.append(f"{_digit(quote(column), kind, low, high)} * {factor}")
        factor *= high - low + 1
    return f"bit_count(bitstring_agg({' + '.join(digits)}, 0, {size - 1}))"


def _digit(column: str, kind: str, low: int, high: int) -> str:
    """Return a value's distance from the lowest one, as BIGINT."""
    if kind == "DATE":
        return f"({column} - DATE '{EPOCH_DAY}' - ({low}))"
    if low >= -NEAR_MAX and high <= NEAR_MAX:
        return f"(CAST({column} AS BIGINT) - ({low}))"
    return f"CAST(CAST({column} AS HUGEINT) - ({low}) AS BIGINT)"


# Proof of unique keys by their order. It is exact, takes one pass over the key's columns and costs
# an eighth of counting distinct keys. Most large results are sorted by their key within row groups,
# but not as a whole file, because threads write row groups in any order. The proof has three steps:
# (1) within a row group each key is greater than the one before; (2) the ranges of the row groups
# in the key's first column overlap at most in single values; (3) keys with such a value don't
# repeat. If one of the steps fails, the keys are counted.

COLUMNS_MAX = 3
ROW_GROUPS_MAX = 10_000
_EXACT_BOUNDS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "DATE",
    "TIMESTAMP",
    "DECIMAL",
)
"""Prefixes of types whose Parquet statistics are neither truncated nor without order."""


def order_applies(columns: Sequence[str], leading_type: str) -> bool:
    """Return whether the order can prove a key of these columns unique; none may have nulls."""
    return len(columns) <= COLUMNS_MAX and leading_type.startswith(_EXACT_BOUNDS)


def unique_by_order(staged: StagedScanner, columns: Sequence[str], leading_type: str) -> bool:
    """Return True only if no two rows of the file have the same key. Raises `duckdb.Error`."""
    groups = _row_groups(staged, columns[0], leading_type)
    if (
        not groups
        or len(groups) > ROW_GROUPS_MAX
        or any(lowest is None for _, lowest, _, _ in groups)
    ):
        return False
    ordered = sorted(groups, key=lambda group: (group[1], group[2]))
    pairs = list(pairwise(ordered))
    if any(after[1] < before[2] for before, after in pairs):
        return False
    shared = sorted({str(after[3]) for before, after in pairs if after[1] == before[2]})
    if not _each_group_grows(staged, columns, [first_row for first_row, *_ in groups]):
        return False
    return not shared or _no_key_repeats(staged, columns, shared, leading_type)


def _row_groups(staged: StagedScanner, column: str, kind: str) -> list[tuple[int, Any, Any, Any]]:
    """Return for each row group its first row number, minimum, maximum, and the minimum as text."""
    return staged.fetch(
        "SELECT sum(row_group_num_rows) OVER (ORDER BY row_group_id) - row_group_num_rows,"
        f" CAST(stats_min_value AS {kind}), CAST(stats_max_value AS {kind}), stats_min_value FROM"
        f" parquet_metadata({literal(staged.path)}) WHERE path_in_schema = {literal(column)} ORDER"
        " BY row_group_id"
    )


def _each_group_grows(
    staged: StagedScanner, columns: Sequence[str], first_rows: Sequence[int]
) -> bool:
    names = [quote(column) for column in columns]
    before = [f"before_{index}" for index in range(len(names))]
    greater = ""
    for name, old in reversed(list(zip(names, before, strict=True))):
        greater = (
            f"{name} > {old} OR ({name} = {old} AND ({greater}))" if greater else f"{name} > {old}"
        )
    lags = ", ".join(
        f"{name}, lag({name}) OVER () AS {old}" for name, old in zip(names, before, strict=True)
    )
    starts = ", ".join(str(int(row)) for row in first_rows)
    source = f"read_parquet({literal(staged.path)}, {AS_WRITTEN}, file_row_number = true)"
    results = staged.fetch(
        f"SELECT count(*) FILTER (WHERE NOT ({greater}) AND file_row_number NOT IN ({starts})), "
        "count(*) FILTER (WHERE file_row_number <> position) "
        f"FROM (SELECT {lags}, file_row_number, row_number() OVER () - 1 AS position FROM {source})"
    )
    return results[0] == (0, 0)


def _no_key_repeats(
    staged: StagedScanner, columns: Sequence[str], values: Sequence[str], kind: str
) -> bool:
    names = [quote(column) for column in columns]
    among = ", ".join(f"CAST({literal(value)} AS {kind})" for value in values)
    results = staged.fetch(
        f"SELECT 1 FROM read_parquet({literal(staged.path)}, {AS_WRITTEN}) WHERE {names[0]} IN"
        f" ({among}) "
        f"GROUP BY {', '.join(names)} HAVING count(*) > 1 LIMIT 1"
    )
    return not results


class Unique(CheckKind):
    """`unique: [flight_id]`: no two rows of a partition have the same key. The count is exact. A
    key with a null in one of its columns never counts as repeated, as in SQL.
    """

    name = "unique"
    fields = ("columns",)
    short = "columns"
    example = "unique: [flight_id]"
    cause = "duplicate_rows"
    reads_only_rows = True
    declared_once = True
    detects = frozenset({MutationKind.DUPLICATES})

    def read(self, fields: Fields) -> dict[str, Any] | None:
        """Return the columns of the key."""
        return read_columns(fields)

    def measure(self, check: CheckSpec, subject: CheckSubject) -> AggregateCheck:
        """Count keys and distinct keys in the scan, unless a large file's keys are proved unique.

        A bitmap counts close whole numbers; `unique_by_order` proves other keys.
        """
        columns = [subject.column(name) for name in check.arguments["columns"]]
        names = [quote(column) for column in columns]
        key = names[0] if len(names) == 1 else f"({', '.join(names)})"
        known = " AND ".join(
            [
                *(
                    f"{quote(column)} IS NOT NULL"
                    for column in columns
                    if subject.nulls(column) != 0
                ),
                scope(check),
            ]
        )
        filtered = f" FILTER (WHERE {known})" if known != "(true)" else ""

        def judge(_: CheckedPartition, values: tuple[Any, ...]) -> CheckFinding:
            keys, distinct = int(values[0]), int(values[1])
            repeated = keys - distinct
            return CheckFinding(
                keys,
                repeated,
                f"{', '.join(columns)}: {rows(repeated)} repeating a key" if repeated else "",
            )

        failing = (
            f"SELECT {', '.join(names)}, count(*) AS rows FROM {quote(SELF)} WHERE {known} "
            "GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL"
        )
        return AggregateCheck(
            judge,
            aggregates=(f"count(*){filtered}", f"count(DISTINCT {key}){filtered}"),
            failing=failing,
            examples=columns[0] if len(columns) == 1 else "",
            staged_rows=False,
            faulty_rows=_sharing_a_key(check, names, failing),
            for_large_file=_bitmap(check, subject, columns),
            proof=_proof(check, subject, columns),
            distinct_of=columns[0] if len(columns) == 1 and check.where is None else "",
        )

    def looser(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Return whether columns were added: more columns together are unique more easily."""
        return set(after["columns"]) > set(before["columns"])

    def implied(self, arguments: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        """Return whether the other check's key is a part of this one."""
        return lowered(arguments["columns"]) >= lowered(by["columns"])

    def proposed(self, column: str, memory: Memory) -> Iterator[Proposal]:
        """Propose the key of the newest partitions."""
        if memory.key and (not column or (column,) == memory.key):
            evidence = f"no two rows of a partition share it, in {memory.summary}"
            yield Proposal({"columns": list(memory.key)}, evidence)

    def over_partitions(self, arguments: Mapping[str, Any], partition: str) -> dict[str, Any]:
        """Return the key with the partition as a part of it."""
        return {**arguments, "columns": [*arguments["columns"], partition]}


def _sharing_a_key(check: CheckSpec, names: Sequence[str], repeated: str) -> str:
    """Return a query of all rows that share a key, since nothing says which of them is right."""
    same = " AND ".join(f"mine.{name} = their.{name}" for name in names)
    mine = f"SELECT * FROM {quote(SELF)} WHERE {scope(check)}"
    return f"SELECT mine.* FROM ({mine}) AS mine SEMI JOIN ({repeated}) AS their ON {same}"


def _bitmap(check: CheckSpec, subject: CheckSubject, columns: list[str]) -> tuple[str, ...]:
    """Return the aggregates that count the key with a bitmap; empty if it can't."""
    if check.where is not None or any(subject.nulls(column) != 0 for column in columns):
        return ()
    types = {column: subject.columns[column] for column in columns}
    ranges = [bitmap_range(kind, subject.statistics.get(name)) for name, kind in types.items()]
    known = [of for of in ranges if of is not None]
    if len(known) < len(columns):
        return ()
    counted = counted_by_bitmap(types, known, subject.rows)
    return () if counted is None else ("count(*)", counted)


def _proof(
    check: CheckSpec, subject: CheckSubject, columns: list[str]
) -> Callable[[StagedScanner], bool] | None:
    leading_type = subject.columns[columns[0]]
    if check.where is not None or any(subject.nulls(column) != 0 for column in columns):
        return None
    if _bitmap(check, subject, columns) or not order_applies(columns, leading_type):
        return None
    return lambda staged: unique_by_order(staged, columns, leading_type)
