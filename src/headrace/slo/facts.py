"""The facts that an evaluation needs: value types and one protocol (`StateFacts`).

`stored_facts.StoredFacts` implements the protocol over the store; tests implement it over dicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from headrace.slo.times import time_text


class VisiblePublication(NamedTuple):
    """The time and the lake snapshot of a publication."""

    at_us: int
    snapshot: int


class Newest(NamedTuple):
    """The newest partition of a node that readers see."""

    partition: str
    at_us: int
    verdict: str
    oldest: str
    """The oldest partition that readers see."""


class PartitionStateFacts(NamedTuple):
    """The state of a partition (SEMANTICS §5), its reason, and the time since which it holds."""

    state: str
    published: bool
    """Whether readers see a publication, even if a newer attempt has another state."""
    stale: bool
    reason: str
    since_us: int
    not_before_us: int | None = None
    """The earliest start of the next attempt while the partition backs off after a failure."""
    dropped_us: int | None = None
    """When somebody dropped the newest data of a partition that is still `held` or `rejected`."""


class Pausing(NamedTuple):
    """The pause of a node: why, by whom, and until when.

    While it holds, nothing of the node is started. `until_us` None: until somebody resumes the
    node.
    """

    reason: str
    by: str
    until_us: int | None
    since_us: int | None = None

    def holds(self, now_us: int) -> bool:
        """Return whether the pause is still in force."""
        return self.until_us is None or now_us < self.until_us

    def clause(self, now_us: int, timezone: str) -> str:
        """Return a clause such as `paused: vendor (by ann, until 13:00)`."""
        until = (
            "" if self.until_us is None else f", until {time_text(self.until_us, now_us, timezone)}"
        )
        return f"paused: {self.reason} (by {self.by}{until})"


class AcceptedPartition(NamedTuple):
    """A partition that readers see because somebody accepted it as an exception.

    `by` accepted it for `reason`; the exception lapses at `until_us` (None: never).
    """

    node: str
    partition: str
    by: str
    reason: str
    until_us: int | None
    at_us: int | None = None
    """Start of the exception, counted from the first of its renewals; None if unknown."""

    def lapsed(self, now_us: int) -> bool:
        """Return whether the exception has lapsed."""
        return self.until_us is not None and self.until_us <= now_us


class Unusual(NamedTuple):
    """A published partition with a figure that is anomalous compared with all earlier partitions.

    `clause` is one clause about the anomaly, `strength` says how improbable it is.
    """

    node: str
    partition: str
    clause: str
    strength: float
    at_us: int | None = None
    """When the partition was published; None if unknown."""
    users: frozenset[str] | None = None
    """The consumers that use the anomalous column, directly or through assets; None if unknown."""


class Damage(NamedTuple):
    """A lake file that is missing or changed since publication and makes a partition unreadable."""

    path: str
    """Path relative to the lake's folder."""
    clause: str
    """A clause such as `the file has 0 bytes and not 521`."""
    since_us: int
    incident: str = ""
    """The open incident that repairs the file, such as `INC-1`; empty if there is none."""


class BackfillFailure(NamedTuple):
    """A failure in a backfill or a repair under the applied version.

    Production hasn't retried the partition since.
    """

    reason: str
    since_us: int
    incident: str = ""
    """The open incident about the failure, such as `INC-1`; empty if there is none."""


class UnreadableSource(NamedTuple):
    """A source that can't be read, so that its deliveries are unknown."""

    since_us: int
    clause: str
    """A clause such as `bank.db: no such table: transfers`."""
    incident: str
    """The open incident of the source, such as `INC-1`; empty if it is open in production only."""


class RecordedObligation(NamedTuple):
    """An obligation as recorded when it became due."""

    interval: str
    due_at_us: int
    met_at_us: int | None
    waived_at_us: int | None


class StateFacts(Protocol):
    """The facts that an evaluation reads. Times are microseconds of the store's clock."""

    def expect(
        self, nodes: Sequence[str], sources: Sequence[str], consumers: Sequence[str]
    ) -> None:
        """Take notice of what will be asked for: it is read together."""

    def first(self, node: str, partition: str) -> VisiblePublication | None:
        """Return the first publication of a partition."""

    def first_reading(self, node: str, snapshot: int, since_us: int) -> VisiblePublication | None:
        """Return the first publication of an unpartitioned node that read a given lake snapshot.

        It was published at `since_us` or later and read `snapshot` or a later one.
        """

    def newest(self, node: str) -> Newest | None:
        """Return the newest partition of a node that readers see; None if there is none."""

    def exported(self, node: str, export: str) -> int | None:
        """Return when the newest publication of a node that `export` has written was published.

        Its first publication if none was written; None if there is none.
        """

    def rows(self, node: str, partition: str) -> int | None:
        """Return the number of rows that readers see of a partition; None if it isn't published."""

    def published_between(self, node: str, first: str, last: str) -> int:
        """Return how many partitions from `first` to `last`, both included, readers see."""

    def keys(self, node: str, moment: str) -> list[str]:
        """Return the data keys of a node that are known for an interval.

        For a node that isn't partitioned by time (`moment` is empty), return all its keys.
        """

    def partition_state(self, node: str, partition: str) -> PartitionStateFacts | None:
        """Return the state of a partition; None if nothing is known of it."""

    def stale_nodes(self) -> set[str]:
        """Return the nodes with a stale published partition."""

    def stopped_nodes(self) -> set[str]:
        """Return the nodes with a partition that stays as it is until somebody acts."""

    def quarantined_nodes(self) -> set[str]:
        """Return the nodes that have anything in quarantine."""

    def oldest_delivery(self, source: str) -> str | None:
        """Return the oldest interval of a source that was ever delivered."""

    def observations(self, source: str) -> list[int]:
        """Return the times of the last 50 observations of a source, newest first."""

    def recorded_obligations(self, consumer: str) -> list[RecordedObligation]:
        """Return recorded obligations of a consumer, oldest first.

        These are all unmet ones, the newest 100, and the newest that was met.
        """

    def pauses(self) -> dict[str, Pausing]:
        """Return the pauses by node or consumer; expired ones may be among them."""

    def is_led(self) -> bool:
        """Return whether a leader is running, which computes whatever can be computed."""

    def withdrawn(self) -> frozenset[tuple[str, str]]:
        """Return (node, partition) of what a person withdrew and nothing has replaced since."""

    def exceptions(self) -> list[AcceptedPartition]:
        """Return the partitions that readers see by exception, including lapsed exceptions."""

    def unusual(self) -> list[Unusual]:
        """Return the recently published partitions with a warning about anomalous figures."""

    def damaged(self) -> Mapping[tuple[str, str], Damage]:
        """Return the damaged files by (node, partition) that readers can't read."""

    def unreadable(self) -> Mapping[str, UnreadableSource]:
        """Return the unreadable sources that have an open incident."""

    def failed_in_backfill(self, node: str, partition: str) -> BackfillFailure | None:
        """Return the backfill or repair failure of a partition that readers lack, if any."""

    def seconds(self, node: str) -> float | None:
        """Return the p95 duration of an attempt at a node in seconds; None if unknown."""

    def promised_at(self, consumer: str) -> int | None:
        """Return the start of the promise in force; None if nothing is promised.

        The promise doesn't apply to intervals that were due earlier.
        """

    def promised_since(self, consumer: str) -> int | None:
        """Return since when something has been promised without a gap; None if nothing is promised.

        The terms may have changed since then.
        """
