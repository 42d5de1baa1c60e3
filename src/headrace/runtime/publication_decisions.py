"""Decisions of people about publications: accept quarantined data, or unpublish a partition.

The lake, the store and the audit trail change in one transaction. Files that hold other partitions as well are rewritten
before it by the caller (`runtime.file_rewrites`), because the leader loads no DuckDB.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.checks import Verdict
from headrace.lake import FileRef, LakeColumn, LakeTable, StagedFile
from headrace.lake.catalog import CatalogChange, FileMoved, NeedsRewrite, Rewrite, TableMoved, newest_snapshot, shared_files, table
from headrace.lake.files import sync, verify
from headrace.lake.types import parse, widens
from headrace.model import HeadraceError, LakeError, Refused
from headrace.model.partitions import command_line, partition_argument
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.folders import Folders
from headrace.runtime.graph import load, paused
from headrace.runtime.messages import RewrittenFile, TaskOutcome
from headrace.scheduler import Core, PartitionUpdate, Promoted, TakenBack
from headrace.security.audit import Action, Actor, AuditEvent, Object, append
from headrace.store import Transaction
from headrace.store.queries import attempts, exceptions, ingestion, leader_writes, quarantine
from headrace.store.queries import publications as stored_publications
from headrace.store.queries.exceptions import Acceptance
from headrace.store.queries.leader_writes import PartitionRecord, PublicationRecord
from headrace.store.queries.publications import Publication
from headrace.store.queries.quarantine import Quarantined

# Unpublish a partition, and tell the core where no leader works.


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


def files_shared_with(tx: Transaction, node: str, key: str) -> tuple[LakeTable | None, list[FileRef]]:
    """The node's table, and its files that hold other partitions beside this one."""
    return table(tx, node), shared_files(tx, node, [key])


def unpublish(tx: Transaction, order: UnpublishRequest, publication: Publication, actor: Actor, now: int) -> int:
    """Take a publication out of the lake and the store, in the caller's transaction; the snapshot from which on it isn't there.
    Raises Moved where the table has moved on since the rewrites were made."""
    snapshot = _remove_from_lake(tx, order, actor, now)
    stored_publications.withdraw(tx, order.node, order.key, snapshot=snapshot, now=now, reason=order.said)
    before = {"publication": publication.id, "rows": publication.rows, "snapshot": publication.snapshot}
    place = Object("partition", f"{order.node}@{order.key}", f"{publication.epoch}.{publication.n}")
    append(tx, now, AuditEvent(action=Action.PARTITION_WITHDRAWN, actor=actor, object=place, before=before, reason=order.reason))
    return snapshot


def apply_without_leader(tx: Transaction, applied: AppliedVersion, order: UnpublishRequest, epoch: int, now: int) -> None:
    """Where no leader works: what the core would have decided, from how everything stands in the store."""
    core = Core(epoch=epoch, slots=1)
    loaded = load(tx, applied.compiled, version=applied.id)
    core.handle(loaded, now)
    for event in paused(tx, {node.name for node in loaded.graph.nodes}, now):
        core.handle(event, now)
    marks = [update for update in core.handle(TakenBack(order.node, order.key, order.said), now) if isinstance(update, PartitionUpdate)]
    leader_writes.mark_partitions(
        tx, [PartitionRecord(m.node, m.key, m.state, m.stale, m.failures, m.not_before, m.reason, now, m.proposed) for m in marks]
    )


def _remove_from_lake(tx: Transaction, order: UnpublishRequest, actor: Actor, now: int) -> int:
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


def discard_rewrites(folders: Folders, files: Sequence[RewrittenFile]) -> None:
    """Remove rewrites that weren't published."""
    for file in files:
        if file.staged is not None:
            (folders.lake / file.staged.path).unlink(missing_ok=True)


# Accept a held or rejected attempt: what it staged becomes visible unchanged.

REASON_MAX = 1_000


