"""Which of the values that a column had the day before came again, and which of its keys are new."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from headrace.engine import InputData
from headrace.lake import FileRef, LakeColumn, LakeTable, StagedFile
from headrace.lake.relation import relation_sql
from headrace.lake.session import DuckDBSession, quote
from headrace.lake.tables import PARTITION_COLUMN
from headrace.lake.tables import ColumnLookup as FileLookup
from headrace.quality import Audit, metrics
from headrace.quality.metrics import ColumnMetrics
from headrace.run.messages import IngestTask

DISTINCT_MIN, DISTINCT_MAX = 20, 50_000
"""A column of fewer values has categories, one of more is a key."""
COLUMNS_MAX = 8


def with_lasting(audit: Audit, session: DuckDBSession, staged: StagedFile, table: LakeTable, task: IngestTask) -> Audit:
    """The metrics of a delivery of one partition, with the share of the day before's values that came again in each column of text, and
    the share of the rows whose keys are unknown in each column that something is joined by."""
    if (task.day_before is None and task.lately is None) or not audit.metrics or not staged.rows:
        return audit
    measured = metrics.decoded(audit.metrics)
    columns = dict(measured.columns)
    now = relation_sql([FileRef(staged.path, lookup=FileLookup.SAME)], _columns(table))
    if (before := task.day_before) is not None:
        texts = [column.name for column in table.columns if column.type == "VARCHAR"]
        for name in _named(texts, before, columns):
            columns[name] = msgspec.structs.replace(columns[name], kept=_kept(session, now, before, name))
    if (lately := task.lately) is not None:
        for name in _named(sorted(task.joined), lately, columns):
            columns[name] = msgspec.structs.replace(columns[name], unknown=_unknown(session, now, lately, name))
    if columns == measured.columns:
        return audit
    return msgspec.structs.replace(audit, metrics=metrics.encoded(msgspec.structs.replace(measured, columns=columns)))


def _columns(table: LakeTable) -> list[LakeColumn]:
    return [column for column in table.columns if column.name != PARTITION_COLUMN]


def _named(names: Iterable[str], before: InputData, columns: Mapping[str, ColumnMetrics]) -> list[str]:
    """Those that name things, and that were there before."""
    had = {column.name for column in before.columns} - {PARTITION_COLUMN}
    return [name for name in names if name in had and name in columns and _names_things(columns[name].distinct)][:COLUMNS_MAX]


def _names_things(distinct: float | None) -> bool:
    return distinct is not None and DISTINCT_MIN <= round(math.exp(distinct)) <= DISTINCT_MAX


def _kept(session: DuckDBSession, now: str, before: InputData, name: str) -> float | None:
    """Which share of the values of a column before is still there."""
    cell = _cell(name)
    row = _counted(
        session,
        f"SELECT count(*), count(*) FILTER (value IN (SELECT {cell} FROM ({now}) AS a WHERE value IS NOT NULL))"
        f" FROM ({_values(before, name)}) AS was",
    )
    return row[1] / row[0] if row and row[0] >= DISTINCT_MIN else None


def _unknown(session: DuckDBSession, now: str, lately: InputData, name: str) -> float | None:
    """Which share of the rows have a value in a column that none had lately."""
    row = _counted(
        session,
        f"SELECT count(*), count(*) FILTER (value NOT IN ({_values(lately, name)}))"
        f" FROM (SELECT {_cell(name)} FROM ({now}) AS a) AS own WHERE value IS NOT NULL",
    )
    return row[1] / row[0] if row and row[0] else None


def _cell(name: str) -> str:
    return f"{quote(name)} AS value"


def _values(data: InputData, name: str) -> str:
    """A query of the different values of a column, without null."""
    return f"SELECT DISTINCT {_cell(name)} FROM ({relation_sql(data.files, data.columns)}) AS b WHERE value IS NOT NULL"


def _counted(session: DuckDBSession, statement: str) -> tuple[int, int] | None:
    """None where what readers saw was replaced and swept meanwhile: then it isn't known."""
    import duckdb

    try:
        return session.connection.execute(statement).fetchone()
    except duckdb.IOException:
        return None
