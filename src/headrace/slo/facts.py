"""The facts that an evaluation asks for, as values and one protocol (`StateFacts`).

`stored_facts.StoredFacts` answers it from the store; in tests, plain dicts answer it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from headrace.slo.times import moment


class VisiblePublication(NamedTuple):
    """A publication: when, and in which lake snapshot."""

    at_us: int
    snapshot: int


class Newest(NamedTuple):
    """What readers see of a node, in short."""

    partition: str
    at_us: int
    verdict: str
    oldest: str
    """The oldest partition that readers see."""


class PartitionStateFacts(NamedTuple):
    """Where a partition stands (SEMANTICS §5), why, and since when."""

    state: str
    published: bool
    """Whether readers see a publication of it, whatever the state says of newer attempts."""
    stale: bool
    reason: str
    since_us: int
    not_before_us: int | None = None
    """When the next try may begin, of one that backs off."""
    dropped_us: int | None = None
    """When somebody dropped its newest data, of one that still is `held` or `rejected`."""


class Pausing(NamedTuple):
    """Why nothing of a node is started, who said so, and until when; None: until somebody resumes it."""

    reason: str
    by: str
    until_us: int | None
    since_us: int | None = None

    def holds(self, now_us: int) -> bool:
        """Whether its time isn't over."""
        return self.until_us is None or now_us < self.until_us

    def said(self, now_us: int, timezone: str) -> str:
        """`paused: vendor (by ann, until 13:00)`."""
        until = "" if self.until_us is None else f", until {moment(self.until_us, now_us, timezone)}"
        return f"paused: {self.reason} (by {self.by}{until})"


class AcceptedPartition(NamedTuple):
    """A partition that readers see because somebody accepted it: by whom, why, and when that lapses; None: never."""

    node: str
    partition: str
    by: str
    reason: str
    until_us: int | None
    at_us: int | None = None
    """Since when it is one that will lapse, renewals included; None where that isn't known."""

    def lapsed(self, now_us: int) -> bool:
        """Whether its time is over."""
        return self.until_us is not None and self.until_us <= now_us


class Unusual(NamedTuple):
    """A partition that readers see although something about it is unlike all before it: one clause about what, and how improbable."""

    node: str
    partition: str
    said: str
    strength: float
    at_us: int | None = None
    """When it was published; None where that isn't known."""
    users: frozenset[str] | None = None
    """The consumers that use its column, directly or through assets; None where that isn't known."""


class Damage(NamedTuple):
    """A file of the lake that isn't there as it was published, and with which a partition can't be read."""

    path: str
    """Relative to the lake's folder."""
    said: str
    """`the file has 0 bytes and not 521`."""
    since_us: int
    incident: str = ""
    """The open incident that repairs it: `INC-1`; empty where none was opened."""


class BackfillFailure(NamedTuple):
    """What a backfill or a repair failed at, with what is applied now; production hasn't tried it since."""

    reason: str
    since_us: int
    incident: str = ""
    """The open incident about it: `INC-1`; empty where there is none."""


class UnreadableSource(NamedTuple):
    """A source that can't be read, so that nobody knows what was delivered."""

    since_us: int
    said: str
    """`bank.db: no such table: transfers`."""
    incident: str
    """The open incident of it: `INC-1`; empty where it is open in production only."""


class RecordedObligation(NamedTuple):
    """An obligation as it was written down when it became due."""

    interval: str
    due_at_us: int
    met_at_us: int | None
    waived_at_us: int | None


class StateFacts(Protocol):
    """Facts. Times are microseconds of the store's clock."""

    def first(self, node: str, partition: str) -> VisiblePublication | None:
        """The first publication of a partition."""

    def first_reading(self, node: str, snapshot: int, since_us: int) -> VisiblePublication | None:
        """The first publication of a whole node, not before `since_us`, that read the lake at this snapshot or a later one."""

    def newest(self, node: str) -> Newest | None:
        """What readers see of a node; None if nothing."""

    def rows(self, node: str, partition: str) -> int | None:
        """How many rows readers see of a partition; None if nothing is published."""

    def published_between(self, node: str, first: str, last: str) -> int:
        """How many partitions from `first` to `last`, both included, readers see."""

    def keys(self, node: str, moment: str) -> list[str]:
        """The data keys of a node that were ever heard of for an interval; of one that isn't cut by time (moment empty), all."""

    def standing(self, node: str, partition: str) -> PartitionStateFacts | None:
        """Where a partition stands; None if nothing was ever heard of it."""

    def stale_nodes(self) -> set[str]:
        """Nodes of which a published partition is stale."""

    def quarantined_nodes(self) -> set[str]:
        """Nodes of which something waits in quarantine."""

    def oldest_delivery(self, source: str) -> str | None:
        """The oldest interval of a source that was ever delivered."""

    def observations(self, source: str) -> list[int]:
        """When the last 20 looks at a source were, newest first."""

    def kept(self, consumer: str) -> list[RecordedObligation]:
        """Obligations written down: all that aren't met, the newest hundred, and the newest that was met; oldest first."""

    def pauses(self) -> dict[str, Pausing]:
        """What is paused, by name; those whose time is over may be among them."""

    def is_led(self) -> bool:
        """Whether a leader runs now, which computes what can be computed."""

    def withdrawn(self) -> frozenset[tuple[str, str]]:
        """Node and partition of what a person took back, and nothing was published of since."""

    def exceptions(self) -> list[AcceptedPartition]:
        """What readers see because somebody accepted it, whether its time is over or not."""

    def unusual(self) -> list[Unusual]:
        """What was published lately with a warning of figures unlike the history."""

    def damaged(self) -> Mapping[tuple[str, str], Damage]:
        """Node and partition of what readers can't read, because its file is damaged."""

    def unreadable(self) -> Mapping[str, UnreadableSource]:
        """The sources that can't be read, of which an incident is open."""

    def failed_in_backfill(self, node: str, partition: str) -> BackfillFailure | None:
        """What a backfill or a repair failed at, of what readers lack; None for anything else."""

    def seconds(self, node: str) -> float | None:
        """How long an attempt at a node takes: what 95 of 100 stay within; None where none is known."""

    def promised_at(self, consumer: str) -> int | None:
        """From when on the promise in force holds: what was due before isn't judged by it. None: nothing is promised."""

    def promised_since(self, consumer: str) -> int | None:
        """Since when something is promised without a break, whatever has changed since; None: nothing is promised."""