class ExceptionDecision(msgspec.Struct, frozen=True):
    """What somebody decides about: all that waits of one attempt, why, and until when (microseconds)."""

    rows: tuple[Quarantined, ...]
    actor: Actor
    reason: str
    until: int | None

    @property
    def node(self) -> str:
        """What it belongs to."""
        return self.rows[0].node

    @property
    def keys(self) -> tuple[str, ...]:
        """Its partitions."""
        return tuple(row.partition for row in self.rows)


def staged_of(tx: Transaction, rows: Sequence[Quarantined]) -> TaskOutcome | None:
    """What an attempt staged that can be published as it is; None where only its delivery was kept, where it changed a table that
    later partitions stand on, or where the table's columns have moved on since. Refused for rows that belong to none of the partitions."""
    blob = quarantine.withheld(tx, rows[0].epoch, rows[0].n)
    outcome = None if blob is None else msgspec.msgpack.decode(blob, type=TaskOutcome)
    if outcome is None or outcome.staged is None or outcome.quarantined is None or not _fits(outcome, table(tx, rows[0].node)):
        return None
    keys = {row.partition for row in rows}
    stray = sum(part.rows for part in outcome.staged.partitions if part.key not in keys)
    if stray:
        raise Refused(
            f"{stray} of its rows belong to another partition: there is nowhere to publish them",
            hint="have it delivered again, or drop it: "
            + command_line("quarantine", "drop", partition_argument(rows[0].node, rows[0].partition), "--reason", "TEXT"),
        )
    return outcome


def _fits(outcome: TaskOutcome, now: LakeTable | None) -> bool:
    """Whether the table is as the outcome was staged for, or can become that without losing a column that came since, or another
    one's type."""
    assert outcome.staged is not None
    if now is None:
        return True
    if outcome.table is None:
        return not outcome.staged.columns or outcome.staged.columns == now.columns
    columns = {column.id: column for column in outcome.table.columns}
    return all(column.id in columns and _becomes(column, columns[column.id]) for column in now.columns)


def _becomes(column: LakeColumn, other: LakeColumn) -> bool:
    return column.name == other.name and (column.type == other.type or widens(parse(column.type), parse(other.type)))


def put_back(folders: Folders, outcome: TaskOutcome) -> StagedFile:
    """The staged file where the lake's files lie, synced; what waits stays where it is until nobody needs it. Raises LakeError where it
    isn't there as it was staged."""
    assert outcome.staged is not None
    assert outcome.quarantined is not None
    kept, path = Path(folders.data, outcome.quarantined), folders.lake / outcome.staged.path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(kept, path)
        except FileNotFoundError as error:
            raise LakeError(f"{kept} isn't there any more", hint="have it delivered again, or make it again") from error
        except OSError:  # a file system without links
            shutil.copy2(kept, path)
    verify(folders.lake, outcome.staged)
    os.utime(path)  # a sweep takes files for left over that nothing names and that are old
    sync([path])
    return outcome.staged


