"""Two versions of a table compared: which partitions differ, and in which rows.

The two sides are two points in time, or an environment and production.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace.lake import PARTITION_COLUMN, FileRef, LakeColumn, LakeTable, catalog
from headrace.lake.masks import masked_types
from headrace.model import Asset, HeadraceError, Source, UsageError
from headrace.model.errors import did_you_mean
from headrace.plan import Compiled
from headrace.privacy.visible_sides import VisibleSides, visible_sides
from headrace.project.session import ProjectSession
from headrace.responses import ColumnChange, DifferenceRow, RowChange, SpreadRow
from headrace.responses.inspections import MomentRow, PartitionChange
from headrace.store import Transaction
from headrace.store.queries import publications
from headrace.store.queries.publications import Visible

if TYPE_CHECKING:
    from headrace.lake.comparison import DiffCounts, Spread
    from headrace.lake.reading import QueryTable
    from headrace.lake.session import DuckDBSession


class Side(msgspec.Struct, frozen=True):
    """One side: its snapshot, the columns and publications in it, and the lake with its files."""

    row: MomentRow
    table: LakeTable | None
    published: dict[str, Visible]
    lake: Path
    files: tuple[FileRef, ...] = ()
    """The files whose rows are compared."""


class RowComparison:
    """The result of a row comparison.

    `counted` holds counts and examples of differing rows, `keys` the key columns, `columns` the
    changed columns, and `spreads` the value distribution of each column before and after.
    """

    def __init__(
        self,
        counted: DiffCounts,
        keys: list[str],
        columns: list[ColumnChange],
        spreads: dict[str, tuple[Spread, Spread]],
    ) -> None:
        self.counted, self.keys, self.columns, self.spreads = counted, keys, columns, spreads


def partitions_of(before: Side, after: Side) -> list[PartitionChange]:
    """Return the partitions with different publications on the two sides, in order."""
    changes = []
    for key in sorted({*before.published, *after.published}):
        was, now = before.published.get(key), after.published.get(key)
        if was is None or now is None or was.id != now.id:
            changes.append(
                PartitionChange(
                    partition=key,
                    change=_change(was, now),
                    rows_before=was.rows if was else None,
                    rows_after=now.rows if now else None,
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


def with_files(tx: Transaction, name: str, side: Side, keys: Sequence[str] | None) -> Side:
    """Return a side with the files of those partitions; without `keys`, with all of the table."""
    there = None if keys is None else [key for key in keys if key in side.published]
    if side.table is None or there == []:
        return side
    files = tuple(catalog.files(tx, name, there, side.row.snapshot))
    return msgspec.structs.replace(side, files=files)


def compare_sides(
    node: Source | Asset,
    timezone: str,
    typed_keys: Sequence[str],
    sample: int,
    sides: tuple[Side, Side],
    *,
    spread: bool = False,
    visible: VisibleSides | None = None,
) -> RowComparison:
    """Compare the rows of the sides' files.

    `typed_keys` are key columns as typed; `spread` also compares value distributions; `visible`
    restricts what the comparison sees (None: nothing is hidden). Raise UsageError for a column
    that isn't on both sides, or if no column is, Refused for one that is left out, HeadraceError if
    the typed keys aren't unique.
    """
    from headrace.lake import comparison as lake_comparison
    from headrace.lake.reading import in_plain_words, session_over

    before, after = sides
    visible = visible or VisibleSides()
    visible.refuse_keys(node.name, typed_keys)
    columns = visible.visible(node.name, _common(before.table, after.table))
    keys = identifying_columns(node, typed_keys, [column.name for column in columns])
    if not columns:
        return _without_rows(node, sides)
    named = _tables(columns, sides, visible)
    columns = masked_types(columns, visible.masks[0] | visible.masks[1])
    with session_over(named, timezone=timezone) as duckdb, in_plain_words():
        keys = _unique_keys(duckdb, node, columns, keys, typed=bool(typed_keys))
        counted = (
            lake_comparison.by_keys(duckdb, columns, keys, examples=sample)
            if keys
            else lake_comparison.multisets(duckdb, columns, examples=sample)
        )
        spreads = lake_comparison.spreads(duckdb, columns) if spread else {}
    return RowComparison(counted, keys, _column_changes(before.table, after.table), spreads)


def _without_rows(node: Source | Asset, sides: tuple[Side, Side]) -> RowComparison:
    """Return the comparison of sides without rows. Raise UsageError if there are rows."""
    from headrace.lake.comparison import DiffCounts

    if any(side.files for side in sides):
        raise UsageError(
            f"the sides of {node.name} have no column in common that your roles include",
            hint="choose another side",
        )
    changes = _column_changes(sides[0].table, sides[1].table)
    return RowComparison(DiffCounts(0, 0, None, {}, ()), [], changes, {})


def _unique_keys(
    duckdb: DuckDBSession,
    node: Source | Asset,
    columns: Sequence[LakeColumn],
    keys: list[str],
    *,
    typed: bool,
) -> list[str]:
    """Return keys that are unique on both sides, at least within partitions; else none.

    Raise HeadraceError if they were typed and aren't.
    """
    from headrace.lake.comparison import not_unique

    if not keys or not not_unique(duckdb, keys):
        return keys
    if typed:
        raise HeadraceError(
            f"{', '.join(keys)} isn't unique in {node.name}",
            hint="name more columns with --keys, or leave it away",
        )
    within = _within_partitions(node, keys, [column.name for column in columns])
    return [] if not_unique(duckdb, within) else within


def _tables(
    columns: Sequence[LakeColumn], sides: tuple[Side, Side], visible: VisibleSides
) -> list[QueryTable]:
    from headrace.lake import comparison
    from headrace.lake.reading import QueryTable, absolute

    labels = (comparison.BEFORE, comparison.AFTER)
    return [
        QueryTable(label, _as_of(columns, side.table), absolute(side.files, side.lake), dict(masks))
        for label, side, masks in zip(labels, sides, visible.masks, strict=True)
    ]


def row_change(example: object) -> RowChange:
    """Return an example as a row of a response."""
    before, after = getattr(example, "before", None), getattr(example, "after", None)
    change = "added" if before is None else "removed" if after is None else "changed"
    return RowChange(change=change, before=before, after=after)


def _within_partitions(node: Source | Asset, keys: list[str], columns: Sequence[str]) -> list[str]:
    """Return keys that are unique within a partition, extended by the partition column."""
    column = node.partition.column
    return [
        *keys,
        *(
            item
            for item in columns
            if column is not None and item.lower() == column.lower() and item not in keys
        ),
    ]


def _columns_by_name(table: LakeTable | None) -> dict[str, LakeColumn]:
    return {
        column.name.lower(): column
        for column in (table.columns if table else ())
        if column.name != PARTITION_COLUMN
    }


def _common(before: LakeTable | None, after: LakeTable | None) -> tuple[LakeColumn, ...]:
    """Return the columns of both sides in the later type.

    If one side has no table, return all columns of the other.
    """
    was, now = _columns_by_name(before), _columns_by_name(after)
    if not was or not now:
        return tuple((was or now).values())
    return tuple(column for name, column in now.items() if name in was)


def _as_of(columns: Sequence[LakeColumn], table: LakeTable | None) -> tuple[LakeColumn, ...]:
    """Return the columns as that side's files have them.

    Old files are thus read by their own column ids and types.
    """
    lake_columns = _columns_by_name(table)
    return tuple(lake_columns.get(column.name.lower(), column) for column in columns)


def _column_changes(before: LakeTable | None, after: LakeTable | None) -> list[ColumnChange]:
    was, now = _columns_by_name(before), _columns_by_name(after)
    if not was or not now:
        return []
    changes = [
        ColumnChange(column=c.name, change="removed", before=c.type, after=None)
        for name, c in was.items()
        if name not in now
    ]
    changes += [
        ColumnChange(column=c.name, change="added", before=None, after=c.type)
        for name, c in now.items()
        if name not in was
    ]
    return changes + [
        ColumnChange(column=c.name, change="type", before=was[name].type, after=c.type)
        for name, c in now.items()
        if name in was and was[name].type != c.type
    ]


def identifying_columns(
    node: Source | Asset, typed_keys: Sequence[str], columns: Sequence[str]
) -> list[str]:
    """Return the columns that identify a row.

    Raise UsageError for a column that isn't on both sides.
    """
    there = {column.lower(): column for column in columns}
    if unknown := [key for key in typed_keys if key.lower() not in there]:
        raise UsageError(
            f"{node.name} has no column {unknown[0]!r} on both sides",
            hint=did_you_mean(unknown[0], columns),
        )
    declared = [list(typed_keys), *([list(node.merge_keys)] if isinstance(node, Asset) else [])]
    declared += [
        list(check.arguments["columns"])
        for check in node.checks
        if check.kind == "unique" and check.where is None
    ]
    for keys in declared:
        if keys and all(key.lower() in there for key in keys):
            return [there[key.lower()] for key in keys]
    return []


# What an environment has built compared with production, node by node: part of `plan` in an
# environment.

NODES_MAX = 20
"""Maximum number of nodes of which rows are compared; of others, partitions are counted."""
PARTITIONS_MAX = 100
"""Maximum number of differing partitions, newest first, that are compared row by row."""
SAMPLE_MAX = 3
"""Maximum number of example rows of each kind."""


class _Found(msgspec.Struct, frozen=True):
    """The partitions of one node to be compared, and the sides with their files."""

    asset: Asset
    sides: tuple[Side, Side]
    keys: list[str]
    differing: int
    identical: int
    not_built: int
    only_here: int


def differences(session: ProjectSession) -> list[DifferenceRow]:
    """Return how rows differ from production, for nodes that the environment built itself.

    Nodes without publications on either side are left out; empty in production itself. Files are
    read, and nothing is written.
    """
    production = session.production
    if (
        production is None
        or session.store is None
        or production.store is None
        or session.compiled is None
    ):
        return []
    assets = _own_tables(session, session.compiled)
    founds: list[_Found] = []
    with production.store.read() as theirs, session.store.read() as tx:
        for asset in assets:
            compared = sum(bool(item.keys) for item in founds)
            keys_max = PARTITIONS_MAX if compared < NODES_MAX else 0
            item = _both_sides(session, production, theirs, tx, asset, keys_max)
            founds += [] if item is None else [item]
    return [row for item in founds if (row := _row(session, production, item)) is not None]


def _own_tables(session: ProjectSession, compiled: Compiled) -> list[Asset]:
    """Return the assets whose tables the environment builds, as far as they may be seen."""
    return [
        asset
        for name in compiled.order
        if session.shows(name) and name not in session.borrowed
        if (asset := compiled.project.assets.get(name)) is not None
        and asset.materialize in ("table", "append")
    ]


def _both_sides(
    session: ProjectSession,
    production: ProjectSession,
    theirs: Transaction,
    tx: Transaction,
    asset: Asset,
    keys_max: int,
) -> _Found | None:
    before, after = _side(production, theirs, asset.name), _side(session, tx, asset.name)
    if before.table is None or after.table is None or not after.published:
        return None
    both = [key for key in after.published if key in before.published]
    differing = sorted(
        key for key in both if not _alike(before.published[key], after.published[key])
    )
    keys = differing[max(0, len(differing) - keys_max) :]
    return _Found(
        asset=asset,
        sides=(
            with_files(theirs, asset.name, before, keys),
            with_files(tx, asset.name, after, keys),
        ),
        keys=keys,
        differing=len(differing),
        identical=len(both) - len(differing),
        not_built=len(before.published.keys() - after.published.keys()),
        only_here=len(after.published.keys() - before.published.keys()),
    )


def _side(session: ProjectSession, tx: Transaction, name: str) -> Side:
    snapshot = catalog.newest_snapshot(tx)
    row = MomentRow(snapshot=snapshot, at=None)
    return Side(
        row,
        catalog.table(tx, name, snapshot),
        publications.visible(tx, name, snapshot),
        session.folders.lake,
    )


def _alike(before: Visible, after: Visible) -> bool:
    return before.content_hash is not None and before.content_hash == after.content_hash


def _row(session: ProjectSession, production: ProjectSession, item: _Found) -> DifferenceRow | None:
    """Return one node's difference; None if no column of it may be seen."""
    before, after = item.sides
    tables = (before.table, after.table)
    visible = visible_sides((production, session), item.asset.name, tables)
    if visible.hides_all(_common(*tables)):
        return None
    if not item.keys:
        comparison = _without_rows(item.asset, item.sides)
    else:
        comparison = compare_sides(
            item.asset,
            session.timezone,
            (),
            SAMPLE_MAX,
            item.sides,
            spread=True,
            visible=visible,
        )
    counted = comparison.counted
    return DifferenceRow(
        node=item.asset.name,
        identical=item.identical,
        compared=len(item.keys),
        not_compared=item.differing - len(item.keys),
        not_built=item.not_built,
        only_here=item.only_here,
        columns=comparison.columns,
        keys=comparison.keys or None,
        rows_added=counted.added,
        rows_removed=counted.removed,
        rows_changed=counted.changed,
        cells=counted.cells,
        sample=[row_change(example) for example in counted.examples],
        spreads=spread_rows(comparison.spreads),
        masked=visible.names,
    )


def spread_rows(spreads: dict[str, tuple[Spread, Spread]]) -> list[SpreadRow]:
    """Return the columns whose values are distributed differently."""
    rows = {
        name: (msgspec.structs.asdict(was), msgspec.structs.asdict(now))
        for name, (was, now) in spreads.items()
    }
    return [
        SpreadRow(column=name, before=was, after=now)
        for name, (was, now) in rows.items()
        if was != now
    ]
