"""Rows, values and copies that a delivery repeats: metrics that statements of their own count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.checks import Audit, CheckState, metrics
from headrace.checks.metrics import REPEATED_ROWS_MAX, ColumnMetrics
from headrace.checks.results import ColumnProfile
from headrace.checks.values import TELLING
from headrace.connect.formats.registry import reader
from headrace.connect.prepared import PreparedDelivery
from headrace.connect.text_files import ends_open
from headrace.engine import InputData
from headrace.lake import FileRef, LakeColumn, LakeTable, StagedFile
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal, quote, relation_sql
from headrace.lake.tables import PARTITION_COLUMN
from headrace.lake.tables import ColumnLookup as FileLookup
from headrace.model.check_kinds import CommonCheck
from headrace.runtime.messages import NeighbouringIntervals


class StagedRows(NamedTuple):
    """The staged rows of one partition, in a file that may hold others as well."""

    file: FileRef
    rows: int

    @classmethod
    def whole(cls, staged: StagedFile) -> StagedRows:
        """Return all rows of a file."""
        return cls(FileRef(staged.path, lookup=FileLookup.SAME), staged.rows)

    def sql(self, table: LakeTable) -> str:
        """Return a query for the rows, with the table's columns."""
        return relation_sql([self.file], columns_of(table))


def with_repeated(
    audit: Audit, session: DuckDBSession, staged: StagedRows, table: LakeTable
) -> Audit:
    """Return the audit with the number of rows identical to others, in the delivery's metrics.

    Only for deliveries of one partition. It is 0 where rows are known to be unique, and isn't
    counted above REPEATED_ROWS_MAX rows, nor where the audit's scan has counted it.
    """
    if not audit.metrics or not 1 < staged.rows <= REPEATED_ROWS_MAX:
        return audit
    measured = metrics.decoded(audit.metrics)
    if measured.repeated is not None:
        return audit
    unique = any(
        result.kind == CommonCheck.UNIQUE and result.outcome is CheckState.PASSED
        for result in audit.results
    ) or any(
        profile.sampled is None and profile.distinct == staged.rows
        for profile in audit.profile.values()
    )
    repeated = 0 if unique else _repeated(session, staged, table)
    vector = metrics.encoded(msgspec.structs.replace(measured, repeated=repeated))
    return msgspec.structs.replace(audit, metrics=vector)


def with_end(audit: Audit, prepared: PreparedDelivery) -> Audit:
    """Return the audit with the metric whether the file's last line lacks a line end.

    Only for deliveries of one partition.
    """
    if not audit.metrics or not reader(prepared.schema.format.kind).of_lines:
        return audit
    paths = [Path(part.opened.path) for part in prepared.parts or (prepared,)]
    return with_open_end(audit, open_end=any(map(ends_open, paths)))


def with_open_end(audit: Audit, *, open_end: bool) -> Audit:
    """Return the audit with the metric whether the file's last line lacks a line end."""
    known = metrics.decoded(audit.metrics)
    vector = metrics.encoded(msgspec.structs.replace(known, open_end=open_end))
    return msgspec.structs.replace(audit, metrics=vector)


def _repeated(session: DuckDBSession, staged: StagedRows, table: LakeTable) -> int:
    row = session.connection.execute(
        f"SELECT {repeated_sql(table)} FROM ({staged.sql(table)}) AS file"
    ).fetchone()
    return int(row[0]) if row else 0


def repeated_sql(table: LakeTable) -> str:
    """Return the aggregate that counts rows identical to others."""
    named = ", ".join(quote(column.name) for column in columns_of(table))
    return f"count(*) - count(DISTINCT hash({named}))"


# Repeated values: the share of the previous day's values that occur again in a column, and the
# share of rows with unknown keys.

DISTINCT_MIN, DISTINCT_MAX = 20, 50_000
"""Distinct values of a column that names things: fewer are categories, more are a key."""
REPEATED_COLUMNS_MAX = 8


