"""What readers saw until the right delivery came: rows that were there several times, categories
under other names.

Two versions of one interval say what one of them was, exactly and without history: each of its
rows as often as the
other has it times two, or one name where the other has another one. It goes by what it was, not by
"restated".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN, LakeColumn, StagedFile
from headrace.lake.session import DuckDBSession, quote
from headrace.quality.facts import Fact
from headrace.quality.metrics import CATEGORIES_MAX, StoredMetrics, decoded
from headrace.quality.restating import PreviousPublication, copied, renamed
from headrace.run.steps.comparing import after_sql, before_sql
from headrace.run.steps.copies import CONTENTS_MIN, ROWS_MAX

TIMES_MAX = 10
COLUMNS_MAX = 200
PARTITIONS_MAX = 31


def corrected(
    before: Mapping[str, PreviousPublication],
    previous: InputData,
    staged: StagedFile,
    past: Sequence[StoredMetrics],
    session: DuckDBSession,
) -> tuple[Fact, ...]:
    """A fact about what readers saw of each partition, where the new rows show what was wrong with
    it."""
    import duckdb

    facts: list[Fact] = []
    for part in staged.partitions[:PARTITIONS_MAX]:
        known = before.get(part.key)
        if known is None or not known.attempt or max(part.rows, known.rows) > ROWS_MAX:
            continue
        try:
            facts += _of(part.key, part.rows, known, previous, staged, past, session)
        except duckdb.Error:  # what can't be compared is restated all the same
            continue
    return tuple(facts)


def _of(
    key: str,
    rows: int,
    known: PreviousPublication,
    previous: InputData,
    staged: StagedFile,
    past: Sequence[StoredMetrics],
    session: DuckDBSession,
) -> Iterator[Fact]:
    old = {column.name.lower(): column for column in previous.columns if column.name != PARTITION_COLUMN}
    both = [column for column in staged.columns if _same_type(column, old)][:COLUMNS_MAX]
    was, now = before_sql(previous, [key]), after_sql(staged, [key])
    times = known.rows // rows if rows >= CONTENTS_MIN and not known.rows % rows else 1
    if 2 <= times <= TIMES_MAX and len(both) == len(old):
        names = [column.name for column in both]
        apart = _apart(session, was, now, names, times)
        if apart is not None:
            yield copied(key, known, rows, times, apart)
    elif times == 1 and known.settled:
        for column in both:
            if column.type == "VARCHAR":
                yield from _renamed(key, known, column.name, was, now, past, session)


def _same_type(column: LakeColumn, old: Mapping[str, LakeColumn]) -> bool:
    was = old.get(column.name.lower())
    return was is not None and was.type == column.type


def _apart(session: DuckDBSession, was: str, now: str, names: Sequence[str], times: int) -> list[str] | None:
    """The columns in which the copies of a row differ; None where rows aren't there so many times."""
    same = [name for name in names if _is_multiple(session, was, now, [name], times)]
    if not same or not _is_multiple(session, was, now, same, times):
        return None
    listed = ", ".join(map(quote, same))
    row = session.connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {listed} FROM ({now}))").fetchone()
    return [name for name in names if name not in same] if row is not None and row[0] >= CONTENTS_MIN else None


def _is_multiple(session: DuckDBSession, was: str, now: str, names: Sequence[str], times: int) -> bool:
    """Whether one side has each content so many times as often as the other; it has so many times
    as many rows."""
    listed = ", ".join(map(quote, names))
    sides = (f"SELECT {listed}, count(*) * {many} AS n FROM ({rows}) GROUP BY {listed}" for rows, many in ((was, 1), (now, times)))
    return session.connection.execute(f"SELECT 1 FROM ({' EXCEPT '.join(sides)}) LIMIT 1").fetchone() is None


def _renamed(
    key: str, known: PreviousPublication, name: str, was: str, now: str, past: Sequence[StoredMetrics], session: DuckDBSession
) -> Iterator[Fact]:
    sides = [_counted(session, rows, name) for rows in (was, now)]
    if sides[0] == sides[1] or not all(2 <= len(side) <= CATEGORIES_MAX for side in sides):
        return
    history = [
        column_metrics.shares
        for metrics in past
        if (column_metrics := decoded(metrics.vector).columns.get(name)) is not None and column_metrics.shares
    ]
    fact = renamed(key, known, name, sides[0], sides[1], history)
    if fact is not None:
        yield fact


def _counted(session: DuckDBSession, rows: str, name: str) -> dict[str, int]:
    """How often each value of a column is there; no more of them than a column of categories has."""
    column = quote(name)
    counted = f"SELECT {column}, count(*) FROM ({rows}) WHERE {column} IS NOT NULL GROUP BY 1 LIMIT {CATEGORIES_MAX + 1}"
    return dict(session.connection.execute(counted).fetchall())
