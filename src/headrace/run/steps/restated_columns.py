"""Which columns a restatement changed, in how many rows, and how: found column by column, so that rewritten codes of a key are seen
as that, and not as rows that went and came. Values themselves are told nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN, LakeColumn, StagedFile
from headrace.lake.session import DuckDBSession, quote
from headrace.quality.restating import ColumnValueChange
from headrace.quality.values import ValueKind, kind_of
from headrace.run.messages import RowChangeCounts
from headrace.run.steps.comparing import after_sql, before_sql

COLUMNS_MAX = 64
"""A table of more columns isn't compared column by column."""
ROWS_MAX = 1_000_000
"""Nor is a delivery of more rows."""
CODES_MAX = 10_000
"""A column of more distinct values has no codes."""
PARTITIONS_MAX = 31
"""Of one file with more intervals so many are compared column by column."""
TOLD_MAX = 5
_ALIKE = 0.005
"""Numbers are rounded: so large a part may each be off what a factor makes of it."""


def changed_columns(
    previous: InputData,
    staged: StagedFile,
    changed: Mapping[str, RowChangeCounts],
    session: DuckDBSession,
) -> dict[str, tuple[ColumnValueChange, ...]]:
    """Partition → its columns with other values than before, those with most changed rows first.
    Columns that only one side has, and columns of another type now, aren't compared."""
    import duckdb

    old = {column.name.lower(): column for column in previous.columns if column.name != PARTITION_COLUMN}
    both = [column for column in staged.columns if _same(column, old)]
    if not changed or len(both) > COLUMNS_MAX or staged.rows > ROWS_MAX:
        return {}
    results: dict[str, tuple[ColumnValueChange, ...]] = {}
    for key in [*changed][:PARTITIONS_MAX]:
        before, after = before_sql(previous, [key]), after_sql(staged, [key])
        try:
            columns = sorted(_of(session, both, before, after), key=lambda change: -change.rows)
        except duckdb.Error:  # it is restated all the same, whatever of it can't be compared
            continue
        results[key] = tuple(columns[:TOLD_MAX])
    return results


def _same(column: LakeColumn, old: Mapping[str, LakeColumn]) -> bool:
    was = old.get(column.name.lower())
    return was is not None and was.type == column.type


def _of(session: DuckDBSession, columns: Sequence[LakeColumn], before: str, after: str) -> Iterator[ColumnValueChange]:
    for column in columns:
        name = quote(column.name)
        own, had = (f"SELECT {name} FROM ({rows})" for rows in (after, before))
        counts = [
            session.connection.execute(f"SELECT count(*) FROM ({item} EXCEPT ALL {two})").fetchone()
            for item, two in ((own, had), (had, own))
        ]
        # rows that are only new, or only gone, changed no column
        if count := min(row[0] for row in counts if row is not None):
            yield _change(session, column, int(count), before, after)


def _change(session: DuckDBSession, column: LakeColumn, count: int, before: str, after: str) -> ColumnValueChange:
    """What became of a column of which at least `count` rows have other values: values that were
    emptied, numbers that all moved alike, of which each row is counted, or codes that were replaced."""
    name = quote(column.name)
    (was, had, nulls_before), (now, has, nulls_after) = (_counted(session, name, rows) for rows in (before, after))
    if nulls_after > nulls_before:
        return ColumnValueChange(column.name, count, f"{nulls_after - nulls_before:,} emptied")
    if kind_of(column.type) is ValueKind.NUMBER:  # few values of these are no codes
        how, moved = _moved_by(session, name, before, after)
        return ColumnValueChange(column.name, max(count, moved), how)
    codes = 1 < was <= CODES_MAX and was < sum(had)
    if codes and had == has and (new := _new_values(session, name, before, after)):
        how = f"{new:,} code{'' if new == 1 else 's'} written otherwise, one for one"
    else:
        how = f"{was} values became {now}" if codes and was != now else ""
    return ColumnValueChange(column.name, count, how)


def _counted(session: DuckDBSession, name: str, rows: str) -> tuple[int, list[int], int]:
    """How many distinct values a column has, how often each is there (in order), and its nulls."""
    counted = f"SELECT {name} AS v, count(*) AS n FROM ({rows}) GROUP BY 1"
    text = "SELECT count(v), list(n ORDER BY n) FILTER (v IS NOT NULL), sum(n) FILTER (v IS NULL)"
    row = session.connection.execute(f"{text} FROM ({counted})").fetchone()
    assert row is not None
    return row[0], row[1] or [0], row[2] or 0


def _moved_by(session: DuckDBSession, name: str, before: str, after: str) -> tuple[str, int]:
    """By what all numbers grew or shrank alike, such as `each × 1.1`, and how many did; empty where they didn't."""
    ranked = f"SELECT v, row_number() OVER (ORDER BY v) AS n FROM (SELECT {name}::DOUBLE AS v FROM ({{rows}})) WHERE v IS NOT NULL"
    row = session.connection.execute(
        f"WITH was AS ({ranked.format(rows=before)}), now AS ({ranked.format(rows=after)}),"
        " pairs AS (SELECT was.v AS a, now.v AS b FROM was FULL JOIN now USING (n)),"
        " moved AS (SELECT median(b - a) AS more, median(b / a) FILTER (a <> 0) AS times FROM pairs)"
        " SELECT more, times, count(*), bool_and(a IS NOT NULL AND b IS NOT NULL),"
        f" bool_and(abs(b - a - more) <= 1e-9 * greatest(abs(a), abs(b), 1)), bool_and(abs(b - a * times) <= {_ALIKE} * abs(b)),"
        " count(*) FILTER (a <> b)"
        " FROM pairs, moved GROUP BY more, times"
    ).fetchone()
    if row is None or row[2] < 2 or not row[3]:
        return "", 0
    more, times, _, _, added, multiplied, moved = row
    if added and more:
        return f"each {'+' if more > 0 else '-'} {abs(more):,.6g}", int(moved)
    if multiplied and times > 0 and abs(times - 1) > 2 * _ALIKE:
        return f"each × {times:,.4g}", int(moved)
    return "", 0


def _new_values(session: DuckDBSession, name: str, before: str, after: str) -> int:
    """How many values there are that weren't there before."""
    own, had = (f"SELECT DISTINCT {name} FROM ({rows}) WHERE {name} IS NOT NULL" for rows in (after, before))
    row = session.connection.execute(f"SELECT count(*) FROM ({own} EXCEPT {had})").fetchone()
    assert row is not None
    return int(row[0])