def with_repeated_values(
    audit: Audit,
    session: DuckDBSession,
    staged: StagedRows,
    table: LakeTable,
    neighbours: NeighbouringIntervals,
    still_there: Mapping[str, float | None] | None = None,
) -> Audit:
    """Return the audit with metrics on repeated values, for a delivery of one partition.

    For each text column: the share of the previous day's values that occur again. For each column
    joined downstream: the share of rows whose key is unknown. `still_there` are the results of
    `shares_repeated`, if known.
    """
    before, lately = neighbours.day_before, neighbours.lately
    if (before is None and lately is None) or not audit.metrics or not staged.rows:
        return audit
    measured = metrics.decoded(audit.metrics)
    columns = dict(measured.columns)
    now = staged.sql(table)
    if before is not None:
        texts = [column.name for column in table.columns if column.type == "VARCHAR"]
        names = _named(texts, before, columns)
        shares = still_there or {
            name: _share_repeated(session, now, before, name) for name in names
        }
        columns |= _with_kept(columns, names, shares)
    if lately is not None:
        columns |= _with_unknown(columns, sorted(neighbours.joined), session, now, lately)
    if columns == measured.columns:
        return audit
    return msgspec.structs.replace(
        audit, metrics=metrics.encoded(msgspec.structs.replace(measured, columns=columns))
    )


def _with_kept(
    columns: Mapping[str, ColumnMetrics], names: Iterable[str], shares: Mapping[str, float | None]
) -> dict[str, ColumnMetrics]:
    return {name: msgspec.structs.replace(columns[name], kept=shares.get(name)) for name in names}


def shares_repeated(
    session: DuckDBSession, file: FileRef, table: LakeTable, before: Mapping[str, str]
) -> dict[str, dict[str, float | None]]:
    """Return, by partition and text column, the share of the previous values that still occur.

    `before` maps partitions in a file to the previous interval, whose rows the file has as well.
    """
    texts = [column.name for column in columns_of(table) if column.type == "VARCHAR"]
    if not texts or not before:
        return {}
    rows = relation_sql([file], columns_of(table), with_partition=True)
    cells = (
        f"SELECT DISTINCT {quote(PARTITION_COLUMN)} AS key, unnest(range({len(texts)})) AS place,"
        f" unnest([{', '.join(map(quote, texts))}]) AS value FROM ({rows}) AS file"
    )
    pairs = ", ".join(f"({literal(key)}, {literal(other)})" for key, other in before.items())
    counted = session.connection.execute(
        f"WITH cells AS MATERIALIZED (SELECT * FROM ({cells}) WHERE value IS NOT NULL) SELECT"
        " pairs.key, was.place, count(*), count(now.value) FROM (VALUES"
        f" {pairs}) AS pairs(key, before) JOIN cells AS was ON was.key = pairs.before LEFT JOIN"
        " cells AS now ON now.key = pairs.key AND now.place = was.place AND now.value = was.value"
        " GROUP BY pairs.key, was.place"
    ).fetchall()
    shares: dict[str, dict[str, float | None]] = {key: {} for key in before}
    for key, place, values, still in counted:
        shares[key][texts[place]] = still / values if values >= DISTINCT_MIN else None
    return shares


def _with_unknown(
    columns: Mapping[str, ColumnMetrics],
    names: Iterable[str],
    session: DuckDBSession,
    now: str,
    lately: InputData,
) -> dict[str, ColumnMetrics]:
    return {
        name: msgspec.structs.replace(
            columns[name], unknown=_share_unknown(session, now, lately, name)
        )
        for name in _named(names, lately, columns)
    }


def columns_of(table: LakeTable) -> list[LakeColumn]:
    """Return a table's columns without the system column."""
    return [column for column in table.columns if column.name != PARTITION_COLUMN]


def _named(
    names: Iterable[str], before: InputData, columns: Mapping[str, ColumnMetrics]
) -> list[str]:
    """Return the names of columns that name things and existed before."""
    had = {column.name for column in before.columns} - {PARTITION_COLUMN}
    return [
        name
        for name in names
        if name in had and name in columns and _names_things(columns[name].distinct)
    ][:REPEATED_COLUMNS_MAX]


def _names_things(distinct: float | None) -> bool:
    return distinct is not None and DISTINCT_MIN <= round(math.exp(distinct)) <= DISTINCT_MAX


def _share_repeated(session: DuckDBSession, now: str, before: InputData, name: str) -> float | None:
    """Return the share of a column's previous values that still occur."""
    cell = _cell(name)
    row = _counted(
        session,
        f"SELECT count(*), count(*) FILTER (value IN (SELECT {cell} FROM ({now}) AS a WHERE value"
        f" IS NOT NULL)) FROM ({_values(before, name)}) AS was",
    )
    return row[1] / row[0] if row and row[0] >= DISTINCT_MIN else None


