"""Decisions of users about publications: accept quarantined data, or unpublish a partition.

The lake, the store and the audit trail change in one transaction. The caller first rewrites files
that also hold other partitions (`runtime.file_rewrites`), because the leader doesn't load DuckDB.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.checks import Verdict
from headrace.lake import FileRef, LakeColumn, LakeTable, StagedFile
from headrace.lake.catalog import (
    CatalogChange,
    FileMoved,
    NeedsRewrite,
    Rewrite,
    TableMoved,
    newest_snapshot,
    shared_files,
    table,
)
from headrace.lake.files import sync, verify
from headrace.lake.types import parse, widens
from headrace.model import HeadraceError, LakeError, Refused
from headrace.model.partitions import command_line, partition_argument
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.folders import Folders
from headrace.runtime.graph import load, paused
from headrace.runtime.messages import RewrittenFile, WithheldOutcome
from headrace.runtime.table_writes import write_partitions
from headrace.scheduler import Core, PartitionUpdate, Promoted, TakenBack
from headrace.security.audit import Action, Actor, AuditEvent, Object, append
from headrace.store import Transaction
from headrace.store.queries import attempts, exceptions, ingestion, leader_writes, quarantine
from headrace.store.queries import publications as stored_publications
from headrace.store.queries.exceptions import Acceptance
from headrace.store.queries.leader_writes import PartitionRecord, PublicationRecord
from headrace.store.queries.publications import Publication, last_id
from headrace.store.queries.quarantine import Quarantined

# Unpublish a partition, and compute its new states where no leader runs.


class RewriteOutdated(HeadraceError):
    """The table has changed since its files were rewritten; they must be rewritten again."""


class UnpublishRequest(msgspec.Struct, frozen=True):
    """The partition to unpublish, and rewrites of its shared files without it."""

    node: str
    key: str
    reason: str
    by: str
    rewritten: tuple[RewrittenFile, ...] = ()

    @property
    def signed_reason(self) -> str:
        """The reason with its author, as stored in the partition's state."""
        return f"{self.reason} (by {self.by})"


def files_shared_with(
    tx: Transaction, node: str, key: str
) -> tuple[LakeTable | None, list[FileRef]]:
    """Return the node's table and the files that hold this and other partitions."""
    return table(tx, node), shared_files(tx, node, [key])


def unpublish(
    tx: Transaction, order: UnpublishRequest, publication: Publication, actor: Actor, now: int
) -> int:
    """Unpublish a partition in the caller's transaction; return the first snapshot without it.

    Raises RewriteOutdated if the table has changed since its files were rewritten.
    """
    snapshot = _remove_from_lake(tx, order, actor, now)
    stored_publications.withdraw(
        tx, order.node, order.key, snapshot=snapshot, now=now, reason=order.signed_reason
    )
    before = {
        "publication": publication.id,
        "rows": publication.rows,
        "snapshot": publication.snapshot,
    }
    place = Object("partition", f"{order.node}@{order.key}", f"{publication.epoch}.{publication.n}")
    append(
        tx,
        now,
        AuditEvent(
            action=Action.PARTITION_WITHDRAWN,
            actor=actor,
            object=place,
            before=before,
            reason=order.reason,
        ),
    )
    return snapshot


def apply_without_leader(
    tx: Transaction, applied: AppliedVersion, order: UnpublishRequest, epoch: int, now: int
) -> None:
    """Store the partition states that a core decides on, where no leader runs.

    A temporary core starts from the states in the store.
    """
    core = Core(epoch=epoch, slots=1)
    loaded = load(tx, applied.compiled, version=applied.id)
    core.handle(loaded, now)
    for event in paused(tx, {node.name for node in loaded.graph.nodes}, now):
        core.handle(event, now)
    marks = [
        update
        for update in core.handle(TakenBack(order.node, order.key, order.signed_reason), now)
        if isinstance(update, PartitionUpdate)
    ]
    leader_writes.mark_partitions(
        tx,
        [
            PartitionRecord(
                m.node, m.key, m.state, m.stale, m.failures, m.not_before, m.reason, now, m.proposed
            )
            for m in marks
        ],
    )


