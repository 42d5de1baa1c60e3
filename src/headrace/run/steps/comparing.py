"""What an attempt changes: how the rows of each partition that it made differ from those that readers see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.engine import ErrorKind, InputData
from headrace.engine.failures import failed
from headrace.lake import PARTITION_COLUMN, ColumnLookup, FileRef, LakeColumn, StagedFile
from headrace.lake.relation import relation_sql
from headrace.lake.session import DuckDBSession, literal, quote
from headrace.model import CheckSpec
from headrace.run.messages import ComputeTask, RowChangeCounts

_PARTITION = quote(PARTITION_COLUMN)


def compared(task: ComputeTask, staged: StagedFile, session: DuckDBSession) -> dict[str, RowChangeCounts]:
    """Partition → its rows against those of `task.previous`. Raises as `differences` does."""
    return {} if task.previous is None else differences(task.checks, task.previous, task.previous_hashes, staged, session)


def differences(
    checks: Sequence[CheckSpec], previous: InputData, hashes: Mapping[str, str], staged: StagedFile, session: DuckDBSession
) -> dict[str, RowChangeCounts]:
    """Partition → its rows against those of `previous`; partitions that don't differ aren't there, and those whose content hash
    is the same aren't read. Where DuckDB can't compare the columns, all rows count as removed and added.

    Raises `BodyFailed` (transient) where what readers saw can't be read any more."""
    import duckdb

    keys = [part.key for part in staged.partitions if part.content_hash is None or hashes.get(part.key) != part.content_hash]
    if not keys:
        return {}
    try:
        return _differences(checks, previous, staged, keys, session)
    except duckdb.IOException as error:
        raise failed(f"what is published can't be compared: {error}", kind=ErrorKind.TRANSIENT) from error
    except duckdb.Error:
        return _all_rows(previous, staged, keys, session)


def _differences(
    checks: Sequence[CheckSpec], previous: InputData, staged: StagedFile, keys: Sequence[str], session: DuckDBSession
) -> dict[str, RowChangeCounts]:
    columns = _columns(previous.columns, staged.columns)
    before, after = _side(before_sql(previous, keys), columns, 0), _side(after_sql(staged, keys), columns, 1)
    names = [both.name for both in columns]
    known = next((key for check in checks if (key := _key(check, names))), None)
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
        """The column on that side, null where it isn't there; as text where its type has changed."""
        column = self._sides[side]
        if column is None:
            return f"NULL AS {quote(self.name)}"
        return f"{f'CAST({quote(column.name)} AS VARCHAR)' if self._as_text else quote(column.name)} AS {quote(self.name)}"


def _columns(before: Sequence[LakeColumn], after: Sequence[LakeColumn]) -> list[_Both]:
    old, new = ({column.name.lower(): column for column in side if column.name != PARTITION_COLUMN} for side in (before, after))
    return [_Both(name, old.get(name), new.get(name)) for name in {**old, **new}]


def before_sql(previous: InputData, keys: Sequence[str]) -> str:
    """The rows of these partitions that readers see."""
    listed = ", ".join(literal(key) for key in keys)
    return f"SELECT * FROM ({relation_sql(previous.files, previous.columns, with_partition=True)}) WHERE {_PARTITION} IN ({listed})"


def after_sql(staged: StagedFile, keys: Sequence[str]) -> str:
    """The rows of these partitions as they were staged."""
    return relation_sql([FileRef(staged.path, tuple(keys), lookup=ColumnLookup.SAME)], staged.columns, with_partition=True)


def _side(rows: str, columns: Sequence[_Both], side: int) -> str:
    return f"SELECT {', '.join([_PARTITION, *(column.of(side) for column in columns)])} FROM ({rows})"


def _key(check: CheckSpec, names: Sequence[str]) -> list[str]:
    """The columns that say which row is which; empty if this check names none."""
    if check.kind != "unique" or check.where is not None:
        return []
    key = [str(name).lower() for name in check.arguments["columns"]]
    return key if set(key) <= set(names) else []


def _repeats(session: DuckDBSession, side: str, key: Sequence[str]) -> bool:
    listed = ", ".join([_PARTITION, *map(quote, key)])
    query = f"SELECT 1 FROM ({side}) GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    return session.connection.execute(query).fetchone() is not None


def _by_key(session: DuckDBSession, before: str, after: str, key: Sequence[str], names: Sequence[str]) -> dict[str, RowChangeCounts]:
    on = " AND ".join(f"b.{name} IS NOT DISTINCT FROM a.{name}" for name in (_PARTITION, *map(quote, key)))
    differs = " OR ".join(f"b.{quote(name)} IS DISTINCT FROM a.{quote(name)}" for name in names if name not in key) or "false"
    rows = session.connection.execute(
        f"SELECT coalesce(a.{_PARTITION}, b.{_PARTITION}), count(*) FILTER (b.{_PARTITION} IS NULL), "
        f"count(*) FILTER (a.{_PARTITION} IS NULL), "
        f"count(*) FILTER (a.{_PARTITION} IS NOT NULL AND b.{_PARTITION} IS NOT NULL AND ({differs})) "
        f"FROM ({before}) b FULL JOIN ({after}) a ON {on} GROUP BY 1"
    ).fetchall()
    return {row[0]: RowChangeCounts(added=row[1], removed=row[2], changed=row[3]) for row in rows}


def _as_multisets(session: DuckDBSession, before: str, after: str, names: Sequence[str]) -> dict[str, RowChangeCounts]:
    """Without a key a row that differs in one cell is one removed and one added."""
    columns = ", ".join([_PARTITION, *map(quote, names)])

    def only(item: str, other: str) -> str:
        return f"SELECT {columns} FROM ({item}) EXCEPT ALL SELECT {columns} FROM ({other})"

    rows = session.connection.execute(
        f"SELECT {_PARTITION}, sum(new)::BIGINT, sum(gone)::BIGINT FROM (SELECT {_PARTITION}, 1 AS new, 0 AS gone "
        f"FROM ({only(after, before)}) UNION ALL SELECT {_PARTITION}, 0, 1 FROM ({only(before, after)})) GROUP BY 1"
    ).fetchall()
    return {row[0]: RowChangeCounts(added=row[1], removed=row[2]) for row in rows}


def _all_rows(previous: InputData, staged: StagedFile, keys: Sequence[str], session: DuckDBSession) -> dict[str, RowChangeCounts]:
    counted = f"SELECT {_PARTITION}, count(*) FROM ({before_sql(previous, keys)}) GROUP BY 1"
    removed: dict[str, int] = dict(session.connection.execute(counted).fetchall())
    added = {part.key: part.rows for part in staged.partitions}
    return {key: RowChangeCounts(added=added[key], removed=removed.get(key, 0)) for key in keys if added[key] or removed.get(key)}
