"""The rows of an environment: of what it borrows production's, of everything else its own."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.observe.borrowed import EnvironmentFacts
from headrace.observe.ledger.crowd import CurrentLeader
from headrace.observe.ledger.records import (
    LedgerBackfill,
    LedgerDelivery,
    LedgerIncident,
    LedgerPublication,
    LedgerRecords,
    Standstill,
    Try,
    Unread,
)
from headrace.observe.ledger.soundness import Wrongs
from headrace.observe.ledger.stored import StoreRecords
from headrace.observe.state_facts import StateFacts
from headrace.store.database import Transaction


class EnvironmentRecords:
    """Answers `records.Records` from two stores."""

    def __init__(self, records: StoreRecords, production: StoreRecords, borrowed: frozenset[str]) -> None:
        self._own, self._production, self._borrowed = records, production, borrowed

    def _of(self, node: str) -> StoreRecords:
        return self._production if node in self._borrowed else self._own

    @property
    def now_us(self) -> int:
        """The reader's now."""
        return self._own.now_us

    @property
    def owners(self) -> dict[int, str]:
        """Of the incidents that were named."""
        return {**self._production.owners, **self._own.owners}

    def tries(self, node: str, partition: str) -> Sequence[Try]:
        """The attempts at a partition."""
        return self._of(node).tries(node, partition)

    def shown(self, node: str, partition: str) -> Sequence[LedgerPublication]:
        """The publications of a partition."""
        return self._of(node).shown(node, partition)

    def arrivals(self, source: str, partition: str) -> Sequence[LedgerDelivery]:
        """The deliveries of an interval."""
        return self._of(source).arrivals(source, partition)

    def pauses(self, node: str) -> Sequence[Standstill]:
        """When nothing of a node was started."""
        return self._of(node).pauses(node)

    def incidents(self, node: str, partition: str) -> Sequence[LedgerIncident]:
        """What is known to be wrong with a partition, or holds it."""
        return self._of(node).incidents(node, partition)

    def awaiting(self, node: str, partition: str) -> Sequence[LedgerBackfill]:
        """Backfills that would make a partition and wait for an approval."""
        return self._of(node).awaiting(node, partition)

    def newest_before(self, node: str, at_us: int, epoch: int | None, n: int | None) -> tuple[str, int] | None:
        """Of a node what an attempt published last before a time (and, of the same store, before an attempt)."""
        bound = (None, None) if node in self._borrowed else (epoch, n)
        return self._of(node).newest_before(node, at_us, *bound)

    def free(self, item: Try, from_us: int, to_us: int, *, begun: bool) -> Sequence[tuple[int, int]]:
        """While a slot was free between two times."""
        return self._of(item.node).free(item, from_us, to_us, begun=begun)

    def applied_us(self, version: int) -> int | None:
        """When a version was applied here."""
        return self._own.applied_us(version)

    def unread(self, source: str) -> Sequence[Unread]:
        """While a source couldn't be read."""
        return self._of(source).unread(source)

    def observed_us(self, source: str) -> int | None:
        """When somebody looked at a source last; None where nobody has yet."""
        return self._of(source).observed_us(source)

    def typical_us(self, node: str) -> int | None:
        """How long such an attempt usually takes."""
        return self._of(node).typical_us(node)

    def led(self) -> CurrentLeader | None:
        """The leader of this environment."""
        return self._own.led()


def records_of(tx: Transaction, facts: StateFacts, now_us: int, wrongs: Wrongs | None = None) -> LedgerRecords:
    """The rows that the facts are made of."""
    if isinstance(facts, EnvironmentFacts):
        return EnvironmentRecords(StoreRecords(tx, now_us, wrongs), StoreRecords(facts.production, now_us), facts.borrowed)
    return StoreRecords(tx, now_us, wrongs)
