"""Two sides of a table: which partitions differ, and in which rows. The sides are two moments, or an environment and production."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace.lake import PARTITION_COLUMN, FileRef, LakeColumn, LakeTable, catalog
from headrace.model import Asset, HeadraceError, Source, UsageError
from headrace.model.reporting import did_you_mean
from headrace.operations.inspections import MomentRow, PartitionChange
from headrace.operations.responses import ColumnChange, RowChange
from headrace.store import Transaction
from headrace.store.queries.publications import Visible

if TYPE_CHECKING:
    from headrace.lake.comparing import DiffCounts, Spread


class Side(msgspec.Struct, frozen=True):
    """One side: its snapshot, the columns and publications then, and the lake that its files lie in."""

    row: MomentRow
    table: LakeTable | None
    published: dict[str, Visible]
    lake: Path


class RowComparison:
    """How rows differ: counted and with examples, by which keys; how columns do; (column → before and after) how values are spread."""

    def __init__(
        self, counted: DiffCounts, keys: list[str], columns: list[ColumnChange], spreads: dict[str, tuple[Spread, Spread]]
    ) -> None:
        self.counted, self.keys, self.columns, self.spreads = counted, keys, columns, spreads


def partitions_of(before: Side, after: Side) -> list[PartitionChange]:
    """The partitions that aren't the same publication on both sides, in order."""
    changes = []
    for key in sorted({*before.published, *after.published}):
        was, now = before.published.get(key), after.published.get(key)
        if was is None or now is None or was.id != now.id:
            changes.append(
                PartitionChange(
                    partition=key, change=_change(was, now), rows_before=was.rows if was else None, rows_after=now.rows if now else None
                )
            )
    return changes


def _change(was: Visible | None, now: Visible | None) -> str:
    if was is None:
        return "added"
    if now is None:
        return "removed"
    same = was.content_hash is not None and was.content_hash == now.content_hash
    return "identical" if same else "republished"


def files_of(tx: Transaction, name: str, side: Side, keys: Sequence[str] | None) -> tuple[FileRef, ...]:
    """The files of those partitions that were there; all where rows aren't of one partition."""
    if keys is None:
        return tuple(catalog.files(tx, name, None, side.row.snapshot)) if side.table is not None else ()
    there = [key for key in keys if key in side.published]
    return tuple(catalog.files(tx, name, there, side.row.snapshot)) if side.table is not None and there else ()


def compared(
    node: Source | Asset,
    timezone: str,
    asked: Sequence[str],
    sample: int,
    sides: tuple[Side, Side],
    files: Sequence[tuple[FileRef, ...]],
    *,
    spread: bool = False,
) -> RowComparison:
    """The rows of those files. `asked` are key columns as typed; `spread` also looks at how values are distributed. UsageError for a
    column that isn't on both sides, HeadraceError for asked keys that aren't unique."""
    from headrace.lake import comparing
    from headrace.lake.querying import QueryTable, absolute, over

    before, after = sides
    columns = _common(before.table, after.table)
    keys = _keys(node, asked, [column.name for column in columns])
    named = [
        QueryTable(label, _as_of(columns, side.table), absolute(refs, side.lake))
        for label, side, refs in zip((comparing.BEFORE, comparing.AFTER), sides, files, strict=True)
    ]
    with over(named, timezone=timezone) as duckdb:
        if keys and comparing.not_unique(duckdb, keys):
            if asked:
                raise HeadraceError(
                    f"{', '.join(keys)} isn't unique in {node.name}", hint="name more columns with --keys, or leave it away"
                )
            keys = _within_partitions(node, keys, [column.name for column in columns])
            keys = [] if comparing.not_unique(duckdb, keys) else keys
        counted = (
            comparing.by_keys(duckdb, columns, keys, examples=sample) if keys else comparing.multisets(duckdb, columns, examples=sample)
        )
        spreads = comparing.spreads(duckdb, columns) if spread else {}
    return RowComparison(counted, keys, _column_changes(before.table, after.table), spreads)


def row_change(example: object) -> RowChange:
    """An example, for a document."""
    before, after = getattr(example, "before", None), getattr(example, "after", None)
    change = "added" if before is None else "removed" if after is None else "changed"
    return RowChange(change=change, before=before, after=after)


def _within_partitions(node: Source | Asset, keys: list[str], columns: Sequence[str]) -> list[str]:
    """Keys that a check found unique in each partition by itself: with the column that rows are cut by."""
    column = node.partition.column
    return [*keys, *(item for item in columns if column is not None and item.lower() == column.lower() and item not in keys)]


def _own(table: LakeTable | None) -> dict[str, LakeColumn]:
    return {column.name.lower(): column for column in (table.columns if table else ()) if column.name != PARTITION_COLUMN}


def _common(before: LakeTable | None, after: LakeTable | None) -> tuple[LakeColumn, ...]:
    """The columns that both sides have, in the later type; all of one side where the other has no table."""
    was, now = _own(before), _own(after)
    if not was or not now:
        return tuple((was or now).values())
    return tuple(column for name, column in now.items() if name in was)


def _as_of(columns: Sequence[LakeColumn], table: LakeTable | None) -> tuple[LakeColumn, ...]:
    """The same columns as that side's files have them, so that old files are read by their own ids and types."""
    lake_columns = _own(table)
    return tuple(lake_columns.get(column.name.lower(), column) for column in columns)


def _column_changes(before: LakeTable | None, after: LakeTable | None) -> list[ColumnChange]:
    was, now = _own(before), _own(after)
    if not was or not now:
        return []
    changes = [ColumnChange(column=c.name, change="removed", before=c.type, after=None) for name, c in was.items() if name not in now]
    changes += [ColumnChange(column=c.name, change="added", before=None, after=c.type) for name, c in now.items() if name not in was]
    return changes + [
        ColumnChange(column=c.name, change="type", before=was[name].type, after=c.type)
        for name, c in now.items()
        if name in was and was[name].type != c.type
    ]


def _keys(node: Source | Asset, asked: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The columns that say which rows are the same. UsageError for a column that isn't on both sides."""
    there = {column.lower(): column for column in columns}
    if unknown := [key for key in asked if key.lower() not in there]:
        raise UsageError(f"{node.name} has no column {unknown[0]!r} on both sides", hint=did_you_mean(unknown[0], columns))
    declared = [list(asked), *([list(node.merge_keys)] if isinstance(node, Asset) else [])]
    declared += [list(check.arguments["columns"]) for check in node.checks if check.kind == "unique" and check.where is None]
    for keys in declared:
        if keys and all(key.lower() in there for key in keys):
            return [there[key.lower()] for key in keys]
    return []
