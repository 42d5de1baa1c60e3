"""The rows that the delay ledger asks for, as values and one protocol (`LedgerRecords`).

`stored_records.StoreRecords` answers it from the store; in tests, plain lists answer it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from headrace.slo.declared_promises import NodeTraits

# Whether a partition that could start now waits for capacity: all workers are busy, or a
# concurrency pool that it needs is full.

NAMES_MAX = 3


class CurrentLeader(NamedTuple):
    """The leader that there is: since when it leads, how many attempts it runs at once, and the nodes of those under way, the
    oldest first."""

    since_us: int
    slots: int
    under_way: Sequence[str]


def crowded(name: str, traits: Mapping[str, NodeTraits], led: CurrentLeader) -> str | None:
    """What an attempt at a node waits for, and who holds it; None where there is room."""
    for pool, slots, size in traits.get(name, NodeTraits()).takes:
        holders = [other for other in led.under_way if _taken(other, pool, traits)]
        used = sum(_taken(other, pool, traits) for other in holders)
        if holders and used + slots > size:
            return f"waits for pool {pool}: {used} of {size} taken by {_names(holders)}"
    if len(led.under_way) >= led.slots:
        return f"waits for a slot: {len(led.under_way)} of {led.slots} taken by {_names(led.under_way)}"
    return None


def _taken(name: str, pool: str, traits: Mapping[str, NodeTraits]) -> int:
    return sum(slots for taken, slots, _ in traits.get(name, NodeTraits()).takes if taken == pool)


def _names(nodes: Sequence[str]) -> str:
    names = list(dict.fromkeys(nodes))
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return f"{', '.join(names[:NAMES_MAX])}{more}"


OPEN = ("queued", "running")


class LedgerBackfill(msgspec.Struct, frozen=True, gc=False):
    """The backfill that something belongs to. `needs` is the line of policy that asked for an approval; empty: none did."""

    id: int
    created_us: int
    started_us: int | None
    needs: str = ""


class Dropped(NamedTuple):
    """A decision that what was held won't be published, and nothing but another delivery can be."""

    at_us: int
    said: str


class Try(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One attempt at a partition. Times are microseconds of the store's clock, durations are those that the worker measured."""

    epoch: int
    n: int
    node: str
    kind: str
    """`take_in`, `produce` or `export`."""
    state: str
    queued_us: int
    dispatched_us: int
    finished_us: int | None
    run_us: int = 0
    audit_us: int = 0
    publish_us: int = 0
    error: str = ""
    """What kind of failure it was."""
    reason: str = ""
    delivery: int | None = None
    version: int | None = None
    plan: LedgerBackfill | None = None
    asked_us: int | None = None
    """When its run was asked for."""
    run: int = 0
    dropped: Dropped | None = None
    """Of what it held, or rejected: that somebody dropped it."""
    staged: bool = False
    """Its plan published what it made, or will: together with all else that the plan staged."""

    @property
    def id(self) -> tuple[int, int]:
        """`(epoch, n)`."""
        return self.epoch, self.n

    @property
    def label(self) -> str:
        """As people name it."""
        return f"attempt {self.epoch}.{self.n}"

    @property
    def is_open(self) -> bool:
        """Whether it is under way."""
        return self.state in OPEN

    @property
    def began_us(self) -> int:
        """When a worker came to it."""
        if self.finished_us is None:
            return self.dispatched_us
        return max(self.dispatched_us, self.finished_us - self.publish_us - self.audit_us - self.run_us)

    @property
    def audited_from_us(self) -> int:
        """When what it made began to be checked, of one that has ended."""
        return max(self.began_us, self.published_from_us - self.audit_us)

    @property
    def published_from_us(self) -> int:
        """When it began to be published, or written down."""
        return self.began_us if self.finished_us is None else max(self.began_us, self.finished_us - self.publish_us)


class LedgerPublication(msgspec.Struct, frozen=True, gc=False):
    """A publication: from when until when readers saw it, and whose it is. `unsound` while an incident names it as wrong."""

    at_us: int
    ended_us: int | None
    epoch: int
    n: int
    unsound: bool = False
    because: int = 0
    """The incident that names it."""

    @property
    def id(self) -> tuple[int, int]:
        """Of the attempt that made it."""
        return self.epoch, self.n


class LedgerDelivery(msgspec.Struct, frozen=True, gc=False):
    """A delivery: when it was there, and when that was seen."""

    id: int
    arrived_us: int
    observed_us: int
    claimed_us: int | None = None
    """What the file says of itself; None where that is `arrived_us`."""
    placed_us: int | None = None
    """Since when the project has looked where it was found; None where it never looked elsewhere."""

    @property
    def between(self) -> bool:
        """Whether it is only known that it came between two observations."""
        return self.claimed_us is not None and self.claimed_us < self.arrived_us < self.observed_us


class Standstill(NamedTuple):
    """A pause. `to_us` None: until somebody ends it."""

    from_us: int
    to_us: int | None
    reason: str
    by: str


class Unread(NamedTuple):
    """From the first look at a source that failed until the next that didn't. `to_us` None: there was none since."""

    from_us: int
    to_us: int | None
    reason: str


class LedgerIncident(msgspec.Struct, frozen=True, gc=False):
    """An incident that a partition is part of."""

    id: int
    node: str
    kind: str
    summary: str
    owner: str
    began_us: int
    ended_us: int | None
    places: int = 1
    """At how many partitions its evidence is."""
    of_node: bool = False
    """It is about the node as a whole: nothing of it was seen at the partition itself."""
    attempts: frozenset[tuple[int, int]] = frozenset()
    """The attempts at the partition whose failure, hold or rejection was put down to it."""


class LedgerRecords(Protocol):
    """Rows, by node and partition; each list is in the order of time."""

    @property
    def now_us(self) -> int:
        """The reader's now."""

    @property
    def owners(self) -> dict[int, str]:
        """Of the incidents that were named, by their numbers."""

    def tries(self, node: str, partition: str) -> Sequence[Try]:
        """The attempts at a partition."""

    def shown(self, node: str, partition: str) -> Sequence[LedgerPublication]:
        """The publications of a partition."""

    def arrivals(self, source: str, partition: str) -> Sequence[LedgerDelivery]:
        """The deliveries of an interval."""

    def pauses(self, node: str) -> Sequence[Standstill]:
        """When nothing of a node was started."""

    def incidents(self, node: str, partition: str) -> Sequence[LedgerIncident]:
        """What is known to be wrong with a partition, or holds it."""

    def awaiting(self, node: str, partition: str) -> Sequence[LedgerBackfill]:
        """Backfills that would make a partition and wait for an approval."""

    def newest_before(self, node: str, at_us: int, epoch: int | None, n: int | None) -> tuple[str, int] | None:
        """Of a node what an attempt published last before a time (and before an attempt): partition and when; None if nothing."""

    def free(self, one: Try, from_us: int, to_us: int, *, begun: bool) -> Sequence[tuple[int, int]]:
        """While a slot was free between two times, as far as that is known: one that no attempt was given out for, or, with `begun`, that
        none was being worked at in."""

    def applied_us(self, version: int) -> int | None:
        """When a version was applied."""

    def unread(self, source: str) -> Sequence[Unread]:
        """While a source couldn't be read."""

    def observed_us(self, source: str) -> int | None:
        """When somebody looked at a source last; None where nobody has yet."""

    def typical_us(self, node: str) -> int | None:
        """How long such an attempt usually takes."""

    def led(self) -> CurrentLeader | None:
        """The leader that there is now, and what is under way; None where nothing runs."""
