"""A backfill as a value, with partitions as ranges; numbers of its attempts; pools."""

from __future__ import annotations

import enum

from headrace.model import Asset, Project, Source
from headrace.model.nodes import Value
from headrace.scheduler import AttemptId, Take
from headrace.scheduler.graph import OF_NODE, OF_OWNER


class Mode(enum.StrEnum):
    """The partitions of the range that a backfill computes."""

    MISSING = "missing"
    """Partitions that have no publication or are stale."""
    FAILED = "failed"
    """Partitions whose last attempt failed or was rejected, and those that wait for them."""
    ALL = "all"
    """All partitions, whatever their state."""


class BackfillState(enum.StrEnum):
    """The state of a stored plan of a backfill."""

    AWAITING_APPROVAL = "awaiting_approval"
    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    """Some of its partitions were published."""
    FAILED = "failed"
    CANCELLED = "cancelled"


class Publishes(enum.StrEnum):
    """How the results become visible."""

    ATOMICALLY = "atomically"
    IN_STEPS = "in_steps"
    """A few intervals at a time, each with all assets of the plan, consistent in itself."""
    PER_PARTITION = "per_partition"
    """One partition after the other, where rows build on earlier publications (`merge`,
    `snapshot`)."""


class BackfillSpan(Value):
    """The partitions of one node from `first` to `last`, both included, in time order.

    For data partitioned by time and key, a time alone means all its keys.
    """

    first: str
    last: str


class Chosen(Value):
    """A node with the partitions that the backfill computes."""

    node: str
    spans: tuple[BackfillSpan, ...]
    partitions: int
    why: str
    how: str = "staged"
    """`taken_in`: a source's deliveries, ingested first as always; `staged`: computed alongside
    production; `afterwards`: computed by production, in order, after the rest is published, because
    each partition changes the result of the previous one."""


class Skipped(Value):
    """Requested partitions that the backfill doesn't compute."""

    node: str
    partitions: int
    why: str


class BackfillStep(Value):
    """Partitions that are published at once, as ranges by node."""

    spans: dict[str, tuple[BackfillSpan, ...]]


class Backfill(Value):
    """The work of a backfill; `chosen` is in topological order, `steps` in time order."""

    mode: Mode
    chosen: tuple[Chosen, ...]
    skipped: tuple[Skipped, ...]
    steps: tuple[BackfillStep, ...]
    publishes: Publishes
    only: bool = False
    """Without nodes downstream of the named ones."""
    allow_partial: bool = False
    """Publish what succeeded although some partitions failed."""

    @property
    def partitions(self) -> int:
        """The total number of partitions to compute."""
        return sum(item.partitions for item in self.chosen)


# Attempts of each plan have their own range of numbers, so an attempt's number identifies its plan.

ATTEMPTS_PER_PLAN = 1_000_000_000
"""Size of the number ranges of production and of each plan."""
ERRANDS_FROM = 900_000_000
"""Offset within a plan's range from which numbers belong to errands: work for its publication that
isn't an attempt."""


def first_attempt_of(plan: int) -> int:
    """Return the number before the first attempt of a plan."""
    return plan * ATTEMPTS_PER_PLAN


def plan_of_attempt(attempt: AttemptId) -> int:
    """Return the plan of an attempt; 0 for production."""
    return attempt.n // ATTEMPTS_PER_PLAN


def is_errand(attempt: AttemptId) -> bool:
    """Return whether an attempt id belongs to an errand of a plan."""
    return attempt.n % ATTEMPTS_PER_PLAN >= ERRANDS_FROM


# Pools of a project, which attempts of production and of backfills share: declared pools, and
# limits of nodes and owners.


def declared_pools(project: Project) -> dict[str, int]:
    """Return the slots of each pool; a limit is a pool of which every attempt takes one slot."""
    nodes: list[Source | Asset] = [*project.sources.values(), *project.assets.values()]
    limits = {f"{OF_OWNER}{owner.name}": owner.concurrency for owner in project.owners.values()}
    limits |= {f"{OF_NODE}{node.name}": node.concurrency for node in nodes}
    return {
        **project.settings.pools,
        **{name: slots for name, slots in limits.items() if slots is not None},
    }


def declared_slots(project: Project, node: Source | Asset) -> tuple[Take, ...]:
    """Return the pool slots that an attempt at a node takes."""
    takes = (
        [Take(pool, slots) for pool, slots in sorted(node.pools.items())]
        if isinstance(node, Asset)
        else []
    )
    owner = project.owners.get(node.owner)
    if owner is not None and owner.concurrency is not None:
        takes.append(Take(f"{OF_OWNER}{owner.name}"))
    if node.concurrency is not None:
        takes.append(Take(f"{OF_NODE}{node.name}"))
    return tuple(takes)
