"""States of partitions and attempts, the table of transitions, and tracked partitions."""

from __future__ import annotations

import enum


class PartitionState(enum.StrEnum):
    """The state of a partition (SEMANTICS §5).

    Readers see its last publication, whatever the state.
    """

    MISSING = "missing"
    WAITING = "waiting"
    RUNNING = "running"
    PUBLISHED = "published"
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    WAIVED = "waived"


STOPPED = (PartitionState.FAILED, PartitionState.REJECTED, PartitionState.HELD)
"""States in which a partition stays until a person requests it again or one of its inputs
changes."""


class AttemptState(enum.StrEnum):
    """The state of one attempt (INTERFACE §3)."""

    QUEUED = "queued"
    RUNNING = "running"
    STAGED = "staged"
    """Of a backfill: its data waits in the overlay."""
    PUBLISHED = "published"
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class FailureKind(enum.StrEnum):
    """The kind of a failure, as far as retries depend on it (SEMANTICS §6)."""

    TRANSIENT = "transient"
    RESOURCES = "resources"
    DETERMINISTIC = "deterministic"
    LOST_WORKER = "lost_worker"
    CANCELLED = "cancelled"
    ENVIRONMENT = "environment"
    """No disk space, a read-only disk or an unreachable lake: the partition waits until it
    passes."""
    THROTTLED = "throttled"
    """A server asked for fewer requests: the partition waits as long as the server asks."""
    NOT_SEPARABLE = "not_separable"
    """Computing several partitions in one attempt gave another result than computing one alone."""


WAITS = frozenset({FailureKind.ENVIRONMENT, FailureKind.THROTTLED})
"""Failures that don't count as tries: the partition waits with the reason and retries by itself."""


class PartitionTransition(enum.StrEnum):
    """An event in the life of a partition."""

    WANTED = "wanted"
    DISPATCHED = "dispatched"
    CONTINUED = "continued"
    PUBLISHED = "published"
    PUBLISHED_ELSEWHERE = "published_elsewhere"
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"
    PUT_BACK = "put_back"
    WITHDRAWN = "withdrawn"
    WAIVED = "waived"
    FAILS_ALIKE = "fails_alike"


_P, _C = PartitionState, PartitionTransition

TRANSITIONS: dict[tuple[PartitionState, PartitionTransition], PartitionState] = {
    # A delivery, inputs that became complete or changed, or a person requests the partition.
    (_P.MISSING, _C.WANTED): _P.WAITING,
    (_P.WAITING, _C.WANTED): _P.WAITING,
    (_P.PUBLISHED, _C.WANTED): _P.WAITING,
    (_P.HELD, _C.WANTED): _P.WAITING,
    (_P.REJECTED, _C.WANTED): _P.WAITING,
    (_P.FAILED, _C.WANTED): _P.WAITING,
    (_P.WITHDRAWN, _C.WANTED): _P.WAITING,
    (_P.WAIVED, _C.WANTED): _P.WAITING,
    # An attempt got a slot.
    (_P.WAITING, _C.DISPATCHED): _P.RUNNING,
    # Another leader gave it a slot; its attempt goes on, whatever the stored state says.
    (_P.MISSING, _C.CONTINUED): _P.RUNNING,
    (_P.WAITING, _C.CONTINUED): _P.RUNNING,
    (_P.PUBLISHED, _C.CONTINUED): _P.RUNNING,
    (_P.HELD, _C.CONTINUED): _P.RUNNING,
    (_P.REJECTED, _C.CONTINUED): _P.RUNNING,
    (_P.FAILED, _C.CONTINUED): _P.RUNNING,
    (_P.WITHDRAWN, _C.CONTINUED): _P.RUNNING,
    (_P.WAIVED, _C.CONTINUED): _P.RUNNING,
    # The attempt ended.
    (_P.RUNNING, _C.PUBLISHED): _P.PUBLISHED,
    (_P.RUNNING, _C.HELD): _P.HELD,
    (_P.RUNNING, _C.REJECTED): _P.REJECTED,
    (_P.RUNNING, _C.FAILED): _P.FAILED,
    # A promotion or another core's attempt published it, or an applied plan keeps its publication.
    # An attempt that runs meanwhile goes on.
    (_P.MISSING, _C.PUBLISHED_ELSEWHERE): _P.PUBLISHED,
    (_P.WAITING, _C.PUBLISHED_ELSEWHERE): _P.PUBLISHED,
    (_P.PUBLISHED, _C.PUBLISHED_ELSEWHERE): _P.PUBLISHED,
    (_P.HELD, _C.PUBLISHED_ELSEWHERE): _P.PUBLISHED,
    (_P.REJECTED, _C.PUBLISHED_ELSEWHERE): _P.PUBLISHED,
    (_P.FAILED, _C.PUBLISHED_ELSEWHERE): _P.PUBLISHED,
    (_P.WITHDRAWN, _C.PUBLISHED_ELSEWHERE): _P.PUBLISHED,
    (_P.WAIVED, _C.PUBLISHED_ELSEWHERE): _P.PUBLISHED,
    # After a lost worker, a transient error or a restart the partition waits again.
    (_P.RUNNING, _C.PUT_BACK): _P.WAITING,
    (_P.WAITING, _C.PUT_BACK): _P.WAITING,
    # A person withdrew it. A running attempt goes on, because something newer started it.
    (_P.PUBLISHED, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.WAITING, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.HELD, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.REJECTED, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.FAILED, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.WITHDRAWN, _C.WITHDRAWN): _P.WITHDRAWN,
    # Its code failed in another partition in a way that applies to all partitions.
    (_P.WAITING, _C.FAILS_ALIKE): _P.FAILED,
    # `catch_up: latest` skipped it.
    (_P.WAITING, _C.WAIVED): _P.WAIVED,
}
"""All valid transitions; `next_state` refuses every other pair."""


