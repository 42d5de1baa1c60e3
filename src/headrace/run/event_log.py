"""The event log of a project: where its checkpoints lie, and when one is written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from headrace.govern.audit import Action, Actor, AuditEvent, Object, append, counted
from headrace.lake import catalog
from headrace.model import LakeError
from headrace.run.folders import Folders
from headrace.store import Store, Transaction
from headrace.store.event_log import checkpoints, comparing, replaying
from headrace.store.event_log.comparing import LogDifference
from headrace.store.event_log.recording import append_event
from headrace.store.event_log.records import EventRecordKind
from headrace.store.event_log.replaying import Log, Misfit, Replay
from headrace.store.event_log.statements import CATALOG

DIFFERENCES_MAX = 10_000
"""Of one table; what is more isn't listed."""


class EventLogComparison(msgspec.Struct):
    """What came of comparing the tables with the event log."""

    log: Log
    checked: dict[str, int]
    """Table → rows that were compared."""
    differences: list[LogDifference]
    misfits: list[Misfit]
    unreadable: dict[str, str]
    """Tables that are missing or can't be read, and why."""
    catalog_known: bool = True
    replay: Replay | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing differs."""
        return not (self.differences or self.misfits or self.unreadable)


def begin(store: Store, epoch: int, folders: Folders, actor: Actor, now: int) -> None:
    """Let the log of a state begin that is from before there was one; nothing happens where it has begun."""
    with store.read() as tx:
        if replaying.has_begun(tx) or checkpoints.beyond(folders.checkpoints, replaying.last(tx)):
            return
    begin_anew(store, epoch, folders, actor, now, "the state is from before there was an event log")


def begin_anew(store: Store, epoch: int | None, folders: Folders, actor: Actor, now: int, why: str) -> None:
    """Let the log begin with what the tables hold now, and say so in the audit trail."""
    thing = Object("state", "event_log")
    event = AuditEvent(action=Action.EVENT_LOG_BEGUN, actor=actor, object=thing, reason=why)
    with store.write(epoch) as tx:
        append(tx, now, event)
    prepare = catalog.create_tables
    checkpoints.begin(store, epoch, folders.checkpoints, prepare, counted, why)


@contextmanager
def compared(tx: Transaction, folders: Folders) -> Iterator[EventLogComparison]:
    """Compute the tables again, and compare. The replay is there for as long as the block lasts."""
    log = replaying.read(tx)
    with tempfile.TemporaryDirectory(prefix="headrace-") as temporary:
        if not log.begins:
            yield EventLogComparison(log, {}, [], [*log.misfits, *_cut(log, folders)], {})
            return
        target = Path(temporary, "replayed.db")
        replay = replaying.replay(tx, log, folders.checkpoints, target, catalog.create_tables)
        try:
            yield _compared(tx, log, replay)
        finally:
            replay.close()


def _cut(log: Log, folders: Folders) -> Iterator[Misfit]:
    """A log that looks as if it had never begun, beside the file of a later record."""
    if later := checkpoints.beyond(folders.checkpoints, log.last):
        yield Misfit(log.last, "seq", str(log.last), f"the records that {later} stands for")


def _compared(tx: Transaction, log: Log, replay: Replay) -> EventLogComparison:
    misfits = [*log.misfits, *replay.misfits]
    comparison = EventLogComparison(log, {}, [], misfits, {}, replay.catalog_known, replay)
    if not replay.complete:
        return comparison  # everything would differ, and nothing of it would say what is wrong
    for name in comparing.missing_tables(tx, replay.connection):
        if not name.startswith(CATALOG) or not catalog.missing(tx):
            comparison.unreadable[name] = "the table is missing"
    for table in comparing.tables(tx, replay.connection, catalog.KEYS):
        if table.name.startswith(CATALOG) and not replay.catalog_known:
            continue
        try:
            with comparing.apart(tx):
                differing = comparing.compared(tx, replay.connection, table)
                comparison.differences += islice(differing, DIFFERENCES_MAX)
                comparison.checked[table.name] = comparing.count(tx, table.name)
        except comparing.UNREADABLE as error:
            comparison.unreadable[table.name] = str(error)
    return comparison


def maintained(store: Store, epoch: int | None, folders: Folders) -> None:
    """Before DuckLake changes the catalog by itself: afterwards it can't be said any more whether somebody else has.

    LakeError where the state isn't as the log says: what differs has to be looked at first."""
    with store.read() as tx, compared(tx, folders) as comparison:
        _refuse(comparison)
    with store.write(epoch) as tx:
        append_event(tx.execute, EventRecordKind.MAINTENANCE, epoch=epoch or 0)


def shorten(store: Store, epoch: int | None, folders: Folders) -> None:
    """Compare, and let a checkpoint stand for all records. LakeError where the state isn't as the log says: they stay."""
    with store.read() as tx, compared(tx, folders) as comparison:
        _refuse(comparison)
        if comparison.replay is not None:
            folder = folders.checkpoints
            checkpoints.write(store, epoch, tx, comparison.replay, comparison.log, folder, counted)


def _refuse(comparison: EventLogComparison) -> None:
    if not comparison.sound:
        count = len(comparison.differences) + len(comparison.misfits) + len(comparison.unreadable)
        raise LakeError(
            f"the state isn't as its event log says ({count:,} differences): nothing is cleaned up",
            hint="headrace db check",
        )
