"""What the columns of published partitions hold, for the rules of an inferred contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.lake import PARTITION_COLUMN
from headrace.lake.sqltext import quote
from headrace.model import Source
from headrace.operations.contract_infer import VALUES_MAX, Observed
from headrace.operations.read import ReadQuery, find

if TYPE_CHECKING:
    from headrace.operations.session import ProjectSession

REPEATS_MIN = 20
"""Each of a few values must be seen so often on average, before they may be all that there are."""


def observe(session: ProjectSession, source: Source, keys: Sequence[str], columns: Sequence[str]) -> dict[str, Observed]:
    """Column → what it held in these partitions; columns that the table hasn't, or that are nested, are left out."""
    location = find(session, ReadQuery(source.name, tuple(keys)))
    if location.table is None or not location.files:
        return {}
    from headrace.lake.relation import relation_sql
    from headrace.lake.session import DuckDBSession as LakeSession  # duckdb

    session.close()  # a process has the state or DuckDB open
    types = {column.name: column.type for column in location.table.columns}
    plain = [name for name in columns if name in types and not types[name].startswith(("STRUCT", "MAP", "JSON")) and types[name][-1] != "]"]
    rows_of = relation_sql(location.files, location.table.columns, with_partition=True)
    with LakeSession(Path(location.lake), timezone=source.timezone) as lake:
        return {name: _of(lake.connection, rows_of, name, types[name]) for name in plain}


def _of(connection: Any, rows_of: str, name: str, kind: str) -> Observed:
    column, part = quote(name), quote(PARTITION_COLUMN)
    rows, filled, distinct, least, greatest = connection.execute(
        f"SELECT count(*), count({column}), count(DISTINCT {column}), left(CAST(min({column}) AS VARCHAR), 40),"
        f" left(CAST(max({column}) AS VARCHAR), 40) FROM ({rows_of})"
    ).fetchone()
    (repeated,) = connection.execute(
        f"SELECT coalesce(max(n), 0) FROM (SELECT count({column}) - count(DISTINCT {column}) AS n FROM ({rows_of}) GROUP BY {part})"
    ).fetchone()
    values: tuple[str, ...] = ()
    if kind == "VARCHAR" and 0 < distinct <= VALUES_MAX and filled >= REPEATS_MIN * distinct:
        listed = connection.execute(f"SELECT DISTINCT left({column}, 40) FROM ({rows_of}) WHERE {column} IS NOT NULL ORDER BY 1").fetchall()
        values = tuple(value for (value,) in listed)
    return Observed(int(rows), int(filled), int(distinct), int(repeated), least, greatest, values)