def _remove_from_lake(tx: Transaction, order: UnpublishRequest, actor: Actor, now: int) -> int:
    """Return the snapshot without the partition.

    A node without a table (`materialize: files`) is only unpublished in the store.
    """
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
    """Delete rewritten files that weren't published."""
    for file in files:
        if file.staged is not None:
            (folders.lake / file.staged.path).unlink(missing_ok=True)


# Accept a held or rejected attempt: its staged rows become visible unchanged.

REASON_MAX = 1_000


class ExceptionDecision(msgspec.Struct, frozen=True):
    """A user's decision about all quarantined partitions of one attempt.

    `until` is the time when the exception ends, in microseconds.
    """

    rows: tuple[Quarantined, ...]
    actor: Actor
    reason: str
    until: int | None

    @property
    def node(self) -> str:
        """The node of the partitions."""
        return self.rows[0].node

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the partitions."""
        return tuple(row.partition for row in self.rows)


def staged_of(tx: Transaction, rows: Sequence[Quarantined]) -> WithheldOutcome | None:
    """Return what an attempt staged if it can be published as it is; None otherwise.

    None if only the delivery was kept, if the attempt merged into a table that later partitions
    build on, or if the table's columns have changed since. Raises Refused if rows belong to no
    partition of the attempt.
    """
    blob = quarantine.withheld(tx, rows[0].epoch, rows[0].n)
    if blob is None:
        return None
    outcome: WithheldOutcome = msgspec.msgpack.decode(blob, type=WithheldOutcome)
    if (
        outcome.staged is None
        or outcome.quarantined is None
        or not _fits(outcome, table(tx, rows[0].node))
    ):
        return None
    keys = {row.partition for row in rows}
    stray = sum(part.rows for part in outcome.staged.partitions if part.key not in keys)
    if stray:
        raise Refused(
            f"{stray} of its rows belong to another partition: there is nowhere to publish them",
            hint="have it delivered again, or drop it: "
            + command_line(
                "quarantine",
                "drop",
                partition_argument(rows[0].node, rows[0].partition),
                "--reason",
                "TEXT",
            ),
        )
    return outcome


def _fits(outcome: WithheldOutcome, now: LakeTable | None) -> bool:
    """Whether the table can hold the staged rows without losing newer columns or types."""
    assert outcome.staged is not None
    if now is None:
        return True
    if outcome.table is None:
        return not outcome.staged.columns or outcome.staged.columns == now.columns
    columns = {column.id: column for column in outcome.table.columns}
    return all(
        column.id in columns and _becomes(column, columns[column.id]) for column in now.columns
    )


def _becomes(column: LakeColumn, other: LakeColumn) -> bool:
    return column.name == other.name and (
        column.type == other.type or widens(parse(column.type), parse(other.type))
    )


def put_back(folders: Folders, outcome: WithheldOutcome) -> StagedFile:
    """Link the staged file back into the lake, sync it and return it.

    The quarantined copy stays until it is no longer needed. Raises LakeError if the file is missing
    or was changed since it was staged.
    """
    assert outcome.staged is not None
    assert outcome.quarantined is not None
    quarantined, path = Path(folders.data, outcome.quarantined), folders.lake / outcome.staged.path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(quarantined, path)
        except FileNotFoundError as error:
            raise LakeError(
                f"{quarantined} isn't there any more",
                hint="have it delivered again, or make it again",
            ) from error
        except OSError:  # a file system without links
            shutil.copy2(quarantined, path)
    verify(folders.lake, outcome.staged)
    os.utime(path)  # the sweep deletes old files that nothing references
    sync([path])
    return outcome.staged


class Accepting:
    """Publishes one exception, in the transaction that records the decision."""

    def __init__(
        self,
        decision: ExceptionDecision,
        outcome: WithheldOutcome,
        rewritten: Sequence[RewrittenFile],
    ) -> None:
        assert outcome.staged is not None
        self._one, self._outcome, self._staged, self._rewritten = (
            decision,
            outcome,
            outcome.staged,
            rewritten,
        )
        self._parts = {part.key: part for part in outcome.staged.partitions}

    def event(self, tx: Transaction) -> Promoted:
        """Return the event for the core, with the publication numbers that `publish` assigns."""
        first = last_id(tx) + 1
        contents = tuple(
            (self._one.node, key, not self._identical(tx, key)) for key in self._one.keys
        )
        return Promoted(contents, tuple(range(first, first + len(contents))))

    def publish(self, tx: Transaction, now: int) -> None:
        """Publish the staged rows and record the exception.

        Raises RewriteOutdated if the table or its files have changed since they were prepared, and
        Refused if the lake can't hold the rows.
        """
        snapshot = self._into_the_lake(tx, now)
        first = last_id(tx) + 1
        publications = [
            self._publication(tx, row, first + place, snapshot, now)
            for place, row in enumerate(self._one.rows)
        ]
        quarantine.decide(tx, [row.id for row in self._one.rows], "released", now)
        leader_writes.publish(tx, publications)
        for row, publication in zip(self._one.rows, publications, strict=True):
            acceptance = Acceptance(
                row.id, publication.id, self._one.actor.id, self._one.reason, now, self._one.until
            )
            exceptions.accept_exception(tx, row.node, row.partition, acceptance)
        text = f"accepted by {self._one.actor.id}: {self._one.reason}"
        numbers = {row.delivery_id for row in self._one.rows if row.delivery_id is not None}
        ingestion.settle_deliveries(
            tx, [("published", text, None, None, None, -1, number) for number in numbers]
        )
        record_decision(
            tx,
            self._one,
            Action.QUARANTINE_ACCEPTED,
            now,
            rows=sum(publication.rows for publication in publications),
        )

    def _into_the_lake(self, tx: Transaction, now: int) -> int:
        node, change = self._one.node, CatalogChange.begin(tx, now)
        try:
            write_partitions(
                tx,
                change,
                node,
                self._one.keys,
                [self._staged],
                self._rewritten,
                self._outcome.table,
            )
        except (NeedsRewrite, FileMoved, TableMoved) as error:
            raise RewriteOutdated(str(error), hint="try again") from error
        except LakeError as error:
            raise Refused(
                f"it can't be put into its table: {error}",
                hint=error.hint or "have it delivered again",
            ) from error
        if self._outcome.learnt is not None and ingestion.pinned_schema(tx, node) is None:
            ingestion.pin_schema(tx, node, msgspec.json.encode(self._outcome.learnt).decode(), now)
        return change.finish(author=self._one.actor.id[:200], message=f"accept {node}"[:500])

    def _publication(
        self, tx: Transaction, row: Quarantined, number: int, snapshot: int, now: int
    ) -> PublicationRecord:
        part, attempt = self._parts.get(row.partition), attempts.get(tx, row.epoch, row.n)
        rows = part.rows if part is not None else 0
        return PublicationRecord(
            id=number,
            node=row.node,
            partition=row.partition,
            epoch=row.epoch,
            n=row.n,
            snapshot=snapshot,
            published_at=now,
            rows=rows,
            size_bytes=self._staged.size_bytes * rows // max(self._staged.rows, 1),
            verdict=Verdict.WARNED,
            content_hash=part.content_hash if part is not None else None,
            identical=self._identical(tx, row.partition),
            version=attempt.version or 0 if attempt is not None else 0,
            delivery_id=row.delivery_id,
            manifest=None,
        )

    def _identical(self, tx: Transaction, key: str) -> bool:
        before, part = leader_writes.published_of(tx, self._one.node, key), self._parts.get(key)
        return (
            before is not None
            and part is not None
            and part.content_hash is not None
            and before[1] == part.content_hash
        )


def record_decision(
    tx: Transaction,
    decision: ExceptionDecision,
    action: Action,
    now: int,
    *,
    rows: int | None = None,
) -> None:
    """Record a decision in the audit trail, with its partitions and the number of published rows.

    No other entry records that publication.
    """
    first = decision.rows[0]
    before = {
        "state": first.state,
        "reason": first.reason[:REASON_MAX],
        "partitions": len(decision.rows),
    }
    about = Object(
        "partition",
        f"{decision.node}@{decision.keys[0]}" if len(decision.keys) == 1 else decision.node,
        f"{first.epoch}.{first.n}",
    )
    after = {
        name: value
        for name, value in (("rows", rows), ("until_us", decision.until))
        if value is not None
    }
    append(
        tx,
        now,
        AuditEvent(
            action=action,
            actor=decision.actor,
            object=about,
            before=before,
            after=after or None,
            reason=decision.reason,
        ),
    )
