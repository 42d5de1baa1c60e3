"""Restatements: whether, by how much and in which columns a delivery changes published rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.checks import restatement
from headrace.checks.anomalies import MetricHistory
from headrace.checks.anomalies.metric_anomalies import apply_policy
from headrace.checks.facts import Fact
from headrace.checks.metrics import CATEGORIES_MAX, StoredMetrics, decoded
from headrace.checks.restatement import (
    LOAD_COLUMNS,
    ColumnValueChange,
    PreviousPublication,
    RestatementCounts,
    categories_renamed,
    copies_removed,
    restatement_facts,
)
from headrace.checks.values import ValueKind, kind_of
from headrace.connect.connectors import connector_name
from headrace.connect.raw_files import CHUNK_BYTES, RawCopy, raw_path
from headrace.engine import InputData
from headrace.engine.failures import BodyFailed
from headrace.lake import PARTITION_COLUMN, LakeColumn, StagedFile
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote
from headrace.model import Source
from headrace.runtime.messages import IngestTask, RowChangeCounts
from headrace.runtime.steps.repeated_rows import CONTENTS_MIN, COPIES_ROWS_MAX
from headrace.runtime.steps.row_changes import after_sql, before_sql, differences

# Columns that a restatement changed, in how many rows, and how. They are compared column by column,
# so that rewritten codes of a key are recognised as such and not as removed and added rows. The
# values themselves are never reported.

CHANGED_COLUMNS_MAX = 64
"""Tables with more columns aren't compared column by column."""
COMPARED_ROWS_MAX = 1_000_000
"""Nor are deliveries with more rows."""
CODES_MAX = 10_000
"""A column with more distinct values isn't a column of codes."""
PARTITIONS_MAX = 31
"""At most this many intervals of one file are compared column by column."""
COLUMNS_LISTED_MAX = 5
_ALIKE = 0.005
"""Relative tolerance of a common factor: numbers may be rounded."""


def changed_columns(
    previous: InputData,
    staged: StagedFile,
    changed: Mapping[str, RowChangeCounts],
    session: DuckDBSession,
) -> dict[str, tuple[ColumnValueChange, ...]]:
    """Return partition → its changed columns, those with the most changed rows first.

    Columns that only one side has, and columns whose type has changed, aren't compared.
    """
    import duckdb

    both = _of_same_type(staged.columns, _types_of(previous))
    if not changed or len(both) > CHANGED_COLUMNS_MAX or staged.rows > COMPARED_ROWS_MAX:
        return {}
    results: dict[str, tuple[ColumnValueChange, ...]] = {}
    for key in [*changed][:PARTITIONS_MAX]:
        before, after = before_sql(previous, [key]), after_sql(staged, [key])
        try:
            columns = sorted(
                _changes_of(session, both, before, after), key=lambda change: -change.rows
            )
        except duckdb.Error:  # the restatement counts even if its columns can't be compared
            continue
        results[key] = tuple(columns[:COLUMNS_LISTED_MAX])
    return results


def _types_of(previous: InputData) -> dict[str, str]:
    """Return the type of each published column, by its name in lower case."""
    return {
        column.name.lower(): column.type
        for column in previous.columns
        if column.name != PARTITION_COLUMN
    }


def _of_same_type(columns: Sequence[LakeColumn], types: Mapping[str, str]) -> list[LakeColumn]:
    """Return the columns that have these types; `types` names columns in lower case."""
    return [column for column in columns if types.get(column.name.lower()) == column.type]


def _changes_of(
    session: DuckDBSession, columns: Sequence[LakeColumn], before: str, after: str
) -> Iterator[ColumnValueChange]:
    for column in columns:
        name = quote(column.name)
        current, had = (f"SELECT {name} FROM ({rows})" for rows in (after, before))
        counts = [
            session.connection.execute(f"SELECT count(*) FROM ({item} EXCEPT ALL {two})").fetchone()
            for item, two in ((current, had), (had, current))
        ]
        # rows that were only added or only removed changed no column
        if count := min(row[0] for row in counts if row is not None):
            yield _change(session, column, int(count), before, after)


