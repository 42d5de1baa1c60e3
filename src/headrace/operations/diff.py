"""`diff`: what changed of one asset between two moments. Only partitions that were published meanwhile are read."""

from __future__ import annotations

import msgspec

from headrace.lake import catalog
from headrace.model import Asset, Source, UsageError
from headrace.operations import targets
from headrace.operations.inspections import DiffResponse, MomentRow, PartitionChange
from headrace.operations.read import ReadQuery, snapshot_of
from headrace.operations.session import ProjectSession
from headrace.operations.sides import RowComparison, Side, compared, files_of, partitions_of, row_change
from headrace.store import Transaction
from headrace.store.queries import publications

SAMPLE_MAX = 10
"""Rows of each kind that are shown."""


class DiffQuery(msgspec.Struct, frozen=True):
    """Two moments, each a time or a snapshot's number as typed; `after` None is now."""

    before: str
    after: str | None = None
    partitions: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    sample: int = SAMPLE_MAX


def diff(session: ProjectSession, target: str, query: DiffQuery) -> DiffResponse:
    """The difference. UsageError for an asset, a time, a snapshot, a partition or a key that there isn't."""
    project = session.project()
    name, key = targets.target(target, project)
    node = project.sources.get(name) or project.assets[name]
    if name in session.borrowed and session.production is not None:
        return diff(session.production, target, query)
    wanted = {targets.partition(node, item) for item in [*query.partitions, *([key] if key else [])]}
    if session.store is None:
        raise UsageError(f"nothing of {name} was ever published", hint="headrace tick")
    with session.store.read() as tx:
        before, after = _side(session, tx, name, query.before), _side(session, tx, name, query.after)
        partitions = [change for change in partitions_of(before, after) if not wanted or change.partition in wanted]
        keys = [partition.partition for partition in partitions if partition.change != "identical"]
        whole = isinstance(node, Asset) and node.accumulates
        files = [files_of(tx, name, side, None if whole else keys) for side in (before, after)]
    if isinstance(node, Asset) and node.materialize in ("files", "none", "view"):
        raise UsageError(f"{name} has `materialize: {node.materialize}`: it keeps no rows to compare", hint=f"headrace read {name}")
    if before.table is None and after.table is None:
        raise UsageError(f"nothing of {name} was published at either moment", hint=f"headrace runs, or headrace read {name}")
    session.close()
    return _response(node, partitions, before, after, compared(node, session.timezone, query.keys, query.sample, (before, after), files))


def _side(session: ProjectSession, tx: Transaction, name: str, moment: str | None) -> Side:
    if moment is not None and moment.isdecimal():
        snapshot = snapshot_of(session, tx, ReadQuery(name, version=int(moment)))
    else:
        snapshot = snapshot_of(session, tx, ReadQuery(name, at=moment))
    at = publications.newest_at(tx, snapshot)
    row = MomentRow(snapshot=snapshot, at=None if at is None else session.instant(at))
    return Side(row, catalog.table(tx, name, snapshot), publications.visible(tx, name, snapshot), session.folders.lake)


def _response(
    node: Source | Asset, partitions: list[PartitionChange], before: Side, after: Side, comparison: RowComparison
) -> DiffResponse:
    counted = comparison.counted
    return DiffResponse(
        asset=node.name,
        before=before.row,
        after=after.row,
        columns=comparison.columns,
        partitions=partitions,
        keys=comparison.keys or None,
        rows_added=counted.added,
        rows_removed=counted.removed,
        rows_changed=counted.changed,
        cells=counted.cells,
        sample=[row_change(example) for example in counted.examples],
    )
