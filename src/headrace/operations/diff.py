"""`diff`: what changed of one asset between two moments. Only partitions that were published meanwhile are read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.lake import PARTITION_COLUMN, Column, FileRef, Table, catalog
from headrace.model import Asset, HeadraceError, Source, UsageError
from headrace.model.reporting import did_you_mean
from headrace.operations import targets
from headrace.operations.inspections import ColumnChange, DiffDocument, MomentRow, PartitionChange, RowChange
from headrace.operations.read import Wanted, snapshot_of
from headrace.operations.session import Session
from headrace.store import Transaction
from headrace.store.queries import publications
from headrace.store.queries.publications import Visible

SAMPLE_MAX = 10
"""Rows of each kind that are shown."""


class Asked(msgspec.Struct, frozen=True):
    """Two moments, each a time or a snapshot's number as typed; `after` None is now."""

    before: str
    after: str | None = None
    partitions: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    sample: int = SAMPLE_MAX


class _Side(msgspec.Struct, frozen=True):
    """One moment: its snapshot, the columns then, and the files of what differs."""

    row: MomentRow
    table: Table | None
    published: dict[str, Visible]


def diff(session: Session, target: str, asked: Asked) -> DiffDocument:
    """The difference. UsageError for an asset, a time, a snapshot, a partition or a key that there isn't."""
    project = session.project()
    name, key = targets.target(target, project)
    node = project.sources.get(name) or project.assets[name]
    if name in session.borrowed and session.production is not None:
        return diff(session.production, target, asked)
    wanted = {targets.partition(node, one) for one in [*asked.partitions, *([key] if key else [])]}
    if session.store is None:
        raise UsageError(f"nothing of {name} was ever published", hint="headrace tick")
    with session.store.read() as tx:
        before, after = _side(session, tx, name, asked.before), _side(session, tx, name, asked.after)
        partitions = [one for one in _partitions(before, after) if not wanted or one.partition in wanted]
        keys = [one.partition for one in partitions if one.change != "identical"]
        whole = isinstance(node, Asset) and node.accumulates
        files = [_files(tx, name, side, None if whole else keys) for side in (before, after)]
    if isinstance(node, Asset) and node.materialize in ("files", "none", "view"):
        raise UsageError(f"{name} has `materialize: {node.materialize}`: it keeps no rows to compare", hint=f"headrace read {name}")
    if before.table is None and after.table is None:
        raise UsageError(f"nothing of {name} was published at either moment", hint=f"headrace runs, or headrace read {name}")
    session.close()
    return _compared(session, node, asked, before, after, partitions, files)


def _side(session: Session, tx: Transaction, name: str, moment: str | None) -> _Side:
    if moment is not None and moment.isdecimal():
        snapshot = snapshot_of(session, tx, Wanted(name, version=int(moment)))
    else:
        snapshot = snapshot_of(session, tx, Wanted(name, at=moment))
    at = publications.newest_at(tx, snapshot)
    row = MomentRow(snapshot=snapshot, at=None if at is None else session.instant(at))
    return _Side(row, catalog.table(tx, name, snapshot), publications.visible(tx, name, snapshot))


def _partitions(before: _Side, after: _Side) -> list[PartitionChange]:
    """The partitions that aren't the same publication on both sides, in order."""
    found = []
    for key in sorted({*before.published, *after.published}):
        was, now = before.published.get(key), after.published.get(key)
        if was is None or now is None or was.id != now.id:
            found.append(
                PartitionChange(
                    partition=key, change=_change(was, now), rows_before=was.rows if was else None, rows_after=now.rows if now else None
                )
            )
    return found


def _change(was: Visible | None, now: Visible | None) -> str:
    if was is None:
        return "added"
    if now is None:
        return "removed"
    same = was.content_hash is not None and was.content_hash == now.content_hash
    return "identical" if same else "republished"


def _files(tx: Transaction, name: str, side: _Side, keys: Sequence[str] | None) -> tuple[FileRef, ...]:
    """The files of those partitions that were there; all where rows aren't of one partition."""
    if keys is None:
        return tuple(catalog.files(tx, name, None, side.row.snapshot)) if side.table is not None else ()
    there = [key for key in keys if key in side.published]
    return tuple(catalog.files(tx, name, there, side.row.snapshot)) if side.table is not None and there else ()


def _compared(
    session: Session,
    node: Source | Asset,
    asked: Asked,
    before: _Side,
    after: _Side,
    partitions: list[PartitionChange],
    files: Sequence[tuple[FileRef, ...]],
) -> DiffDocument:
    from headrace.lake import comparing
    from headrace.lake.querying import Named, absolute, over

    columns = _common(before.table, after.table)
    keys = _keys(node, asked.keys, [column.name for column in columns])
    sides = [
        Named(label, _as_of(columns, side.table), absolute(side_files, session.folders.lake))
        for label, side, side_files in zip((comparing.BEFORE, comparing.AFTER), (before, after), files, strict=True)
    ]
    with over(sides, timezone=session.timezone) as duckdb:
        if keys and comparing.not_unique(duckdb, keys):
            if asked.keys:
                raise HeadraceError(
                    f"{', '.join(keys)} isn't unique in {node.name}", hint="name more columns with --keys, or leave it away"
                )
            keys = []
        counted = (
            comparing.by_keys(duckdb, columns, keys, examples=asked.sample)
            if keys
            else comparing.multisets(duckdb, columns, examples=asked.sample)
        )
    return DiffDocument(
        asset=node.name,
        before=before.row,
        after=after.row,
        columns=_column_changes(before.table, after.table),
        partitions=partitions,
        keys=keys or None,
        rows_added=counted.added,
        rows_removed=counted.removed,
        rows_changed=counted.changed,
        cells=counted.cells,
        sample=[_row_change(example) for example in counted.examples],
    )


def _row_change(example: object) -> RowChange:
    before, after = getattr(example, "before", None), getattr(example, "after", None)
    change = "added" if before is None else "removed" if after is None else "changed"
    return RowChange(change=change, before=before, after=after)


def _own(table: Table | None) -> dict[str, Column]:
    return {column.name.lower(): column for column in (table.columns if table else ()) if column.name != PARTITION_COLUMN}


def _common(before: Table | None, after: Table | None) -> tuple[Column, ...]:
    """The columns that both sides have, in the later type; all of one side where the other has no table."""
    was, now = _own(before), _own(after)
    if not was or not now:
        return tuple((was or now).values())
    return tuple(column for name, column in now.items() if name in was)


def _as_of(columns: Sequence[Column], table: Table | None) -> tuple[Column, ...]:
    """The same columns as that side's files have them, so that old files are read by their own ids and types."""
    own = _own(table)
    return tuple(own.get(column.name.lower(), column) for column in columns)


def _column_changes(before: Table | None, after: Table | None) -> list[ColumnChange]:
    was, now = _own(before), _own(after)
    if not was or not now:
        return []
    found = [ColumnChange(column=c.name, change="removed", before=c.type, after=None) for name, c in was.items() if name not in now]
    found += [ColumnChange(column=c.name, change="added", before=None, after=c.type) for name, c in now.items() if name not in was]
    return found + [
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