def _change(
    session: DuckDBSession, column: LakeColumn, count: int, before: str, after: str
) -> ColumnValueChange:
    """Return the kind of change of a column in which at least `count` rows differ.

    Values became null, all numbers moved alike (then each moved row counts), or codes were
    replaced.
    """
    name = quote(column.name)
    (was, had, nulls_before), (now, has, nulls_after) = (
        _distinct_counts(session, name, rows) for rows in (before, after)
    )
    if nulls_after > nulls_before:
        return ColumnValueChange(column.name, count, f"{nulls_after - nulls_before:,} emptied")
    # a number column with few values isn't a column of codes
    if kind_of(column.type) is ValueKind.NUMBER:
        how, moved = _moved_by(session, name, before, after)
        return ColumnValueChange(column.name, max(count, moved), how)
    codes = 1 < was <= CODES_MAX and was < sum(had)
    if codes and had == has and (new := _new_values(session, name, before, after)):
        how = f"{new:,} code{'' if new == 1 else 's'} written otherwise, one for one"
    else:
        how = f"{was} values became {now}" if codes and was != now else ""
    return ColumnValueChange(column.name, count, how)


def _distinct_counts(session: DuckDBSession, name: str, rows: str) -> tuple[int, list[int], int]:
    """Return the number of distinct values, their sorted counts, and the number of nulls."""
    counted = f"SELECT {name} AS v, count(*) AS n FROM ({rows}) GROUP BY 1"
    text = "SELECT count(v), list(n ORDER BY n) FILTER (v IS NOT NULL), sum(n) FILTER (v IS NULL)"
    row = session.row(f"{text} FROM ({counted})")
    return row[0], row[1] or [0], row[2] or 0


