"""Taking a publication back: the lake, the store and the trail in one transaction, and what the core makes of it.

Files that hold other partitions as well are rewritten without this one before, by whoever asks: the leader opens no DuckDB.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.govern.audit import Action, Actor, AuditEvent, Object, append
from headrace.lake import FileRef, LakeTable
from headrace.lake.catalog import CatalogChange, FileMoved, NeedsRewrite, Rewrite, TableMoved, newest_snapshot, shared_files, table
from headrace.model import HeadraceError
from headrace.run.applying import AppliedVersion
from headrace.run.folders import Folders
from headrace.run.loading import load
from headrace.run.messages import RewrittenFile
from headrace.run.pausing import paused
from headrace.schedule import Core, PartitionUpdate, TakenBack
from headrace.store import Transaction
from headrace.store.queries import leading, withdrawals
from headrace.store.queries.leading import PartitionRecord
from headrace.store.queries.publications import Publication


class RewriteOutdated(HeadraceError):
    """The table isn't as the rewrites found it: they have to be made again."""


class UnpublishRequest(msgspec.Struct, frozen=True):
    """What is to be taken back, and the files that others share with it, rewritten without it."""

    node: str
    key: str
    reason: str
    by: str
    rewritten: tuple[RewrittenFile, ...] = ()

    @property
    def said(self) -> str:
        """The reason with who gave it, as the partition's state keeps it."""
        return f"{self.reason} (by {self.by})"


def shared(tx: Transaction, node: str, key: str) -> tuple[LakeTable | None, list[FileRef]]:
    """The node's table, and its files that hold other partitions beside this one."""
    return table(tx, node), shared_files(tx, node, [key])


def take_back(tx: Transaction, order: UnpublishRequest, publication: Publication, actor: Actor, now: int) -> int:
    """Take a publication out of the lake and the store, in the caller's transaction; the snapshot from which on it isn't there.
    Raises Moved where the table has moved on since the rewrites were made."""
    snapshot = _out_of_the_lake(tx, order, actor, now)
    withdrawals.withdraw(tx, order.node, order.key, snapshot=snapshot, now=now, reason=order.said)
    before = {"publication": publication.id, "rows": publication.rows, "snapshot": publication.snapshot}
    place = Object("partition", f"{order.node}@{order.key}", f"{publication.epoch}.{publication.n}")
    append(tx, now, AuditEvent(action=Action.PARTITION_WITHDRAWN, actor=actor, object=place, before=before, reason=order.reason))
    return snapshot


def tell_nobody(tx: Transaction, applied: AppliedVersion, order: UnpublishRequest, epoch: int, now: int) -> None:
    """Where no leader works: what the core would have decided, from how everything stands in the store."""
    core = Core(epoch=epoch, slots=1)
    loaded = load(tx, applied.compiled, version=applied.id)
    core.handle(loaded, now)
    for event in paused(tx, {node.name for node in loaded.graph.nodes}, now):
        core.handle(event, now)
    marks = [update for update in core.handle(TakenBack(order.node, order.key, order.said), now) if isinstance(update, PartitionUpdate)]
    leading.mark_partitions(
        tx, [PartitionRecord(m.node, m.key, m.state, m.stale, m.failures, m.not_before, m.reason, now, m.proposed) for m in marks]
    )


def _out_of_the_lake(tx: Transaction, order: UnpublishRequest, actor: Actor, now: int) -> int:
    """What has no table of its own (`files`) is only ended in the store."""
    if table(tx, order.node) is None:
        return newest_snapshot(tx)
    change = CatalogChange.begin(tx, now)
    rewrites = [Rewrite(file.path, file.staged) for file in order.rewritten]
    try:
        change.replace(order.node, [order.key], [], rewrites=rewrites)
    except (NeedsRewrite, FileMoved, TableMoved) as error:
        raise RewriteOutdated(str(error), hint="try again") from error
    return change.finish(author=actor.id[:200], message=f"withdraw {order.node}"[:500])


def discard(folders: Folders, files: Sequence[RewrittenFile]) -> None:
    """Remove rewrites that weren't published."""
    for file in files:
        if file.staged is not None:
            (folders.lake / file.staged.path).unlink(missing_ok=True)
