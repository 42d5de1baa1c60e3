"""Differences between the rows of computed partitions and their published rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.engine import ErrorKind, InputData
from headrace.engine.failures import failed
from headrace.lake import PARTITION_COLUMN, ColumnLookup, FileRef, LakeColumn, StagedFile
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal, quote, relation_sql
from headrace.model import CheckSpec
from headrace.model.check_kinds import CommonCheck
from headrace.runtime.messages import (
    ComputeTask,
    RowChangeCounts,
)

_PARTITION = quote(PARTITION_COLUMN)


def compared(
    task: ComputeTask, staged: StagedFile, session: DuckDBSession
) -> dict[str, RowChangeCounts]:
    """Return partition → differences from `task.previous`. Raises as `differences` does."""
    return (
        {}
        if task.previous is None
        else differences(task.checks, task.previous.data, task.previous.hashes, staged, session)
    )


def differences(
    checks: Sequence[CheckSpec],
    previous: InputData,
    hashes: Mapping[str, str],
    staged: StagedFile,
    session: DuckDBSession,
) -> dict[str, RowChangeCounts]:
    """Return partition → differences of its rows from those of `previous`.

    Partitions without differences are left out; those with an equal content hash aren't read. If
    DuckDB can't compare the columns, all rows count as removed and added.

    Raises `BodyFailed` (transient) if the published rows can't be read any more.
    """
    import duckdb

    keys = [
        part.key
        for part in staged.partitions
        if part.content_hash is None or hashes.get(part.key) != part.content_hash
    ]
    if not keys:
        return {}
    try:
        return _differences(checks, previous, staged, keys, session)
    except duckdb.IOException as error:
        raise failed(
            f"what is published can't be compared: {error}", kind=ErrorKind.TRANSIENT
        ) from error
    except duckdb.Error:
        return _all_rows(previous, staged, keys, session)


def _differences(
    checks: Sequence[CheckSpec],
    previous: InputData,
    staged: StagedFile,
    keys: Sequence[str],
    session: DuckDBSession,
) -> dict[str, RowChangeCounts]:
    columns = _columns(previous.columns, staged.columns)
    before, after = (
        _side(before_sql(previous, keys), columns, 0),
        _side(after_sql(staged, keys), columns, 1),
    )
    names = [both.name for both in columns]
    known = next((key for check in checks if (key := _key_columns(check, names))), None)
    if known and not any(_repeats(session, side, known) for side in (before, after)):
        counts = _by_key(session, before, after, known, names)
    else:
        counts = _as_multisets(session, before, after, names)
    return {key: changed for key, changed in counts.items() if changed != RowChangeCounts()}


class _Both:
    """A column that one or both sides have."""

    def __init__(self, name: str, before: LakeColumn | None, after: LakeColumn | None) -> None:
        self.name, self._sides = name.lower(), (before, after)
        self._as_text = before is not None and after is not None and before.type != after.type

    def of(self, side: int) -> str:
        """Return the column's SQL on a side: null if missing, text if its type has changed."""
        column = self._sides[side]
        if column is None:
            return f"NULL AS {quote(self.name)}"
        return (
            f"{f'CAST({quote(column.name)} AS VARCHAR)' if self._as_text else quote(column.name)}"
            f" AS {quote(self.name)}"
        )


def _columns(before: Sequence[LakeColumn], after: Sequence[LakeColumn]) -> list[_Both]:
    old, new = (
        {column.name.lower(): column for column in side if column.name != PARTITION_COLUMN}
        for side in (before, after)
    )
    return [_Both(name, old.get(name), new.get(name)) for name in {**old, **new}]


def before_sql(previous: InputData, keys: Sequence[str]) -> str:
    """Return a query for the published rows of these partitions."""
    listed = ", ".join(literal(key) for key in keys)
    return (
        f"SELECT * FROM ({relation_sql(previous.files, previous.columns, with_partition=True)})"
        f" WHERE {_PARTITION} IN ({listed})"
    )