def _moved_by(session: DuckDBSession, name: str, before: str, after: str) -> tuple[str, int]:
    """Return the common change of all numbers, such as `each × 1.1`, and the number changed.

    Empty and 0 if they didn't change alike.
    """
    ranked = (
        f"SELECT v, row_number() OVER (ORDER BY v) AS n FROM (SELECT {name}::DOUBLE AS v FROM"
        " ({rows})) WHERE v IS NOT NULL"
    )
    row = session.connection.execute(
        f"WITH was AS ({ranked.format(rows=before)}), now AS ({ranked.format(rows=after)}), pairs"
        " AS (SELECT was.v AS a, now.v AS b FROM was FULL JOIN now USING (n)), moved AS (SELECT"
        " median(b - a) AS more, median(b / a) FILTER (a <> 0) AS times FROM pairs) SELECT more,"
        " times, count(*), bool_and(a IS NOT NULL AND b IS NOT NULL), bool_and(abs(b - a - more)"
        f" <= 1e-9 * greatest(abs(a), abs(b), 1)), bool_and(abs(b - a * times) <= {_ALIKE} *"
        " abs(b)), count(*) FILTER (a <> b) FROM pairs, moved GROUP BY more, times"
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
    """Return the number of values that didn't occur before."""
    current, had = (
        f"SELECT DISTINCT {name} FROM ({rows}) WHERE {name} IS NOT NULL" for rows in (after, before)
    )
    row = session.row(f"SELECT count(*) FROM ({current} EXCEPT {had})")
    return int(row[0])


# The fault of published rows, as a corrected delivery shows it: repeated rows, or categories under
# other names. Two versions of one interval show it exactly and without history: one has each row a
# fixed number of times as often as the other, or another name in place of one. The fact then names
# that fault instead of "restated".

TIMES_MAX = 10
CORRECTED_COLUMNS_MAX = 200
CORRECTED_PARTITIONS_MAX = 31


def corrected(
    before: Mapping[str, PreviousPublication],
    previous: InputData,
    staged: StagedFile,
    past: Sequence[StoredMetrics],
    session: DuckDBSession,
) -> tuple[Fact, ...]:
    """Return a fact on the published rows of each partition whose fault the new rows show."""
    import duckdb

    facts: list[Fact] = []
    for part in staged.partitions[:CORRECTED_PARTITIONS_MAX]:
        known = before.get(part.key)
        if known is None or not known.attempt or max(part.rows, known.rows) > COPIES_ROWS_MAX:
            continue
        try:
            facts += _corrections_of(part.key, part.rows, known, previous, staged, past, session)
        except duckdb.Error:  # the restatement counts even if it can't be compared
            continue
    return tuple(facts)


def _corrections_of(
    key: str,
    rows: int,
    known: PreviousPublication,
    previous: InputData,
    staged: StagedFile,
    past: Sequence[StoredMetrics],
    session: DuckDBSession,
) -> Iterator[Fact]:
    types = _types_of(previous)
    both = _of_same_type(staged.columns, types)[:CORRECTED_COLUMNS_MAX]
    was, now = before_sql(previous, [key]), after_sql(staged, [key])
    times = _times_fewer(known.rows, rows)
    if 2 <= times <= TIMES_MAX and len(both) == len(types):
        apart = _apart(session, was, now, [column.name for column in both], times)
        if apart is not None:
            yield copies_removed(key, known, rows, times, apart)
    if times != 1 or not known.settled:
        return
    for column in both:
        if column.type == "VARCHAR":
            yield from _renamed(key, known, column.name, was, now, past, session)


def _times_fewer(published: int, delivered: int) -> int:
    """Return how often the delivered rows fit into the published ones; 1 if not without rest."""
    if delivered < CONTENTS_MIN or published % delivered:
        return 1
    return published // delivered


def _apart(
    session: DuckDBSession, was: str, now: str, names: Sequence[str], times: int
) -> list[str] | None:
    """Return the columns in which copies of a row differ.

    None unless each row has `times` copies.
    """
    same = [name for name in names if _is_multiple(session, was, now, [name], times)]
    if not same or not _is_multiple(session, was, now, same, times):
        return None
    listed = ", ".join(map(quote, same))
    row = session.connection.execute(
        f"SELECT count(*) FROM (SELECT DISTINCT {listed} FROM ({now}))"
    ).fetchone()
    return (
        [name for name in names if name not in same]
        if row is not None and row[0] >= CONTENTS_MIN
        else None
    )


def _is_multiple(
    session: DuckDBSession, was: str, now: str, names: Sequence[str], times: int
) -> bool:
    """Whether one side has each content `times` as often as the other.

    Its total row count is `times` as large.
    """
    listed = ", ".join(map(quote, names))
    sides = (
        f"SELECT {listed}, count(*) * {many} AS n FROM ({rows}) GROUP BY {listed}"
        for rows, many in ((was, 1), (now, times))
    )
    return (
        session.connection.execute(f"SELECT 1 FROM ({' EXCEPT '.join(sides)}) LIMIT 1").fetchone()
        is None
    )


def _renamed(
    key: str,
    known: PreviousPublication,
    name: str,
    was: str,
    now: str,
    past: Sequence[StoredMetrics],
    session: DuckDBSession,
) -> Iterator[Fact]:
    sides = [_value_counts(session, rows, name) for rows in (was, now)]
    if sides[0] == sides[1] or not all(2 <= len(side) <= CATEGORIES_MAX for side in sides):
        return
    history = [
        column_metrics.shares
        for metrics in past
        if (column_metrics := decoded(metrics.vector).columns.get(name)) is not None
        and column_metrics.shares
    ]
    fact = categories_renamed(key, known, name, sides[0], sides[1], history)
    if fact is not None:
        yield fact


def _value_counts(session: DuckDBSession, rows: str, name: str) -> dict[str, int]:
    """Return the count of each value, for at most one value more than categories may have."""
    column = quote(name)
    counted = (
        f"SELECT {column}, count(*) FROM ({rows}) WHERE {column} IS NOT NULL GROUP BY 1 LIMIT"
        f" {CATEGORIES_MAX + 1}"
    )
    return dict(session.connection.execute(counted).fetchall())


# Facts about restated partitions.

MUCH_CHANGED = 0.1
"""A source without partitions delivers its whole table each time, which grows and changes.

It counts as restated only if at least this share of the rows was removed or changed, or if the row
count doubled.
"""


_Compared = tuple[tuple[Fact, ...], dict[str, RestatementCounts], tuple[str, ...]]


class Restatements(NamedTuple):
    """Facts on restated partitions, and those with the same rows but for `ignored` columns."""

    facts: tuple[Fact, ...] = ()
    alike: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def restatements(
    task: IngestTask, staged: StagedFile, session: DuckDBSession, sha256: str
) -> Restatements:
    """Return a fact for each sound published partition that is delivered with other rows.

    None for unpartitioned sources that Headrace queries for their current rows: their values are
    expected to change.
    """
    before, previous = task.known.before, task.known.previous
    if not before or previous is None:
        return Restatements()
    if task.source.partition.whole and connector_name(task.source) is not None:
        return Restatements()
    now = {part.key: (part.rows, part.content_hash) for part in staged.partitions}
    now |= {key: (0, None) for key in task.keys if key not in now}
    compared = _compared(task, previous, staged, session)
    if compared is None:  # its files are gone: a restatement of unknown size
        return Restatements(restatement_facts(before, now, sha256, {}))
    return _restated(task, now, sha256, compared)


def _restated(
    task: IngestTask, now: dict[str, tuple[int, str | None]], sha256: str, compared: _Compared
) -> Restatements:
    """Return the facts on partitions whose rows differ in columns that are compared."""
    before = task.known.before
    corrections, counts, ignored = compared
    alike = tuple(key for key in before if ignored and key in now and key not in counts)
    if task.source.partition.whole and not _much(before, counts):
        return Restatements(corrections, alike, ignored)
    others = {key: now[key] for key in now if key not in alike}
    facts = restatement_facts(before, others, sha256, counts, ignored)
    return Restatements((*corrections, *facts), alike, ignored)


def _ignored(source: Source, columns: Sequence[LakeColumn]) -> tuple[str, ...]:
    """Return the columns that loading changes, and that deliveries are compared without."""
    names = LOAD_COLUMNS | {name.lower() for name in source.ignore_in_comparison}
    return tuple(column.name for column in columns if column.name.lower() in names)


def _compared(
    task: IngestTask, previous: InputData, staged: StagedFile, session: DuckDBSession
) -> _Compared | None:
    """Return facts on corrected faults, partition → how its rows differ, and ignored columns.

    None if the published files are gone.
    """
    before, ignored = task.known.before, _ignored(task.source, staged.columns)
    previous = msgspec.structs.replace(previous, columns=_without(previous.columns, ignored))
    staged = msgspec.structs.replace(staged, columns=_without(staged.columns, ignored))
    hashes = {
        key: publication.content_hash
        for key, publication in before.items()
        if publication.content_hash is not None
    }
    delivered_again = msgspec.structs.replace(
        staged, partitions=tuple(part for part in staged.partitions if part.key in before)
    )
    try:
        changed = differences(task.source.checks, previous, hashes, delivered_again, session)
        columns = changed_columns(previous, delivered_again, changed, session)
        changed_before = {key: before[key] for key in before if key in changed}
        corrections = corrected(changed_before, previous, delivered_again, task.history, session)
    except BodyFailed:
        return None
    differing = {
        key: RestatementCounts(counts.added, counts.removed, counts.changed, columns.get(key, ()))
        for key, counts in changed.items()
    }
    return corrections, differing, ignored


def _without(columns: Sequence[LakeColumn], names: Sequence[str]) -> tuple[LakeColumn, ...]:
    left_out = {name.lower() for name in names}
    return tuple(column for column in columns if column.name.lower() not in left_out)


def cut_off(task: IngestTask, staged: StagedFile, copy: RawCopy, raw: Path) -> tuple[Fact, ...]:
    """Return a fact if the file of a published interval is delivered again, but truncated.

    `on_anomaly` applies to it.
    """
    was = task.known.before.get(task.found.partition)
    if (
        was is None
        or was.sha256 is None
        or len(task.keys) != 1
        or task.source.partition.whole
        or copy.parts
    ):
        return ()
    fact = restatement.cut_off(
        task.found.partition,
        was,
        staged.rows,
        [metrics.rows for metrics in MetricHistory(task.history, None).all()],
    )
    published = raw_path(raw, was.sha256)
    if fact is None or published is None or not _begins(Path(published.path), Path(copy.path)):
        return ()
    return tuple(apply_policy((fact,), task.around.on_anomaly, task.around.of_columns))


def _begins(whole: Path, part: Path) -> bool:
    """Whether a file is the beginning of a longer one."""
    if part.stat().st_size >= whole.stat().st_size:
        return False
    with whole.open("rb") as item, part.open("rb") as other:
        while chunk := other.read(CHUNK_BYTES):
            if item.read(len(chunk)) != chunk:
                return False
    return True


def _much(
    before: Mapping[str, PreviousPublication], changed: Mapping[str, RestatementCounts]
) -> bool:
    """Whether more of a table changed than is usual for a source that delivers its current rows."""
    rows = {key: publication.rows for key, publication in before.items()}
    return any(
        counts.removed + counts.changed >= MUCH_CHANGED * rows[key] or counts.added >= rows[key]
        for key, counts in changed.items()
    )
