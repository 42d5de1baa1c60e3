"""What an environment has built against what production has, node by node: part of what `plan` answers in an environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.lake import FileRef, catalog
from headrace.model import Asset
from headrace.operations.inspections import MomentRow
from headrace.operations.responses import DifferenceRow, SpreadRow
from headrace.operations.session import ProjectSession
from headrace.operations.sides import Side, compared, files_of, row_change
from headrace.plan import Compiled
from headrace.store import Transaction
from headrace.store.queries import publications
from headrace.store.queries.publications import Visible

if TYPE_CHECKING:
    from headrace.lake.comparing import Spread

NODES_MAX = 20
PARTITIONS_MAX = 100
"""So many of the newest partitions that differ are compared row by row."""
SAMPLE_MAX = 3
"""Rows of each kind that are shown."""


class _Found(msgspec.Struct, frozen=True):
    """What is to be compared of one node."""

    asset: Asset
    sides: tuple[Side, Side]
    keys: list[str]
    differing: int
    identical: int
    not_built: int
    only_here: int
    files: tuple[tuple[FileRef, ...], tuple[FileRef, ...]]


def differences(session: ProjectSession) -> list[DifferenceRow]:
    """Of each node that the environment built itself, and that production has: how the rows differ. Nothing in production itself, and
    where either has published nothing. Files are read, nothing is written."""
    production = session.production
    if production is None or session.store is None or production.store is None or session.compiled is None:
        return []
    built = [asset for name in session.compiled.order if (asset := _own(session, session.compiled, name)) is not None][:NODES_MAX]
    with production.store.read() as theirs, session.store.read() as tx:
        founds = [item for asset in built if (item := _found(session, production, theirs, tx, asset)) is not None]
    return [_row(session, item) for item in founds]


def _own(session: ProjectSession, compiled: Compiled, name: str) -> Asset | None:
    asset = compiled.project.assets.get(name)
    return asset if asset is not None and name not in session.borrowed and asset.materialize in ("table", "append") else None


def _found(session: ProjectSession, production: ProjectSession, theirs: Transaction, tx: Transaction, asset: Asset) -> _Found | None:
    before, after = _side(production, theirs, asset.name), _side(session, tx, asset.name)
    if before.table is None or after.table is None or not after.published:
        return None
    both = [key for key in after.published if key in before.published]
    differing = sorted(key for key in both if not _alike(before.published[key], after.published[key]))
    keys = differing[-PARTITIONS_MAX:]
    return _Found(
        asset=asset,
        sides=(before, after),
        keys=keys,
        differing=len(differing),
        identical=len(both) - len(differing),
        not_built=len(before.published.keys() - after.published.keys()),
        only_here=len(after.published.keys() - before.published.keys()),
        files=(files_of(theirs, asset.name, before, keys), files_of(tx, asset.name, after, keys)),
    )


def _side(session: ProjectSession, tx: Transaction, name: str) -> Side:
    snapshot = catalog.newest_snapshot(tx)
    row = MomentRow(snapshot=snapshot, at=None)
    return Side(row, catalog.table(tx, name, snapshot), publications.visible(tx, name, snapshot), session.folders.lake)


def _alike(before: Visible, after: Visible) -> bool:
    return before.content_hash is not None and before.content_hash == after.content_hash


def _row(session: ProjectSession, item: _Found) -> DifferenceRow:
    comparison = compared(item.asset, session.timezone, (), SAMPLE_MAX, item.sides, item.files, spread=True)
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
        spreads=_spreads(comparison.spreads),
    )


def _spreads(spreads: dict[str, tuple[Spread, Spread]]) -> list[SpreadRow]:
    rows = {name: (msgspec.structs.asdict(was), msgspec.structs.asdict(now)) for name, (was, now) in spreads.items()}
    return [SpreadRow(column=name, before=was, after=now) for name, (was, now) in rows.items() if was != now]
