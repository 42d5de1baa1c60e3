"""Accepting: what a held or rejected attempt staged becomes what readers see, as it is; the lake, the store and the trail in one
transaction. Files that others share with it are rewritten before, by whoever asks: the leader opens no DuckDB."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.govern.audit import Action, Actor, AuditEvent, Object, append
from headrace.lake import LakeColumn, LakeTable, StagedFile
from headrace.lake.catalog import CatalogChange, FileMoved, NeedsRewrite, Rewrite, TableMoved, table
from headrace.lake.syncing import sync, verify
from headrace.lake.types import parse, widens
from headrace.model import LakeError, Refused
from headrace.model.commands import command_line, place
from headrace.quality import Verdict
from headrace.run.folders import Folders
from headrace.run.messages import RewrittenFile, TaskOutcome
from headrace.run.taking_back import RewriteOutdated
from headrace.schedule import Promoted
from headrace.store import Transaction
from headrace.store.queries import arriving, attempts, exceptions, leading, quarantine
from headrace.store.queries.exceptions import Acceptance
from headrace.store.queries.leading import PublicationRecord
from headrace.store.queries.quarantine import Quarantined

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
            + command_line("quarantine", "drop", place(rows[0].node, rows[0].partition), "--reason", "TEXT"),
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
        first = leading.last_publication_id(tx) + 1
        contents = tuple((self._one.node, key, not self._identical(tx, key)) for key in self._one.keys)
        return Promoted(contents, tuple(range(first, first + len(contents))))

    def publish(self, tx: Transaction, now: int) -> None:
        """Raises Moved where the table, or its files, aren't those any more that it was prepared for, and Refused where the lake can't
        hold it."""
        snapshot = self._into_the_lake(tx, now)
        first = leading.last_publication_id(tx) + 1
        publications = [self._publication(tx, row, first + place, snapshot, now) for place, row in enumerate(self._one.rows)]
        quarantine.decide(tx, [row.id for row in self._one.rows], "released", now)
        leading.publish(tx, publications)
        for row, publication in zip(self._one.rows, publications, strict=True):
            acceptance = Acceptance(row.id, publication.id, self._one.actor.id, self._one.reason, now, self._one.until)
            exceptions.accept(tx, row.node, row.partition, acceptance)
        text = f"accepted by {self._one.actor.id}: {self._one.reason}"
        numbers = {row.delivery_id for row in self._one.rows if row.delivery_id is not None}
        arriving.settle_deliveries(tx, [("published", text, None, None, -1, number) for number in numbers])
        decided(tx, self._one, Action.QUARANTINE_ACCEPTED, now, rows=sum(publication.rows for publication in publications))

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
        if self._outcome.learnt is not None and arriving.pinned_schema(tx, node) is None:
            arriving.pin_schema(tx, node, msgspec.json.encode(self._outcome.learnt).decode(), now)
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
        before, part = leading.published_of(tx, self._one.node, key), self._parts.get(key)
        return before is not None and part is not None and part.content_hash is not None and before[1] == part.content_hash


def decided(tx: Transaction, decision: ExceptionDecision, action: Action, now: int, *, rows: int | None = None) -> None:
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
