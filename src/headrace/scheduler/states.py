"""States of partitions and attempts, the table of transitions, and tracked partitions."""

from __future__ import annotations

import enum


class PartitionState(enum.StrEnum):
    """Where a partition stands (SEMANTICS §5). Readers see the last publication, whatever the state says."""

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
"""Nothing more happens to these before somebody, or something they read, asks for them again."""


class AttemptState(enum.StrEnum):
    """What became of one attempt (INTERFACE §3)."""

    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHED = "published"
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class FailureKind(enum.StrEnum):
    """Why an attempt failed, as far as trying again depends on it (SEMANTICS §6)."""

    TRANSIENT = "transient"
    RESOURCES = "resources"
    DETERMINISTIC = "deterministic"
    LOST_WORKER = "lost_worker"
    CANCELLED = "cancelled"
    ENVIRONMENT = "environment"
    """No space, a read-only disk, no way to the lake: nobody's failure, it waits until that is over."""
    THROTTLED = "throttled"
    """A server asked to be left alone for a while: it waits for that."""
    NOT_SEPARABLE = "not_separable"
    """Several partitions computed at once came to something else than one of them alone."""


WAITS = frozenset({FailureKind.ENVIRONMENT, FailureKind.THROTTLED})
"""What isn't counted as a try: the partition waits with the reason, and goes on by itself."""


class PartitionTransition(enum.StrEnum):
    """What can happen to a partition."""

    WANTED = "wanted"
    DISPATCHED = "dispatched"
    PUBLISHED = "published"
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"
    PUT_BACK = "put_back"
    WITHDRAWN = "withdrawn"
    WAIVED = "waived"
    FAILS_ALIKE = "fails_alike"


_P, _C = PartitionState, PartitionTransition

TRANSITIONS: dict[tuple[PartitionState, PartitionTransition], PartitionState] = {
    # Something asks for it: a delivery, inputs that became complete or changed, a person.
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
    # It ended.
    (_P.RUNNING, _C.PUBLISHED): _P.PUBLISHED,
    (_P.RUNNING, _C.HELD): _P.HELD,
    (_P.RUNNING, _C.REJECTED): _P.REJECTED,
    (_P.RUNNING, _C.FAILED): _P.FAILED,
    # A lost worker, a transient error or a restart: it waits again.
    (_P.RUNNING, _C.PUT_BACK): _P.WAITING,
    (_P.WAITING, _C.PUT_BACK): _P.WAITING,
    # A person took it back. An attempt that is at it goes on, for it began because of something newer.
    (_P.PUBLISHED, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.WAITING, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.HELD, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.REJECTED, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.FAILED, _C.WITHDRAWN): _P.WITHDRAWN,
    (_P.WITHDRAWN, _C.WITHDRAWN): _P.WITHDRAWN,
    # Its code failed in another partition in a way that is the same for all.
    (_P.WAITING, _C.FAILS_ALIKE): _P.FAILED,
    # `catch_up: latest` passed over it.
    (_P.WAITING, _C.WAIVED): _P.WAIVED,
}
"""Every pair that isn't here is a defect; `step` refuses it."""


def next_state(state: PartitionState, change: PartitionTransition) -> PartitionState:
    """The state after `change`; raises ValueError for a pair that the table doesn't have."""
    try:
        return TRANSITIONS[state, change]
    except KeyError:
        raise ValueError(f"a partition that is {state} can't be {change}") from None


# One partition while the scheduler has something to do or to report about it.


class TrackedPartition:
    """One partition of one node, as the core keeps it."""

    __slots__ = (
        "alarm", "bundle", "cap", "dirty", "failures", "late", "not_before", "proposed", "published", "queued", "queued_at", "reason",
        "since", "stale", "state",
    )  # fmt: skip

    def __init__(self, state: PartitionState = PartitionState.MISSING) -> None:
        self.state = state
        self.stale = False
        self.proposed = False
        """It is stale, and computed again only if a person asks."""
        self.late = False
        """It is computed again because a person asked, after a restatement that came too late: what reads it isn't without asking."""
        self.failures = 0
        self.not_before: int | None = None
        self.published = False
        self.reason = ""
        self.bundle = ""
        """Names the file that it was delivered in with others."""
        self.dirty = False
        """An input changed while an attempt was running: it is stale as soon as it ends."""
        self.queued = False
        """It stands in the ready queue, since `queued_at`."""
        self.queued_at = 0
        self.cap = 0
        """With how many at most it is computed together, since more came to nothing; 0 for any number."""
        self.alarm: int | None = None
        """When it is looked at again, because time alone may make it ready."""
        self.since = 0
        """Where its node has a trigger: it waits for a firing that isn't earlier; 0 for any after its interval's end."""

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing to say but that readers see it."""
        return (
            self.state is PartitionState.PUBLISHED
            and self.published
            and not (self.stale or self.proposed or self.late or self.dirty or self.queued or self.failures or self.cap)
            and not (self.reason or self.bundle)
            and self.not_before is None
        )


class _AtRest(TrackedPartition):
    """Stands for all partitions with nothing to do."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        super().__init__(PartitionState.PUBLISHED)
        self.published = True
        self._made = True

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, "_made"):
            raise AttributeError(f"a partition at rest is only looked at: take `partition_states.tracked` to set {name}")
        super().__setattr__(name, value)


AT_REST: TrackedPartition = _AtRest()
"""Published, not stale, with nothing to be done."""
