"""Tables that live across partitions (merge, snapshot): what a publication starts from, and what readers of a partition see."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.engine import AttemptScope
from headrace.lake import ColumnLookup, FileRef
from headrace.lake.catalog import files, seen, snapshot_exists, state
from headrace.lake.merge_rules import Deletes, MergeRule, MergeState, SnapshotRule
from headrace.model import Asset, Grain, LakeError
from headrace.model.commands import command_line
from headrace.model.intervals import start_us
from headrace.observe.damaged import damaged_files
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import accumulations
from headrace.store.queries.accumulations import AccumulatedPartition


class StateGone(LakeError):
    """The table as it was before a partition isn't kept any more."""


def rule_of(asset: Asset, scope: AttemptScope, now_us: int) -> MergeRule:
    """How what the body computes for this scope meets the table."""
    whole = asset.partition.whole
    if asset.materialize == "merge":
        return MergeRule(keys=asset.merge_keys, delete=asset.merge_delete, drop_same=whole)
    return MergeRule(keys=asset.merge_keys, versions=_versions(asset, scope, now_us))


def _versions(asset: Asset, scope: AttemptScope, now_us: int) -> SnapshotRule:
    grain, deletes = asset.partition.grain, Deletes(asset.snapshot_deletes)
    if grain is None or scope.start is None:
        return SnapshotRule(at=instant(now_us).isoformat(), is_date=False, columns=asset.snapshot_columns, deletes=deletes)
    is_date = grain is not Grain.HOUR
    at = scope.start[:10] if is_date else scope.start
    return SnapshotRule(at=at, is_date=is_date, columns=asset.snapshot_columns, deletes=deletes)


def state_before(tx: Transaction, asset: Asset, key: str, attempt: str) -> MergeState:
    """What the publication of a partition starts from: the table as the one before it left it; of a whole, as it is.

    While the table stands as an older partition left it (one was restated, and those after it are computed again one by one),
    the hash is made to differ from any other: only once the newest is published again does an equal hash mean an equal table. The same
    while a file of it is damaged: an equal table wouldn't be written.

    Raises StateGone where that was too long ago."""
    now, published = seen(tx, asset.name), accumulations.published(tx, asset.name)
    as_published = _is_newest(tx, asset, published) and not _is_damaged(tx, asset.name)
    nonce = "" if as_published else f"+{attempt}"
    before = _before(asset, published, key)
    if before is None:
        return MergeState(tuple(state(tx, asset.name, 0)), now, nonce)
    return MergeState(tuple(state(tx, asset.name, _snapshot(tx, asset, before, key))), now, (before.content_hash or "") + nonce)


def _is_newest(tx: Transaction, asset: Asset, published: Sequence[AccumulatedPartition]) -> bool:
    """Whether the table stands as its newest partition left it."""
    newest = max(published, key=lambda partition: _order(asset, partition.partition), default=None) if not asset.partition.whole else None
    return newest is None or newest.snapshot == accumulations.newest_snapshot(tx, asset.name)


def _is_damaged(tx: Transaction, name: str) -> bool:
    return any(file.node == name for file in damaged_files(tx))


def _before(asset: Asset, published: Sequence[AccumulatedPartition], key: str) -> AccumulatedPartition | None:
    if asset.partition.whole:
        return published[0] if published else None
    at = _order(asset, key)
    earlier = [partition for partition in published if _order(asset, partition.partition) < at]
    return max(earlier, key=lambda partition: _order(asset, partition.partition), default=None)


def _order(asset: Asset, key: str) -> tuple[int, str]:
    grain = asset.partition.grain
    return (0, key) if grain is None else (start_us(key, grain, asset.timezone), "")


def _snapshot(tx: Transaction, asset: Asset, before: AccumulatedPartition, key: str) -> int | None:
    """The snapshot to start from; None where the table hasn't changed since."""
    if accumulations.newest_snapshot(tx, asset.name) <= before.snapshot or asset.partition.whole:
        return None
    if not snapshot_exists(tx, before.snapshot):
        first = min(accumulations.published(tx, asset.name), key=lambda partition: _order(asset, partition.partition)).partition
        raise StateGone(
            f"{asset.name}@{key} starts from the table as {before.partition} left it, and snapshot {before.snapshot} isn't kept any more; "
            f"rebuild it from the start: " + command_line("run", asset.name, "--from", first, "--again", "--reason", "TEXT")
        )
    return before.snapshot


def files_read(tx: Transaction, asset: Asset, keys: Sequence[str] | None, snapshot: int) -> tuple[tuple[FileRef, ...], int]:
    """What a reader sees that requires these partitions: the table as the newest of them left it, and how many rows that are.

    Without keys, or where that snapshot isn't kept any more, it is the table as it is at `snapshot`."""
    published = accumulations.published(tx, asset.name)
    partitions = [partition for partition in published if keys is None or partition.partition in set(keys)]
    newest = max(partitions, key=lambda partition: _order(asset, partition.partition), default=None)
    if newest is None:
        return (), 0
    if keys is None or accumulations.newest_snapshot(tx, asset.name) <= newest.snapshot or not snapshot_exists(tx, newest.snapshot):
        return tuple(files(tx, asset.name, None, snapshot)), newest.rows
    return tuple(by_id(file) for file in files(tx, asset.name, None, newest.snapshot)), newest.rows


def by_id(file: FileRef) -> FileRef:
    """A file of an older snapshot, to be read with the columns of now."""
    return msgspec.structs.replace(file, lookup=ColumnLookup.ID) if file.lookup is ColumnLookup.SAME else file
