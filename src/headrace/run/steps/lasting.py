"""Which of the values that a column had the day before came again."""

from __future__ import annotations

import math

import msgspec

from headrace.engine import InputData
from headrace.lake import FileRef, StagedFile, Table
from headrace.lake.relation import relation_sql
from headrace.lake.session import Session, quote
from headrace.lake.tables import PARTITION_COLUMN
from headrace.lake.tables import Lookup as FileLookup
from headrace.quality import Audit, metrics

DISTINCT_MIN, DISTINCT_MAX = 20, 50_000
"""A column of fewer values has categories, one of more is a key."""
COLUMNS_MAX = 8


def with_lasting(found: Audit, session: Session, staged: StagedFile, table: Table, day_before: InputData | None) -> Audit:
    """The metrics of a delivery of one partition, with the share of the day before's values that came again in each column of text."""
    if day_before is None or not found.metrics or not staged.rows:
        return found
    measured = metrics.decoded(found.metrics)
    had = {column.name for column in day_before.columns}
    texts = [one.name for one in table.columns if one.type == "VARCHAR" and one.name in had and one.name != PARTITION_COLUMN]
    names = [name for name in texts if name in measured.columns and _names_things(measured.columns[name].distinct)][:COLUMNS_MAX]
    if not names:
        return found
    columns = dict(measured.columns)
    for name in names:
        columns[name] = msgspec.structs.replace(columns[name], kept=_kept(session, staged, table, day_before, name))
    return msgspec.structs.replace(found, metrics=metrics.encoded(msgspec.structs.replace(measured, columns=columns)))


def _names_things(distinct: float | None) -> bool:
    return distinct is not None and DISTINCT_MIN <= round(math.exp(distinct)) <= DISTINCT_MAX


def _kept(session: Session, staged: StagedFile, table: Table, day_before: InputData, name: str) -> float | None:
    import duckdb

    columns = [column for column in table.columns if column.name != PARTITION_COLUMN]
    now = relation_sql([FileRef(staged.path, lookup=FileLookup.SAME)], columns)
    before = relation_sql(day_before.files, day_before.columns)
    cell = f"{quote(name)} AS value"
    statement = (
        f"SELECT count(*), count(*) FILTER (value IN (SELECT {cell} FROM ({now}) AS a WHERE value IS NOT NULL))"
        f" FROM (SELECT DISTINCT {cell} FROM ({before}) AS b) AS was WHERE value IS NOT NULL"
    )
    try:
        row = session.connection.execute(statement).fetchone()
    except duckdb.IOException:  # what readers saw was replaced and swept meanwhile: then it isn't known
        return None
    return row[1] / row[0] if row and row[0] >= DISTINCT_MIN else None