class Accepting:
    """Publishes one exception. `tx` is the transaction in which that is decided."""

    def __init__(self, decision: ExceptionDecision, outcome: TaskOutcome, rewritten: Sequence[RewrittenFile]) -> None:
        assert outcome.staged is not None
        self._one, self._outcome, self._staged, self._rewritten = decision, outcome, outcome.staged, rewritten
        self._parts = {part.key: part for part in outcome.staged.partitions}

    def told(self, tx: Transaction) -> Promoted:
        """What the core is told, with the numbers that `publish` gives."""
        first = leader_writes.last_publication_id(tx) + 1
        contents = tuple((self._one.node, key, not self._identical(tx, key)) for key in self._one.keys)
        return Promoted(contents, tuple(range(first, first + len(contents))))

    def publish(self, tx: Transaction, now: int) -> None:
        """Raises Moved where the table, or its files, aren't those any more that it was prepared for, and Refused where the lake can't
        hold it."""
        snapshot = self._into_the_lake(tx, now)
        first = leader_writes.last_publication_id(tx) + 1
        publications = [self._publication(tx, row, first + place, snapshot, now) for place, row in enumerate(self._one.rows)]
        quarantine.decide(tx, [row.id for row in self._one.rows], "released", now)
        leader_writes.publish(tx, publications)
        for row, publication in zip(self._one.rows, publications, strict=True):
            acceptance = Acceptance(row.id, publication.id, self._one.actor.id, self._one.reason, now, self._one.until)
            exceptions.accept_exception(tx, row.node, row.partition, acceptance)
        text = f"accepted by {self._one.actor.id}: {self._one.reason}"
        numbers = {row.delivery_id for row in self._one.rows if row.delivery_id is not None}
        ingestion.settle_deliveries(tx, [("published", text, None, None, -1, number) for number in numbers])
        record_decision(tx, self._one, Action.QUARANTINE_ACCEPTED, now, rows=sum(publication.rows for publication in publications))

    def _into_the_lake(self, tx: Transaction, now: int) -> int:
        node, change = self._one.node, CatalogChange.begin(tx, now)
        rewrites = [Rewrite(file.path, file.staged) for file in self._rewritten]
        try:
            if self._outcome.table is not None and table(tx, node) is None:
                change.create_table(self._outcome.table)
            elif self._outcome.table is not None:
                change.evolve_table(self._outcome.table)
            change.replace(node, self._one.keys, [self._staged], rewrites=rewrites)
        except (NeedsRewrite, FileMoved, TableMoved) as error:
            raise RewriteOutdated(str(error), hint="try again") from error
        except LakeError as error:
            raise Refused(f"it can't be put into its table: {error}", hint=error.hint or "have it delivered again") from error
        if self._outcome.learnt is not None and ingestion.pinned_schema(tx, node) is None:
            ingestion.pin_schema(tx, node, msgspec.json.encode(self._outcome.learnt).decode(), now)
        return change.finish(author=self._one.actor.id[:200], message=f"accept {node}"[:500])

    def _publication(self, tx: Transaction, row: Quarantined, number: int, snapshot: int, now: int) -> PublicationRecord:
        part, attempt = self._parts.get(row.partition), attempts.get(tx, row.epoch, row.n)
        rows = part.rows if part is not None else 0
        return PublicationRecord(
            id=number, node=row.node, partition=row.partition, epoch=row.epoch, n=row.n, snapshot=snapshot, published_at=now, rows=rows,
            size_bytes=self._staged.size_bytes * rows // max(self._staged.rows, 1), verdict=Verdict.WARNED,
            content_hash=part.content_hash if part is not None else None, identical=self._identical(tx, row.partition),
            version=attempt.version or 0 if attempt is not None else 0, delivery_id=row.delivery_id, manifest=None,
        )  # fmt: skip

    def _identical(self, tx: Transaction, key: str) -> bool:
        before, part = leader_writes.published_of(tx, self._one.node, key), self._parts.get(key)
        return before is not None and part is not None and part.content_hash is not None and before[1] == part.content_hash


def record_decision(tx: Transaction, decision: ExceptionDecision, action: Action, now: int, *, rows: int | None = None) -> None:
    """What somebody decided stands in the trail, with what it was about, and how many rows that published at once: no other entry
    tells of that publication."""
    first = decision.rows[0]
    before = {"state": first.state, "reason": first.reason[:REASON_MAX], "partitions": len(decision.rows)}
    about = Object(
        "partition", f"{decision.node}@{decision.keys[0]}" if len(decision.keys) == 1 else decision.node, f"{first.epoch}.{first.n}"
    )
    after = {name: value for name, value in (("rows", rows), ("until_us", decision.until)) if value is not None}
    append(
        tx, now, AuditEvent(action=action, actor=decision.actor, object=about, before=before, after=after or None, reason=decision.reason)
    )
