"""The rows that the delay ledger needs: value types and one protocol (`LedgerRecords`).

`stored_records.StoreRecords` implements the protocol over the store; tests implement it over lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from headrace.model.wording import few
from headrace.plan.backfills import plan_of_attempt
from headrace.scheduler import AttemptId
from headrace.slo.declared_promises import NodeTraits

# Whether a partition that could start now waits for capacity: all workers are busy, or a
# concurrency pool that it needs is full.

NAMES_MAX = 3


class CurrentLeader(NamedTuple):
    """The current leader: since when it leads, and how many attempts it runs at once.

    `under_way` are the nodes of its running attempts, the oldest first.
    """

    since_us: int
    slots: int
    under_way: Sequence[str]


def crowded(name: str, traits: Mapping[str, NodeTraits], led: CurrentLeader) -> str | None:
    """Return what an attempt at a node waits for, and who holds it; None if there is room."""
    for pool, slots, size in traits.get(name, NodeTraits()).takes:
        holders = [other for other in led.under_way if _slots_taken(other, pool, traits)]
        used = sum(_slots_taken(other, pool, traits) for other in holders)
        if holders and used + slots > size:
            return f"waits for pool {pool}: {used} of {size} taken by {_names(holders)}"
    if len(led.under_way) >= led.slots:
        return (
            f"waits for a slot: {len(led.under_way)} of {led.slots} taken by"
            f" {_names(led.under_way)}"
        )
    return None


def _slots_taken(name: str, pool: str, traits: Mapping[str, NodeTraits]) -> int:
    return sum(
        slots for node_pool, slots, _ in traits.get(name, NodeTraits()).takes if node_pool == pool
    )


def _names(nodes: Sequence[str]) -> str:
    return few(list(dict.fromkeys(nodes)), NAMES_MAX)


OPEN = ("queued", "running")


class LedgerBackfill(msgspec.Struct, frozen=True, gc=False):
    """The backfill that a row belongs to.

    `needs` is the policy line that requires an approval; empty: none does.
    """

    id: int
    created_us: int
    started_us: int | None
    needs: str = ""


class ActApproval(NamedTuple):
    """The time in which an act that a partition waits for wasn't approved; `note` says by whom."""

    from_us: int
    to_us: int
    note: str


class Dropped(NamedTuple):
    """A decision not to publish held data: only another delivery can replace it."""

    at_us: int
    decision: str


