"""What the core knows is written down now and then, so that the next leader needn't read where every partition stands."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.faults import FaultPoint, reached
from headrace.plan import Compiled
from headrace.run.loading import load
from headrace.schedule import AttemptPublished, Command, Core, Event, Loaded, PartitionUpdate, Promoted, checkpoint
from headrace.store import Transaction
from headrace.store.queries import standings

CHANGES_MAX = 5_000
"""Partitions that the next leader would have to read one by one, before a checkpoint is written."""
CHANGES_WORTH = 500
"""So many make one worth writing when the lease is given back."""


class Checkpoints:
    """Counts what has changed since the last checkpoint, and writes the next. `sound`: all that the core was told is committed."""

    def __init__(self) -> None:
        self._changed = 0
        self.sound = False

    def begun(self, loaded: Loaded) -> None:
        """A core starts from this; what it reads one by one, the next needn't."""
        whole = loaded.checkpoint is None or loaded.checkpoint.complete
        self._changed = len(loaded.tracked_partitions) + (0 if whole or loaded.checkpoint is None else checkpoint.size(loaded.checkpoint))

    def maintain(self, tx: Transaction, core: Core, events: Iterable[Event], commands: Iterable[Command], version: int, now: int) -> None:
        """Count what a turn has written for these, and write a checkpoint if it is time. Writing one costs as much as partitions aren't at
        rest, so it waits for as many changes."""
        self._changed += sum(isinstance(command, PartitionUpdate) for command in commands)
        self._changed += sum(len(event.contents) for event in events if isinstance(event, AttemptPublished | Promoted))
        if self._changed >= CHANGES_MAX and self._changed >= core.unsettled():
            self.write(tx, core, version, now)

    @property
    def worth(self) -> bool:
        """Whether so much has changed that the next leader is better off with one, and all that the core was told is committed."""
        return self.sound and self._changed >= CHANGES_WORTH

    def write(self, tx: Transaction, core: Core, version: int, now: int) -> None:
        """Write one of all that the core was told, which this transaction or an earlier one has written as well."""
        standings.keep_checkpoint(tx, version, checkpoint.encode(core.checkpoint()), now)
        reached(FaultPoint.CHECKPOINT_WRITTEN)
        self._changed = 0


def differing(tx: Transaction, compiled: Compiled, version: int) -> list[tuple[str, str]]:
    """The partitions that the checkpoint says otherwise than the store's rows do: none, unless something is wrong."""
    loaded = load(tx, compiled, version=version)
    if loaded.checkpoint is None or not loaded.checkpoint.complete:
        return []
    whole = load(tx, compiled).checkpoint
    return [] if whole is None else list(checkpoint.differing(loaded, whole))
