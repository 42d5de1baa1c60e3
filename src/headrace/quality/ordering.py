"""Keys that are unique because they are in order: exact, in one pass over the key's columns, an eighth of counting distinct keys.

Most large results come out ordered by their key, but not the file as a whole: threads write row groups in any order. So
what is shown is that (1) within each row group each key is greater than the one before it, (2) the row groups' ranges of the
key's first column overlap at most in single values, and (3) keys with such a value don't repeat. If any of it can't
be shown, nothing is said, and keys are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from headrace.lake.session import literal, quote

if TYPE_CHECKING:
    from headrace.quality.scanning import StagedScanner

COLUMNS_MAX = 3
ROW_GROUPS_MAX = 10_000
_EXACT_BOUNDS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "DATE", "TIMESTAMP", "DECIMAL")
"""Types whose statistics in Parquet are neither shortened nor unordered; names that begin so."""


def can_be_tried(columns: Sequence[str], leading_type: str) -> bool:
    """Whether a proof is possible for a key of these columns, none of which has nulls."""
    return len(columns) <= COLUMNS_MAX and leading_type.startswith(_EXACT_BOUNDS)


def proves_unique(staged: StagedScanner, columns: Sequence[str], leading_type: str) -> bool:
    """True only if no two rows of the file have the same key. Raises `duckdb.Error`."""
    groups = _row_groups(staged, columns[0], leading_type)
    if not groups or len(groups) > ROW_GROUPS_MAX or any(lowest is None for _, lowest, _, _ in groups):
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
    """Of each row group: the number of its first row in the file, the column's least and greatest value, and the least as text."""
    return staged.fetch(
        f"SELECT sum(row_group_num_rows) OVER (ORDER BY row_group_id) - row_group_num_rows, CAST(stats_min_value AS {kind}), "
        f"CAST(stats_max_value AS {kind}), stats_min_value FROM parquet_metadata({literal(staged.path)}) "
        f"WHERE path_in_schema = {literal(column)} ORDER BY row_group_id"
    )  # fmt: skip


def _each_group_grows(staged: StagedScanner, columns: Sequence[str], first_rows: Sequence[int]) -> bool:
    names = [quote(column) for column in columns]
    before = [f"before_{index}" for index in range(len(names))]
    greater = ""
    for name, old in reversed(list(zip(names, before, strict=True))):
        greater = f"{name} > {old} OR ({name} = {old} AND ({greater}))" if greater else f"{name} > {old}"
    lags = ", ".join(f"{name}, lag({name}) OVER () AS {old}" for name, old in zip(names, before, strict=True))
    starts = ", ".join(str(int(row)) for row in first_rows)
    source = f"read_parquet({literal(staged.path)}, file_row_number = true)"
    results = staged.fetch(
        f"SELECT count(*) FILTER (WHERE NOT ({greater}) AND file_row_number NOT IN ({starts})), "
        f"count(*) FILTER (WHERE file_row_number <> position) "
        f"FROM (SELECT {lags}, file_row_number, row_number() OVER () - 1 AS position FROM {source})"
    )
    return results[0] == (0, 0)


def _no_key_repeats(staged: StagedScanner, columns: Sequence[str], values: Sequence[str], kind: str) -> bool:
    names = [quote(column) for column in columns]
    among = ", ".join(f"CAST({literal(value)} AS {kind})" for value in values)
    results = staged.fetch(
        f"SELECT 1 FROM read_parquet({literal(staged.path)}) WHERE {names[0]} IN ({among}) "
        f"GROUP BY {', '.join(names)} HAVING count(*) > 1 LIMIT 1"
    )
    return not results
