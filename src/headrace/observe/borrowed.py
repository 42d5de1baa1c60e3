"""The facts of an environment: what it borrows is as production's store has it, everything else as its own."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.observe.facts import StoredFacts
from headrace.observe.state_facts import (
    AcceptedPartition,
    BackfillFailure,
    Damage,
    Newest,
    PartitionStateFacts,
    Pausing,
    RecordedObligation,
    StateFacts,
    UnreadableSource,
    Unusual,
    VisiblePublication,
)
from headrace.store.database import Transaction


class EnvironmentFacts:
    """Answers `observe.facts.StateFacts` from two stores."""

    def __init__(self, facts: StoredFacts, production: StoredFacts, borrowed: frozenset[str]) -> None:
        self._own, self._production, self._borrowed = facts, production, borrowed

    @property
    def production(self) -> Transaction:
        """What it reads of production."""
        return self._production.transaction

    @property
    def borrowed(self) -> frozenset[str]:
        """The nodes that are production's."""
        return self._borrowed

    def _of(self, node: str) -> StateFacts:
        return self._production if node in self._borrowed else self._own

    def first(self, node: str, partition: str) -> VisiblePublication | None:
        """The first publication of a partition. Production counts its snapshots by itself: here they come before all others."""
        seen = self._of(node).first(node, partition)
        return seen._replace(snapshot=0) if seen is not None and node in self._borrowed else seen

    def first_reading(self, node: str, snapshot: int, since_us: int) -> VisiblePublication | None:
        """The first publication of a whole node, not before `since_us`, that read the lake at this snapshot or a later one."""
        return self._of(node).first_reading(node, snapshot, since_us)

    def newest(self, node: str) -> Newest | None:
        """What readers see of a node; None if nothing."""
        return self._of(node).newest(node)

    def rows(self, node: str, partition: str) -> int | None:
        """How many rows readers see of a partition; None if nothing is published."""
        return self._of(node).rows(node, partition)

    def published_between(self, node: str, first: str, last: str) -> int:
        """How many partitions from `first` to `last`, both included, readers see."""
        return self._of(node).published_between(node, first, last)

    def keys(self, node: str, moment: str) -> list[str]:
        """The data keys of a node that were ever heard of for an interval; of one that isn't cut by time (moment empty), all."""
        return self._of(node).keys(node, moment)

    def standing(self, node: str, partition: str) -> PartitionStateFacts | None:
        """Where a partition stands; None if nothing was ever heard of it."""
        return self._of(node).standing(node, partition)

    def stale_nodes(self) -> set[str]:
        """Nodes of which a published partition is stale."""
        return (self._own.stale_nodes() - self._borrowed) | (self._production.stale_nodes() & self._borrowed)

    def quarantined_nodes(self) -> set[str]:
        """Nodes of which something waits in quarantine."""
        return (self._own.quarantined_nodes() - self._borrowed) | (self._production.quarantined_nodes() & self._borrowed)

    def oldest_delivery(self, source: str) -> str | None:
        """The oldest interval of a source that was ever delivered."""
        return self._of(source).oldest_delivery(source)

    def observations(self, source: str) -> list[int]:
        """When the last 20 looks at a source were, newest first."""
        return self._of(source).observations(source)

    def kept(self, consumer: str) -> list[RecordedObligation]:
        """Obligations written down here."""
        return self._own.kept(consumer)

    def pauses(self) -> dict[str, Pausing]:
        """What is paused here."""
        return self._own.pauses()

    def is_led(self) -> bool:
        """Whether this environment's leader runs now."""
        return self._own.is_led()

    def withdrawn(self) -> frozenset[tuple[str, str]]:
        """What was taken back, of the nodes that are this one's or production's."""
        own, theirs = self._own.withdrawn(), self._production.withdrawn()
        return frozenset(item for item in own if item[0] not in self._borrowed) | frozenset(
            one for one in theirs if one[0] in self._borrowed
        )

    def exceptions(self) -> list[AcceptedPartition]:
        """What was accepted, of the nodes that are this one's or production's."""
        partitions, theirs = self._own.exceptions(), self._production.exceptions()
        return [partition for partition in partitions if partition.node not in self._borrowed] + [
            accepted_partition for accepted_partition in theirs if accepted_partition.node in self._borrowed
        ]

    def unusual(self) -> list[Unusual]:
        """What is unlike the history, of the nodes that are this one's or production's."""
        unusuals, theirs = self._own.unusual(), self._production.unusual()
        return [item for item in unusuals if item.node not in self._borrowed] + [one for one in theirs if one.node in self._borrowed]

    def damaged(self) -> Mapping[tuple[str, str], Damage]:
        """What can't be read, of the nodes that are this one's or production's, whose incidents are only there."""
        damages, theirs = self._own.damaged(), self._production.damaged()
        results = {place: damage for place, damage in damages.items() if place[0] not in self._borrowed}
        borrowed = {place: damage for place, damage in theirs.items() if place[0] in self._borrowed}
        return results | {place: damage._replace(incident="") for place, damage in borrowed.items()}

    def failed_in_backfill(self, node: str, partition: str) -> BackfillFailure | None:
        """What a backfill or a repair failed at; production's incidents are only there."""
        failure = self._of(node).failed_in_backfill(node, partition)
        return failure._replace(incident="") if failure is not None and node in self._borrowed else failure

    def unreadable(self) -> Mapping[str, UnreadableSource]:
        """The sources that can't be read, of the nodes that are this one's or production's, whose
        incidents are only there."""
        sources, theirs = self._own.unreadable(), self._production.unreadable()
        unreadable_sources = {name: source for name, source in sources.items() if name not in self._borrowed}
        borrowed = {name: source for name, source in theirs.items() if name in self._borrowed}
        return unreadable_sources | {name: source._replace(incident="") for name, source in borrowed.items()}

    def seconds(self, node: str) -> float | None:
        """How long an attempt at a node takes, where it is made."""
        return self._of(node).seconds(node)

    def promised_at(self, consumer: str) -> int | None:
        """From when on the promise in force here holds."""
        return self._own.promised_at(consumer)

    def promised_since(self, consumer: str) -> int | None:
        """Since when something is promised here without a break."""
        return self._own.promised_since(consumer)