def _share_unknown(session: DuckDBSession, now: str, lately: InputData, name: str) -> float | None:
    """Return the share of rows whose value in a column no recent row had."""
    row = _counted(
        session,
        f"SELECT count(*), count(*) FILTER (value NOT IN ({_values(lately, name)}))"
        f" FROM (SELECT {_cell(name)} FROM ({now}) AS a) AS own WHERE value IS NOT NULL",
    )
    return row[1] / row[0] if row and row[0] else None


def _cell(name: str) -> str:
    return f"{quote(name)} AS value"


def _values(data: InputData, name: str) -> str:
    """Return a query for the distinct values of a column, without null."""
    return (
        f"SELECT DISTINCT {_cell(name)} FROM ({relation_sql(data.files, data.columns)}) AS b WHERE"
        " value IS NOT NULL"
    )


def _counted(session: DuckDBSession, statement: str) -> tuple[int, int] | None:
    """Return the counts; None if the published files were replaced and deleted in the meantime."""
    import duckdb

    try:
        return session.connection.execute(statement).fetchone()
    except duckdb.IOException:
        return None


# Copies of rows: the number of times that each row of a delivery occurs, apart from its keys.

COPIES_ROWS_MAX = 100_000
"""Larger deliveries aren't compared row by row."""
COPIES_COLUMNS_MAX = 200
CONTENTS_MIN = 20
"""At least this many distinct rows must have counts with a common divisor, to rule out chance."""


def with_copies(
    audit: Audit,
    session: DuckDBSession,
    staged: StagedRows,
    table: LakeTable,
    times: Mapping[str, int] | None = None,
) -> Audit:
    """Return the audit with the number of times that each row occurs under other keys.

    Only for a delivery of one partition. `times` are the results for `uncounted`, if known.
    """
    if not _may_have_copies(audit, staged.rows, table):
        return audit
    copies, apart = _rows_times(audit, session, staged, table, times)
    known = msgspec.structs.replace(metrics.decoded(audit.metrics), copies=copies, apart=apart)
    return msgspec.structs.replace(audit, metrics=metrics.encoded(known))


def uncounted(audit: Audit, rows: int, table: LakeTable) -> list[str]:
    """Return the columns whose values have to be counted to know whether rows are copies."""
    if not _may_have_copies(audit, rows, table):
        return []
    even, times = _even(audit, rows, table)
    if not _may_be_copies(even, times, audit.profile):
        return []
    return sorted(set(even) - times.keys())


def _may_have_copies(audit: Audit, rows: int, table: LakeTable) -> bool:
    few = len(columns_of(table)) <= COPIES_COLUMNS_MAX
    return bool(audit.metrics) and few and 2 * CONTENTS_MIN <= rows <= COPIES_ROWS_MAX


def _even(audit: Audit, rows: int, table: LakeTable) -> tuple[list[str], dict[str, int]]:
    """Return the columns that may have each value several times, and how often if profiles tell."""
    columns = columns_of(table)
    even = [column.name for column in columns if _may_be_even(audit.profile.get(column.name), rows)]
    return even, _profiled_times(columns, even, audit.profile)


def _rows_times(
    audit: Audit,
    session: DuckDBSession,
    staged: StagedRows,
    table: LakeTable,
    known: Mapping[str, int] | None,
) -> tuple[int, tuple[str, ...]]:
    """Return the number of times that each row occurs, and the columns in which copies differ."""
    names = [column.name for column in columns_of(table)]
    even, times = _even(audit, staged.rows, table)
    if not _may_be_copies(even, times, audit.profile):
        return 1, ()
    rows = staged.sql(table)
    if known is None:
        times |= _times(session, rows, sorted(set(even) - times.keys()))
    else:
        times |= known
    same = [name for name in even if times[name] > 1]
    copies = _copies(session, rows, same) if _may_be_copies(same, times, audit.profile) else 1
    return copies, tuple(name for name in names if name not in same) if copies > 1 else ()