def after_sql(staged: StagedFile, keys: Sequence[str]) -> str:
    """Return a query for the staged rows of these partitions."""
    return relation_sql(
        [FileRef(staged.path, tuple(keys), lookup=ColumnLookup.SAME)],
        staged.columns,
        with_partition=True,
    )


def _side(rows: str, columns: Sequence[_Both], side: int) -> str:
    return (
        f"SELECT {', '.join([_PARTITION, *(column.of(side) for column in columns)])} FROM ({rows})"
    )


def _key_columns(check: CheckSpec, names: Sequence[str]) -> list[str]:
    """Return the columns of a unique key; empty if this check declares none."""
    if check.kind != CommonCheck.UNIQUE or check.where is not None:
        return []
    key = [str(name).lower() for name in check.arguments["columns"]]
    return key if set(key) <= set(names) else []


def _repeats(session: DuckDBSession, side: str, key: Sequence[str]) -> bool:
    listed = ", ".join([_PARTITION, *map(quote, key)])
    query = f"SELECT 1 FROM ({side}) GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    return session.connection.execute(query).fetchone() is not None


def _by_key(
    session: DuckDBSession, before: str, after: str, key: Sequence[str], names: Sequence[str]
) -> dict[str, RowChangeCounts]:
    on = " AND ".join(
        f"b.{name} IS NOT DISTINCT FROM a.{name}" for name in (_PARTITION, *map(quote, key))
    )
    differs = (
        " OR ".join(
            f"b.{quote(name)} IS DISTINCT FROM a.{quote(name)}" for name in names if name not in key
        )
        or "false"
    )
    rows = session.connection.execute(
        f"SELECT coalesce(a.{_PARTITION}, b.{_PARTITION}), count(*) FILTER (b.{_PARTITION} IS"
        f" NULL), count(*) FILTER (a.{_PARTITION} IS NULL), count(*) FILTER (a.{_PARTITION} IS NOT"
        f" NULL AND b.{_PARTITION} IS NOT NULL AND ({differs})) FROM ({before}) b FULL JOIN"
        f" ({after}) a ON {on} GROUP BY 1"
    ).fetchall()
    return {row[0]: RowChangeCounts(added=row[1], removed=row[2], changed=row[3]) for row in rows}


def _as_multisets(
    session: DuckDBSession, before: str, after: str, names: Sequence[str]
) -> dict[str, RowChangeCounts]:
    """Count differences without a key: a changed row counts as one removed and one added."""
    columns = ", ".join([_PARTITION, *map(quote, names)])

    def only(item: str, other: str) -> str:
        return f"SELECT {columns} FROM ({item}) EXCEPT ALL SELECT {columns} FROM ({other})"

    rows = session.connection.execute(
        f"SELECT {_PARTITION}, sum(new)::BIGINT, sum(gone)::BIGINT FROM (SELECT {_PARTITION}, 1 AS"
        f" new, 0 AS gone FROM ({only(after, before)}) UNION ALL SELECT {_PARTITION}, 0, 1 FROM"
        f" ({only(before, after)})) GROUP BY 1"
    ).fetchall()
    return {row[0]: RowChangeCounts(added=row[1], removed=row[2]) for row in rows}


def _all_rows(
    previous: InputData, staged: StagedFile, keys: Sequence[str], session: DuckDBSession
) -> dict[str, RowChangeCounts]:
    counted = f"SELECT {_PARTITION}, count(*) FROM ({before_sql(previous, keys)}) GROUP BY 1"
    removed: dict[str, int] = dict(session.connection.execute(counted).fetchall())
    added = {part.key: part.rows for part in staged.partitions}
    return {
        key: RowChangeCounts(added=added[key], removed=removed.get(key, 0))
        for key in keys
        if added[key] or removed.get(key)
    }
