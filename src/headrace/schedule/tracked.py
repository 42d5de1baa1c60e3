"""One partition as the core keeps it, while something is to be done or to be said about it."""

from __future__ import annotations

from headrace.schedule.states import PartitionState


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
