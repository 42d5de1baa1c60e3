"""The event log of a project, its comparison with the tables, and checkpoints of the core."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake import catalog
from headrace.model import LakeError
from headrace.plan import Compiled
from headrace.runtime.folders import Folders
from headrace.runtime.graph import load
from headrace.scheduler import (
    AttemptPublished,
    Command,
    Core,
    Event,
    Loaded,
    PartitionUpdate,
    Promoted,
    checkpoints,
)
from headrace.security.audit import Action, Actor, AuditEvent, Object, append, counted
from headrace.store import Store, Transaction
from headrace.store.event_log import comparing, replaying
from headrace.store.event_log.comparing import LogDifference
from headrace.store.event_log.replaying import Log, Misfit, Replay
from headrace.store.event_recording import CATALOG, EventRecordKind, append_event
from headrace.store.queries import partition_states

# Begin, compare and shorten the event log.

DIFFERENCES_MAX = 10_000
"""At most this many differences are listed per table."""


class EventLogComparison(msgspec.Struct):
    """The result of comparing the tables with the event log."""

    log: Log
    checked: dict[str, int]
    """Table → number of compared rows."""
    differences: list[LogDifference]
    misfits: list[Misfit]
    unreadable: dict[str, str]
    """Tables that are missing or can't be read → reason."""
    catalog_known: bool = True
    replay: Replay | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing differs."""
        return not (self.differences or self.misfits or self.unreadable)


def begin(store: Store, epoch: int, folders: Folders, actor: Actor, now: int) -> None:
    """Begin the event log of a state from before event logs; do nothing if it has begun."""
    with store.read() as tx:
        if replaying.has_begun(tx) or replaying.beyond(folders.checkpoints, replaying.last(tx)):
            return
    begin_anew(store, epoch, folders, actor, now, "the state is from before there was an event log")


def begin_anew(
    store: Store, epoch: int | None, folders: Folders, actor: Actor, now: int, why: str
) -> None:
    """Begin the event log with the current rows of the tables; add an audit event."""
    thing = Object("state", "event_log")
    event = AuditEvent(action=Action.EVENT_LOG_BEGUN, actor=actor, object=thing, reason=why)
    with store.write(epoch) as tx:
        append(tx, now, event)
    prepare = catalog.create_tables
    replaying.begin(store, epoch, folders.checkpoints, prepare, counted, why)


@contextmanager
def compared(tx: Transaction, folders: Folders) -> Iterator[EventLogComparison]:
    """Replay the event log and compare its tables with the stored ones.

    The replay exists for the duration of the block.
    """
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
    """Yield a misfit if the log seems never to have begun, but a later checkpoint exists."""
    if later := replaying.beyond(folders.checkpoints, log.last):
        yield Misfit(log.last, "seq", str(log.last), f"the records that {later} stands for")


def _compared(tx: Transaction, log: Log, replay: Replay) -> EventLogComparison:
    misfits = [*log.misfits, *replay.misfits]
    comparison = EventLogComparison(log, {}, [], misfits, {}, replay.catalog_known, replay)
    if not replay.complete:
        return comparison  # every row would differ, and none would show the cause
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
    """Record that DuckLake is about to change the catalog by itself.

    From then on the event log can't show whether anyone else has changed it. Raises LakeError if
    the state differs from the log: the differences must be resolved first.
    """
    with store.read() as tx, compared(tx, folders) as comparison:
        _refuse(comparison)
    with store.write(epoch) as tx:
        append_event(tx.execute, EventRecordKind.MAINTENANCE, epoch=epoch or 0)


def shorten(store: Store, epoch: int | None, folders: Folders) -> None:
    """Compare, and replace all records by a checkpoint.

    Raises LakeError if the state differs from the log; the records stay then.
    """
    with store.read() as tx, compared(tx, folders) as comparison:
        _refuse(comparison)
        if comparison.replay is not None:
            folder = folders.checkpoints
            replaying.write(store, epoch, tx, comparison.replay, comparison.log, folder, counted)


def _refuse(comparison: EventLogComparison) -> None:
    if not comparison.sound:
        count = len(comparison.differences) + len(comparison.misfits) + len(comparison.unreadable)
        raise LakeError(
            f"the state isn't as its event log says ({count:,} differences): nothing is cleaned up",
            hint="headrace db check",
        )


# Checkpoints of the core, a separate record: the leader writes one now and then, so that the next
# leader needn't read the state of every partition.

CHANGES_MAX = 5_000
"""Changed partitions, which the next leader would read one by one, that cause a checkpoint."""
CHANGES_WORTH = 500
"""Changed partitions that make a checkpoint worthwhile when the lease is released."""


class Checkpoints:
    """Counts the changes since the last checkpoint, and writes the next one.

    `sound`: everything that the core was told is committed.
    """

    def __init__(self) -> None:
        self._changed = 0
        self.sound = False

    def begun(self, loaded: Loaded) -> None:
        """Count the partition states that a core reads one by one when it starts.

        The next core needn't read them again.
        """
        whole = loaded.checkpoint is None or loaded.checkpoint.complete
        self._changed = len(loaded.tracked_partitions) + (
            0
            if whole or loaded.checkpoint is None
            else checkpoints.checkpoint_size(loaded.checkpoint)
        )

    def maintain(
        self,
        tx: Transaction,
        core: Core,
        events: Iterable[Event],
        commands: Iterable[Command],
        version: int,
        now: int,
    ) -> None:
        """Count the changes of a loop iteration, and write a checkpoint if it is due.

        Its cost grows with the number of unsettled partitions, so it waits for at least as many
        changes.
        """
        self._changed += sum(isinstance(command, PartitionUpdate) for command in commands)
        self._changed += sum(
            len(event.contents)
            for event in events
            if isinstance(event, AttemptPublished | Promoted)
        )
        if self._changed >= CHANGES_MAX and self._changed >= core.unsettled():
            self.write(tx, core, version, now)

    @property
    def worth(self) -> bool:
        """Whether a checkpoint would help the next leader, and the core's state is committed."""
        return self.sound and self._changed >= CHANGES_WORTH

    def write(self, tx: Transaction, core: Core, version: int, now: int) -> None:
        """Write a checkpoint of the core's state, all of which is or will be committed.

        This transaction or an earlier one stores the same state.
        """
        partition_states.save_checkpoint(
            tx, version, checkpoints.encode_checkpoint(core.checkpoint()), now
        )
        reached(FaultPoint.CHECKPOINT_WRITTEN)
        self._changed = 0


def checkpoint_differences(
    tx: Transaction, compiled: Compiled, version: int
) -> list[tuple[str, str]]:
    """Return the partitions whose state in the checkpoint differs from their row in the store.

    Empty unless something is wrong.
    """
    loaded = load(tx, compiled, version=version)
    if loaded.checkpoint is None or not loaded.checkpoint.complete:
        return []
    whole = load(tx, compiled).checkpoint
    return [] if whole is None else list(checkpoints.differing_partitions(loaded, whole))