def _may_be_copies(
    names: Sequence[str], times: Mapping[str, int], profiles: Mapping[str, ColumnProfile]
) -> bool:
    """Whether all rows may occur several times, by these columns.

    The rows with one value are several different ones, each with its copies. So the number of
    copies divides the count of each value in each column.
    """
    common = math.gcd(*(times[name] for name in names if name in times))
    return common != 1 and _distinguish(names, profiles)


def _profiled_times(
    columns: Sequence[LakeColumn], names: Sequence[str], profiles: Mapping[str, ColumnProfile]
) -> dict[str, int]:
    """Return column → the greatest common divisor of the counts of its values, where profiles have
    all of them: columns of few values, of types that profiles show exactly.
    """
    exact = {column.name for column in columns if column.type in TELLING}
    known = {name: profiles[name] for name in names if name in exact and name in profiles}
    return {
        name: math.gcd(profile.nulls, *(count for _, count in profile.top))
        for name, profile in known.items()
        if profile.sampled is None
        and profile.categorical
        and profile.nulls + sum(count for _, count in profile.top) == profile.rows
    }


def _may_be_even(profile: ColumnProfile | None, rows: int) -> bool:
    """Whether each value of a column may occur several times, by its profile.

    Not if there are too many distinct values, or if the counts of some rows have no common
    divisor: a number of copies would divide the count of each value, so the sums of counts too.
    """
    if profile is None or profile.sampled is not None:
        return True
    if (profile.distinct or 0) > rows // 2:
        return False
    counts = (profile.rows, profile.nulls, profile.negative, profile.zero, profile.empty)
    frequent = (count for _, count in profile.top)
    return math.gcd(*(count or 0 for count in counts), *frequent, *profile.hours) > 1


def _distinguish(names: Sequence[str], profiles: Mapping[str, ColumnProfile]) -> bool:
    """Whether the values of these columns together can distinguish CONTENTS_MIN rows."""
    combinations = 1
    for name in names:
        profile = profiles.get(name)
        if profile is None or profile.distinct is None or profile.sampled is not None:
            return True
        combinations *= profile.distinct + (profile.nulls > 0)
    return combinations >= CONTENTS_MIN


def _times(session: DuckDBSession, rows: str, names: Sequence[str]) -> dict[str, int]:
    """Return column → the greatest common divisor of the counts of its values."""
    if not names:
        return {}
    hashes = ", ".join(f"hash({quote(name)})" for name in names)
    cells = (
        f"SELECT unnest(range({len(names)})) AS place, unnest([{hashes}]) AS cell"
        f" FROM ({rows}) AS file"
    )
    counted = f"SELECT place, count(*) AS n FROM ({cells}) GROUP BY place, cell"
    counts = dict(
        session.connection.execute(
            f"SELECT place, list(DISTINCT n) FROM ({counted}) GROUP BY place"
        ).fetchall()
    )
    return {name: math.gcd(*counts[at]) for at, name in enumerate(names)}


def times_by_partition(
    session: DuckDBSession, file: FileRef, table: LakeTable, names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Return what `_times` returns for each partition in a file."""
    if not names:
        return {}
    hashes = ", ".join(f"hash({quote(name)})" for name in names)
    key = quote(PARTITION_COLUMN)
    cells = (
        f"SELECT {key} AS key, unnest(range({len(names)})) AS place, unnest([{hashes}]) AS cell"
        f" FROM ({relation_sql([file], columns_of(table), with_partition=True)}) AS file"
    )
    counted = f"SELECT key, place, count(*) AS n FROM ({cells}) GROUP BY key, place, cell"
    times: dict[str, dict[str, int]] = {}
    for partition, place, counts in session.connection.execute(
        f"SELECT key, place, list(DISTINCT n) FROM ({counted}) GROUP BY key, place"
    ).fetchall():
        times.setdefault(partition, {})[names[place]] = math.gcd(*counts)
    return times


def _copies(session: DuckDBSession, rows: str, names: Sequence[str]) -> int:
    """Return the number of times that each row occurs, as far as these columns show.

    1 if the columns distinguish too few rows.
    """
    listed = ", ".join(map(quote, names))
    counted = f"SELECT count(*) AS n FROM ({rows}) AS file GROUP BY {listed}"
    row = session.row(f"SELECT count(*), list(DISTINCT n) FROM ({counted})")
    return math.gcd(*row[1]) if row[0] >= CONTENTS_MIN else 1
