"""What columns that are gone held, and what new ones hold: read from what is published and from the delivery, only where there are both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.connect.adapting import about_the_machine
from headrace.connect.deliveries import CannotRead
from headrace.connect.ingest import PreparedDelivery, prepare
from headrace.connect.keep import RawCopy
from headrace.lake.relation import relation_sql
from headrace.lake.session import DuckDBSession, quote
from headrace.quality.agreement import KEY_COLUMNS_MAX, Agreement, Cells, agreements
from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.drift import ColumnRename, spelled_alike
from headrace.quality.rename_traits import TEXT_MAX, ColumnTraits, traits
from headrace.quality.renames import places, propose
from headrace.quality.value_changes import differences
from headrace.run.messages import IngestTask
from headrace.run.steps.worker_context import WorkerContext

ROWS_MAX = 5_000
CELLS_MAX = 200_000
"""Of each side: of many columns fewer rows are looked at."""


class RenameEvidence:
    """Proposes renames for one delivery."""

    def __init__(self, task: IngestTask, context: WorkerContext, copy: RawCopy, name: str) -> None:
        self._task, self._context, self._kept, self._name = task, context, copy, name

    def propose(self, dropped: Sequence[str], added: Sequence[str], names: Sequence[str]) -> tuple[ColumnRename, ...]:
        """Which of the columns that are gone probably are which of the new ones; `names` is the delivery's header. Names that differ in
        how they are written only are one column; the others are compared by what they hold as well."""
        certain = spelled_alike(dropped, added)
        was, now = {rename.column for rename in certain}, {column_rename.to for column_rename in certain}
        gone, new = [name for name in dropped if name not in was], [name for name in added if name not in now]
        if not gone or not new:
            return tuple(certain)
        expected = self._task.pinned.names if self._task.pinned is not None else tuple(column.name for column in self._task.promised or ())
        both = [name for name in expected if name in set(names)]
        types = self._types()
        before = self._published([*gone, *both[:KEY_COLUMNS_MAX]])
        kinds, after = self._delivered([*new, *both[:KEY_COLUMNS_MAX]])
        described = _described(gone, types, places(both, expected), before)
        is_now = _described(new, kinds, places(both, names), after)
        agreed = agreements(before, after, both, gone, new)
        renames = [self._with_differences(rename, is_now, types, agreed) for rename in propose(described, is_now, rows=agreed)]
        order = {name: at for at, name in enumerate(dropped)}
        return tuple(sorted((*certain, *renames), key=lambda rename: order[rename.column]))

    def _with_differences(
        self,
        rename: ColumnRename,
        after: Sequence[ColumnTraits],
        types: Mapping[str, str],
        agreed: Mapping[tuple[str, str], Agreement],
    ) -> ColumnRename:
        """With what else is other than in the sound partitions before."""
        past = MetricHistory(self._task.history, self._task.source.partition.grain).all()
        known = [each.columns[rename.column] for each in past if rename.column in each.columns]
        now = next(column for column in after if column.name == rename.to)
        rows = agreed.get((rename.column, rename.to))
        differs = differences(known, now, types.get(rename.column, "VARCHAR"), rows)
        return msgspec.structs.replace(rename, differs=differs)

    def _types(self) -> dict[str, str]:
        task = self._task
        types = {column.name: column.type for column in task.pinned.columns} if task.pinned is not None else {}
        return types | {column.name: column.type for column in task.promised or () if column.type and column.name not in types}

    def _published(self, columns: Sequence[str]) -> Cells:
        """What readers see of the same interval, else of the nearest one before it."""
        shown = self._task.previous or self._task.earlier
        if shown is None:
            return {}
        session = self._context.session(self._task.source.timezone)
        have = {column.name for column in shown.columns}
        rows_of = relation_sql(shown.files, shown.columns)
        return _values(session, rows_of, [name for name in columns if name in have])

    def _delivered(self, columns: Sequence[str]) -> tuple[dict[str, str], Cells]:
        """The types that the delivery shows by itself, and its cells."""
        session = self._context.session(self._task.source.timezone)
        path, name = self._kept.parts[0] if self._kept.parts else (self._kept.path, self._name)
        delivery = prepare(
            Path(path), name, connection=session.connection, temporary=self._context.folders.temporary, pinned=None,
            options=self._task.source.connector,
        )  # fmt: skip
        if not isinstance(delivery, PreparedDelivery):
            return {}, {}
        try:
            types = {column.name: column.type for column in delivery.schema.columns}
            return types, _values(session, delivery.select_sql, [column for column in columns if column in types])
        finally:
            delivery.discard()


def _described(columns: Sequence[str], types: Mapping[str, str], place: Mapping[str, float], cells: Cells) -> list[ColumnTraits]:
    return [traits(name, types.get(name, "VARCHAR"), place.get(name, 0.0), cells.get(name, ())) for name in columns]


def _values(session: DuckDBSession, rows_of: str, columns: Sequence[str]) -> dict[str, tuple[str | None, ...]]:
    """Some rows of these columns, as text; nothing where they can't be read: names alone have to do then."""
    import duckdb

    if not columns or not rows_of:
        return {}
    listed = ", ".join(f"left(CAST({quote(name)} AS VARCHAR), {TEXT_MAX})" for name in columns)
    rows_max = max(100, min(ROWS_MAX, CELLS_MAX // len(columns)))
    try:
        rows = session.connection.execute(f"SELECT {listed} FROM ({rows_of}) LIMIT {rows_max}").fetchall()
    except CannotRead:
        return {}
    except duckdb.Error as error:
        if about_the_machine(error):
            raise
        return {}
    return dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else {}