class Try(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One attempt at a partition.

    Times are microseconds of the store's clock; durations are as measured by the worker.
    """

    epoch: int
    n: int
    node: str
    kind: str
    """As stored: `take_in` (ingest), `produce` (compute) or `export`."""
    state: str
    queued_us: int
    dispatched_us: int
    finished_us: int | None
    run_us: int = 0
    audit_us: int = 0
    publish_us: int = 0
    environment_us: int = 0
    error: str = ""
    """The kind of failure."""
    reason: str = ""
    delivery: int | None = None
    version: int | None = None
    plan: LedgerBackfill | None = None
    asked_us: int | None = None
    """When its run was requested."""
    run: int = 0
    dropped: Dropped | None = None
    """The decision to drop what it held or rejected, if any."""

    @property
    def staged(self) -> bool:
        """Whether its plan publishes its result together with all else that the plan stages."""
        return plan_of_attempt(AttemptId(self.epoch, self.n)) > 0

    @property
    def id(self) -> tuple[int, int]:
        """`(epoch, n)`."""
        return self.epoch, self.n

    @property
    def label(self) -> str:
        """The name shown to people, such as `attempt 3.17`."""
        return f"attempt {self.epoch}.{self.n}"

    @property
    def is_open(self) -> bool:
        """Whether it is queued or running."""
        return self.state in OPEN

    @property
    def began_us(self) -> int:
        """When a worker began it."""
        if self.finished_us is None:
            return self.dispatched_us
        return max(
            self.dispatched_us, self.finished_us - self.publish_us - self.audit_us - self.run_us
        )

    @property
    def audited_from_us(self) -> int:
        """When the check of its result began."""
        return max(self.began_us, self.published_from_us - self.audit_us)

    @property
    def published_from_us(self) -> int:
        """When its publication, or the record of its result, began."""
        return (
            self.began_us
            if self.finished_us is None
            else max(self.began_us, self.finished_us - self.publish_us)
        )


class LedgerPublication(msgspec.Struct, frozen=True, gc=False):
    """A publication: when readers saw it, and its attempt.

    `unsound`: an incident names it as wrong.
    """

    at_us: int
    ended_us: int | None
    epoch: int
    n: int
    unsound: bool = False
    because: int = 0
    """Number of that incident; 0 if there is none."""

    @property
    def id(self) -> tuple[int, int]:
        """The id of the attempt that made it."""
        return self.epoch, self.n


class LedgerDelivery(msgspec.Struct, frozen=True, gc=False):
    """A delivery: when it arrived, and when an observation found it."""

    id: int
    arrived_us: int
    observed_us: int
    claimed_us: int | None = None
    """The time that the file claims; None if that is `arrived_us`."""
    placed_us: int | None = None
    """Since when the project has observed its location; None: it never observed another."""

    @property
    def between(self) -> bool:
        """Whether it is only known to have arrived between two observations."""
        return self.claimed_us is not None and self.claimed_us < self.arrived_us < self.observed_us


class Standstill(NamedTuple):
    """A pause. `to_us` None: until somebody ends it."""

    from_us: int
    to_us: int | None
    reason: str
    by: str


class Unread(NamedTuple):
    """A span from a failed observation of a source to the next that succeeded.

    `to_us` None: none succeeded since.
    """

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
    """Number of partitions with evidence of it."""
    of_node: bool = False
    """Whether it is about the node as a whole, without evidence at the partition itself."""
    attempts: frozenset[tuple[int, int]] = frozenset()
    """The attempts at the partition whose failure, hold or rejection it explains."""


class LedgerRecords(Protocol):
    """Rows by node and partition; each list is in the order of time."""

    @property
    def now_us(self) -> int:
        """The time as of which the rows are read."""

    @property
    def owners(self) -> dict[int, str]:
        """Number → owner of the incidents that were named."""

    def tries(self, node: str, partition: str) -> Sequence[Try]:
        """Return the attempts at a partition."""

    def publications_of(self, node: str, partition: str) -> Sequence[LedgerPublication]:
        """Return the publications of a partition."""

    def arrivals(self, source: str, partition: str) -> Sequence[LedgerDelivery]:
        """Return the deliveries of an interval."""

    def pauses(self, node: str) -> Sequence[Standstill]:
        """Return the pauses of a node."""

    def incidents(self, node: str, partition: str) -> Sequence[LedgerIncident]:
        """Return the incidents that name a partition as wrong or hold it."""

    def awaiting(self, node: str, partition: str) -> Sequence[LedgerBackfill]:
        """Return the backfills that would recompute a partition and wait for approval."""

    def approvals(self, node: str, partition: str) -> Sequence[ActApproval]:
        """Return when acts other than backfills that a partition waits for weren't approved."""

    def newest_before(
        self, node: str, at_us: int, epoch: int | None, n: int | None
    ) -> tuple[str, int] | None:
        """Return the partition of a node that was published last before a time, and when.

        `epoch` and `n` limit it to publications before that attempt. None if there is none.
        """

    def free(
        self, item: Try, from_us: int, to_us: int, *, begun: bool
    ) -> Sequence[tuple[int, int]]:
        """Return the known spans between two times in which a slot was free.

        A slot is free if no attempt is dispatched to it or, with `begun`, if no attempt runs in it.
        """

    def applied_us(self, version: int) -> int | None:
        """Return when a version was applied."""

    def unread(self, source: str) -> Sequence[Unread]:
        """Return the spans in which a source couldn't be read."""

    def observed_us(self, source: str) -> int | None:
        """Return when a source was last observed; None if it never was."""

    def typical_us(self, node: str) -> int | None:
        """Return the median duration of an attempt at a node in microseconds; None if unknown."""

    def led(self) -> CurrentLeader | None:
        """Return the current leader with its running attempts; None if none leads."""


def publications_until(
    records: LedgerRecords, place: tuple[str, str], at_us: int
) -> list[LedgerPublication]:
    """Return the publications of a partition (node, key) up to a time, oldest first."""
    return [
        publication for publication in records.publications_of(*place) if publication.at_us <= at_us
    ]