def next_state(state: PartitionState, change: PartitionTransition) -> PartitionState:
    """Return the state after `change`; raises ValueError for a pair that isn't in `TRANSITIONS`."""
    try:
        return TRANSITIONS[state, change]
    except KeyError:
        raise ValueError(f"a partition that is {state} can't be {change}") from None


# One partition for as long as the scheduler has something to do or to report about it.


class TrackedPartition:
    """What the core knows about one partition of one node."""

    __slots__ = (
        "alarm",
        "bundle",
        "cap",
        "dirty",
        "failures",
        "late",
        "not_before",
        "proposed",
        "published",
        "queued",
        "queued_at",
        "reason",
        "since",
        "stale",
        "state",
    )

    def __init__(self, state: PartitionState = PartitionState.MISSING) -> None:
        self.state = state
        """Changed by `step` alone."""
        self.stale = False
        self.proposed = False
        """Stale, but recomputed only if a person requests it."""
        self.late = False
        """Recomputed on request after a restatement that came too late: its readers, too, are
        recomputed only on request."""
        self.failures = 0
        self.not_before: int | None = None
        self.published = False
        self.reason = ""
        self.bundle = ""
        """Name of the file that delivered this interval together with others."""
        self.dirty = False
        """An input changed during the running attempt: the partition is stale as soon as that
        ends."""
        self.queued = False
        """It is in the ready queue, since `queued_at`."""
        self.queued_at = 0
        self.cap = 0
        """Maximum number of partitions to compute together, set after a larger batch failed; 0 for
        no limit."""
        self.alarm: int | None = None
        """When to reconsider it, because time alone may make it ready."""
        self.since = 0
        """With a trigger on its node: the earliest firing that releases it; 0 for any firing after
        its interval's end."""

    def step(self, change: PartitionTransition) -> None:
        """Change the state; raises ValueError for a change that `TRANSITIONS` doesn't have."""
        self.state = next_state(self.state, change)

    def copy(self) -> TrackedPartition:
        """Return a partition of which the same is known, to change."""
        copied = TrackedPartition()
        for name in TrackedPartition.__slots__:
            setattr(copied, name, getattr(self, name))
        return copied

    def like(self, other: TrackedPartition) -> bool:
        """Return whether the same is known of another partition."""
        return all(
            getattr(self, name) == getattr(other, name) for name in TrackedPartition.__slots__
        )

    @property
    def at_rest(self) -> bool:
        """Whether it is published and nothing remains to be done or reported."""
        return (
            self.state is PartitionState.PUBLISHED
            and self.published
            and not (
                self.stale
                or self.proposed
                or self.late
                or self.dirty
                or self.queued
                or self.failures
                or self.cap
            )
            and not (self.reason or self.bundle)
            and self.not_before is None
        )


class SharedPartition(TrackedPartition):
    """What the core knows of many partitions alike; read-only."""

    __slots__ = ("_shared",)

    def __init__(self, tracked: TrackedPartition) -> None:
        for name in TrackedPartition.__slots__:
            setattr(self, name, getattr(tracked, name))
        self._shared = True

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, "_shared"):
            raise AttributeError(
                "this describes many partitions: take `partition_states.tracked` to set"
                f" {name} of one"
            )
        super().__setattr__(name, value)


def _at_rest() -> SharedPartition:
    tracked = TrackedPartition(PartitionState.PUBLISHED)
    tracked.published = True
    return SharedPartition(tracked)


AT_REST = _at_rest()
"""A published partition that isn't stale and has nothing to be done."""
